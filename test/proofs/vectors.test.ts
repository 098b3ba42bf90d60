/**
 * The vectors that Coq computes from the definitions of the theorems (`proofs/Vectors.v`), against the f64 reference: bit for
 * bit. So the formulas of the layer, of the loop and of AdamW that are proved are the ones that run. Bias, ReLU and squared
 * error stand in `Vectors.v` itself; the other formulas have no vectors there.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { pacaWeight } from '../../src/core/derived/paca-linear.ts';
import type { Tree } from '../../src/core/tree.ts';
import { meanSquaredError } from '../../src/layers/losses.ts';
import { mlp } from '../../src/models/mlp.ts';
import { buildModel } from '../../src/models/model.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Shape } from '../../src/spec/tensor.ts';
import { initialState, type MicroBatch, type Problem, type TrainState, trainStep } from '../../src/train/step.ts';
import { host, ints, f64 as k, numbersOf, type R } from '../support/tensors.ts';

const doubles: Readonly<Record<string, readonly number[]>> = JSON.parse(
  readFileSync(new URL('../../vectors/proofs/doubles.json', import.meta.url), 'utf8'),
);

/** The names that a test has asked for. */
const used = new Set<string>();

const vector = (name: string): readonly number[] => {
  const values = doubles[name];
  if (values === undefined) throw new Error(`no vector ${name}`);
  used.add(name);
  return values;
};

const tensor = (shape: Shape, name: string): R => k.fromHost(host(shape, vector(name)));

const same = (actual: readonly number[], expected: readonly number[]): boolean =>
  actual.length === expected.length && actual.every((x, i) => Object.is(x, expected[i]));

const expectBits = async (actual: R, name: string): Promise<void> => {
  const values = await numbersOf(k, actual);
  expect(same(values, vector(name)), `${name}: ${values}`).toBe(true);
};

it('the lane order', () => expectBits(k.sumLast(tensor([3, 37], 'lanes.x')), 'lanes.sum'));

interface Connected {
  readonly columns?: readonly number[];
  readonly scale?: number;
}

/** What a layer with partial connections computes. */
const layer = ({ columns = [2, 5], scale = 0.7 }: Connected = {}): Readonly<Record<string, R>> => {
  const [x, weight, dy] = [tensor([5, 7], 'layer.x'), tensor([3, 7], 'layer.weight'), tensor([5, 3], 'layer.dy')];
  const indices = k.fromHost(ints([2], columns));
  const connections = [{ indices, delta: tensor([3, 2], 'layer.delta'), scale }];
  return {
    'layer.effective': pacaWeight(k, weight, connections, 1),
    'layer.y': k.pacaLinear.forward(x, weight, null, connections),
    'layer.dx': k.pacaLinear.inputGradient(dy, weight, connections),
    'layer.dw': k.linear.weightGradient(dy, x),
    'layer.ddelta': k.pacaLinear.deltaGradient(dy, k.gather(x, indices, 1), scale),
  };
};

describe('a layer with partial connections', () => {
  it.each(['layer.effective', 'layer.y', 'layer.dx', 'layer.dw', 'layer.ddelta'])('%s', (name) =>
    expectBits(layer()[name]!, name),
  );

  it.each<[string, Connected, readonly string[]]>([
    ['a wrong index', { columns: [2, 4] }, ['layer.effective', 'layer.y', 'layer.dx', 'layer.ddelta']],
    ['indices that change places', { columns: [5, 2] }, ['layer.effective', 'layer.y', 'layer.dx', 'layer.ddelta']],
    ['another scale', { scale: 0.5 }, ['layer.effective', 'layer.y', 'layer.dx', 'layer.ddelta']],
  ])('%s is noticed', async (_, wrong, names) => {
    for (const name of names) expect(same(await numbersOf(k, layer(wrong)[name]!), vector(name)), name).toBe(false);
  });

  it('swapped operands are noticed', async () => {
    const [x, dy] = [tensor([5, 7], 'layer.x'), tensor([5, 3], 'layer.dy')];
    expect(same(await numbersOf(k, k.linear.weightGradient(x, dy)), vector('layer.dw'))).toBe(false);
  });
});

const STEPS = 4;
const MICRO = 3;
const ROWS = 3;

interface Wrong {
  /** The columns of the second layer. */
  readonly second?: readonly number[];
  /** Whether decay pulls towards 0. */
  readonly toZero?: boolean;
}

const problem = ({ second = [1, 4], toZero = false }: Wrong = {}): Problem<R, unknown> => {
  const target = (shape: Shape, name: string) => ({ adapters: [{ delta: tensor(shape, name) }] });
  const decayTarget = {
    'layers.0': target([5, 2], 'training.target1'),
    'layers.1': target([2, 2], 'training.target2'),
  } as unknown as Tree<R>;
  const weights = {
    'layers.0.weight': host([5, 3], vector('training.weight1')),
    'layers.0.bias': host([5], vector('training.bias1')),
    'layers.1.weight': host([2, 5], vector('training.weight2')),
    'layers.1.bias': host([2], vector('training.bias2')),
  };
  const model = buildModel(k, mlp({ widths: [3, 5, 2], activation: 'relu' }), weights, ({ path }) => ({
    method: 'paca',
    adapters: [{ indices: Int32Array.from(path === 'layers.0' ? [0, 2] : second), alpha: 1.4 }],
  }));
  return {
    kernels: k,
    model: orThrow(model),
    loss: meanSquaredError(k) as Problem<R, unknown>['loss'],
    optimizer: adamw(k, { learningRate: 0.05, decay: 0.1, decayTarget: toZero ? null : decayTarget }),
    seed: 0,
  };
};

/** Micro-batch number `at` of all steps' micro-batches: its rows of `width` numbers, in this order. */
const part = (name: string, at: number, width: number, rows: readonly number[]): R => {
  const first = at * ROWS;
  const values = rows.flatMap((row) => vector(name).slice((first + row) * width, (first + row + 1) * width));
  return k.fromHost(host([ROWS, width], values));
};

const batchAt = (step: number, rows: readonly number[] = [0, 1, 2]): readonly MicroBatch<R>[] =>
  Array.from({ length: MICRO }, (_, i) => ({
    inputs: part('training.inputs', step * MICRO + i, 3, rows),
    targets: part('training.targets', step * MICRO + i, 2, rows),
    count: ROWS * 2,
  }));

interface Trained {
  /** δ of each layer, step after step. */
  readonly deltas: readonly (readonly number[])[];
  readonly state: TrainState<R>;
}

type Sites = Readonly<Record<string, { readonly adapters: readonly { readonly delta: R }[] }>>;
const deltasOf = async (tree: Tree<R>): Promise<readonly (readonly number[])[]> =>
  Promise.all(
    ['layers.0', 'layers.1'].map((path) => numbersOf(k, (tree as unknown as Sites)[path]!.adapters[0]!.delta)),
  );

const train = async (p: Problem<R, unknown>, batches: (step: number) => readonly MicroBatch<R>[]): Promise<Trained> => {
  let state = initialState(p);
  const deltas: number[][] = [[], []];
  for (let step = 0; step < STEPS; step++) {
    [state] = trainStep(p, state, batches(step));
    (await deltasOf(state.params)).forEach((d, i) => {
      deltas[i]!.push(...d);
    });
  }
  return { deltas, state };
};

describe('training: two layers, micro-batches, AdamW', () => {
  it('δ after every step, and the moments at the end', async () => {
    const { deltas, state } = await train(problem(), (step) => batchAt(step));
    expect(same(deltas[0]!, vector('training.delta1')), String(deltas[0])).toBe(true);
    expect(same(deltas[1]!, vector('training.delta2')), String(deltas[1])).toBe(true);
    const { m, v } = state.optimizer.tensors as { readonly m: Tree<R>; readonly v: Tree<R> };
    expect(same((await deltasOf(m)).flat(), vector('training.m'))).toBe(true);
    expect(same((await deltasOf(v)).flat(), vector('training.v'))).toBe(true);
  });

  it('a wrong index is noticed', async () => {
    const { deltas } = await train(problem({ second: [1, 3] }), (step) => batchAt(step));
    expect(same(deltas[0]!, vector('training.delta1'))).toBe(false);
    expect(same(deltas[1]!, vector('training.delta2'))).toBe(false);
  });

  it('the next step with the batch of another is noticed', async () => {
    const { deltas } = await train(problem(), (step) => batchAt((step + 1) % STEPS));
    expect(same(deltas[1]!, vector('training.delta2'))).toBe(false);
  });

  const swap = <A>([a, b, c]: readonly A[]): readonly A[] => [a!, c!, b!];
  const orders: Readonly<Record<string, (step: number) => readonly MicroBatch<R>[]>> = {
    'micro-batches that change places': (step) => swap(batchAt(step)),
    'rows that change places': (step) => batchAt(step, [0, 2, 1]),
  };
  it.each(Object.entries(orders))('%s are noticed: they round differently', async (_, batches) => {
    const right = [...vector('training.delta1'), ...vector('training.delta2')];
    const { deltas } = await train(problem(), batches);
    // After the first step both orders are close, and no more than close.
    expect(deltas[0]![0]).toBeCloseTo(vector('training.delta1')[0]!, 10);
    expect(same(deltas.flat(), right)).toBe(false);
  });

  it('decay towards another target is noticed', async () => {
    const { deltas } = await train(problem({ toZero: true }), (step) => batchAt(step));
    expect(same(deltas[0]!, vector('training.delta1'))).toBe(false);
    expect(same(deltas[1]!, vector('training.delta2'))).toBe(false);
  });
});

it('every vector is used', () => {
  expect([...used].sort()).toEqual(Object.keys(doubles).sort());
});

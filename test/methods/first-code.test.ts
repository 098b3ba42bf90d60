/**
 * Four faults that the first published code of PaCA is known to have, and that this one must not have: each is tried
 * where it would show.
 */
import { describe, expect, it } from 'vitest';
import { rngFromSeed } from '../../src/core/rng.ts';
import { mapTree, type Tree } from '../../src/core/tree.ts';
import { linear } from '../../src/layers/linear.ts';
import { meanSquaredError } from '../../src/layers/losses.ts';
import { pacaLinear } from '../../src/methods/paca.ts';
import { evaluate, initialWeights } from '../../src/models/architecture.ts';
import { mlp } from '../../src/models/mlp.ts';
import { buildModel, type Model } from '../../src/models/model.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { expectSame, f64, host, ints, f32 as k, normal32, numbersOf, type R } from '../support/tensors.ts';
import { lossAndGradient, lossOf, train } from '../support/training.ts';

const architecture = mlp({ widths: [5, 7, 2], activation: 'tanh', dropout: 0.5 });
const weights = initialWeights(architecture, rngFromSeed(1));
const indices = Int32Array.of(1, 3);
const deltaOf = (out: number): HostTensor => normal32(out, [out, 2]);

const modelWith = (delta?: (out: number) => HostTensor): Model<R> =>
  orThrow(
    buildModel(k, architecture, weights, ({ operation }) => ({
      method: 'paca',
      adapters: [{ indices, alpha: 2, ...(delta && { delta: delta(operation.config.out) }) }],
    })),
  );

const x = k.fromHost(normal32(2, [3, 5]));
const batch = { x, targets: k.fromHost(normal32(3, [3, 2])), denominator: 6 };
const loss = lossOf(meanSquaredError(k));

/** A weight with δ of its size in the columns 1 and 3, rounded as declared. */
const withDelta = (weight: HostTensor): HostTensor => {
  const [out = 0, width = 0] = weight.shape;
  const delta = deltaOf(out).data;
  const data = Float32Array.from(weight.data, Number);
  for (let row = 0; row < out; row++) {
    indices.forEach((column, j) => {
      data[row * width + column] = Math.fround(data[row * width + column]! + Number(delta[row * 2 + j]));
    });
  }
  return { dtype: 'f32', shape: weight.shape, data };
};

/** The numbers of a tree. */
const read = (tree: Tree<R>): Promise<unknown> => {
  const entries: Promise<readonly [string, number[]]>[] = [];
  mapTree(tree, (leaf, path) => entries.push(numbersOf(k, leaf).then((values) => [path, values] as const)));
  return Promise.all(entries);
};

describe('every step computes on the columns that the step before left', () => {
  it('the loss and gradient of step t are those of a fresh model with the weights after step t − 1', async () => {
    const model = modelWith();
    const layer = model.layer(evaluate);
    const task = { k, layer, loss, optimizer: sgd(k, { learningRate: 0.2 }) };
    for (const steps of [1, 2, 3]) {
      const { params } = train({ ...task, batches: new Array<typeof batch>(steps).fill(batch) }, model.params);
      const copied = await Promise.all(
        ['layers.0', 'layers.1'].map(async (path) => {
          const { adapters } = (params as Record<string, { adapters: { delta: R }[] }>)[path]!;
          return [path, await k.toHost(adapters[0]!.delta)] as const;
        }),
      );
      const deltas = Object.fromEntries(copied);
      const fresh = orThrow(
        buildModel(k, architecture, weights, ({ path }) => ({
          method: 'paca',
          adapters: [{ indices, alpha: 2, delta: deltas[path]! }],
        })),
      );
      const [continued, g] = lossAndGradient(task, params, batch);
      const [restarted, h] = lossAndGradient({ ...task, layer: fresh.layer(evaluate) }, fresh.params, batch);
      await expectSame(k, continued, restarted);
      expect(await read(g)).toEqual(await read(h));
    }
  });

  it('the loss falls at every step', async () => {
    const model = modelWith();
    const { trace } = train(
      {
        k,
        layer: model.layer(evaluate),
        loss,
        optimizer: sgd(k, { learningRate: 0.1 }),
        batches: new Array<typeof batch>(8).fill(batch),
      },
      model.params,
    );
    const losses = await Promise.all(trace.map(async (t) => (await numbersOf(k, t.loss))[0]!));
    losses.slice(1).forEach((value, i) => {
      expect(value).toBeLessThan(losses[i]!);
    });
  });
});

describe('an adapter acts in evaluation, merged or not', () => {
  it('evaluation with δ is evaluation of the weights with δ in them', async () => {
    const adapted = modelWith(deltaOf);
    const y = adapted.layer(evaluate).forward(adapted.params, x)[0];
    const merged = orThrow(
      buildModel(
        k,
        architecture,
        Object.fromEntries(
          Object.entries(weights).map(([name, t]) => [name, name.endsWith('weight') ? withDelta(t) : t]),
        ),
        () => ({ method: 'frozen' }),
      ),
    );
    await expectSame(k, y, merged.layer(evaluate).forward(merged.params, x)[0]);
    const base = modelWith();
    expect(await numbersOf(k, base.layer(evaluate).forward(base.params, x)[0])).not.toEqual(await numbersOf(k, y));
  });
});

describe('an input of two axes and one of three', () => {
  const layer = pacaLinear(k, { in: 5, out: 3 }, [{ rank: 2, scale: 0.5, active: true, trains: true }]);
  const p = {
    weight: k.fromHost(normal32(1, [3, 5])),
    bias: k.fromHost(normal32(2, [3])),
    adapters: [{ indices: k.fromHost(ints([2], indices)), delta: k.fromHost(normal32(3, [3, 2])) }],
  };
  const rows = k.fromHost(normal32(4, [6, 5]));
  const dRows = k.fromHost(normal32(5, [6, 3]));

  it.each([[[2, 3]], [[6]], [[1, 6]], [[2, 1, 3]]])('with leading axes %j give the same bits', async (leading) => {
    const reshaped = (t: R): R => k.reshape(t, [...leading, -1]);
    const [y, residual] = layer.forward(p, reshaped(rows));
    const [gradient, dx] = layer.backward(p, residual, reshaped(dRows));
    const [expected, kept] = layer.forward(p, rows);
    const [expectedGradient, expectedDx] = layer.backward(p, kept, dRows);
    expect(y.shape).toEqual([...leading, 3]);
    expect(dx.shape).toEqual([...leading, 5]);
    await expectSame(k, k.reshape(y, [6, 3]), expected);
    await expectSame(k, k.reshape(dx, [6, 5]), expectedDx);
    expect(await read(gradient as unknown as Tree<R>)).toEqual(await read(expectedGradient as unknown as Tree<R>));
  });

  it('and a single example of one axis has the bits of a row', async () => {
    const one = k.fromHost(normal32(6, [5]));
    const [y] = layer.forward(p, one);
    expect(y.shape).toEqual([3]);
    await expectSame(k, k.reshape(y, [1, 3]), layer.forward(p, k.reshape(one, [1, 5]))[0]);
  });
});

describe('the bias gradient of full fine-tuning', () => {
  it('is the sum of dy over the rows, whatever the input', async () => {
    const layer = linear(f64, { in: 5, out: 3 });
    const p = { weight: f64.fromHost(normal32(1, [3, 5])), bias: f64.fromHost(normal32(2, [3])) };
    const dy = [1, 2, 3, 10, 20, 30, 100, 200, 300, 1000, 2000, 3000];
    for (const seed of [3, 4]) {
      const [, residual] = layer.forward(p, f64.fromHost(normal32(seed, [2, 2, 5])));
      const [{ bias }] = layer.backward(p, residual, f64.fromHost(host([2, 2, 3], dy)));
      expect(await numbersOf(f64, bias!)).toEqual([1111, 2222, 3333]);
    }
  });
});

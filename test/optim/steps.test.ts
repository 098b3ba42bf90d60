/** Each optimizer against its formula, written out again in plain numbers, step by step; and what its state holds. */
import { describe, expect, it } from 'vitest';
import { leaves, type Tree } from '../../src/core/tree.ts';
import { type AdamwConfig, adamw } from '../../src/optim/adamw.ts';
import { momentum, sgd } from '../../src/optim/sgd.ts';
import { applyDeltas, type OptimizerState, type Transform } from '../../src/optim/transform.ts';
import { showSpec } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { f64, host, f32 as k, normal, numbersOf, type R } from '../support/tensors.ts';

const STEPS = 5;
const N = 3;

interface Inputs {
  readonly start: number[];
  readonly gradients: number[][];
}

const inputs: fc.Arbitrary<Inputs> = any.seed.map((seed) => ({
  start: [...normal(seed, [N]).data],
  gradients: Array.from({ length: STEPS }, (_, t) => [...normal(seed + 1 + t, [N]).data]),
}));

/** Positions after every step, over f64. */
const run = async (optimizer: Transform<R>, { start, gradients }: Inputs): Promise<number[][]> => {
  let params: R = f64.fromHost(host([N], start));
  let state = optimizer.init(params);
  const path: number[][] = [];
  for (const g of gradients) {
    const [delta, next] = optimizer.update(f64.fromHost(host([N], g)), state, params);
    state = next;
    params = applyDeltas(f64, params, delta) as R;
    path.push(await numbersOf(f64, params));
  }
  return path;
};

/** A formula for one number: the next position from the position, the gradient, the step (from 1) and a memory. */
type Formula = (p: number, g: number, t: number, memory: { u: number; v: number }) => number;

const byHand = (formula: Formula, { start, gradients }: Inputs): number[][] => {
  const memories = start.map(() => ({ u: 0, v: 0 }));
  let p = start;
  return gradients.map((g, t) => {
    p = p.map((x, i) => formula(x, g[i]!, t + 1, memories[i]!));
    return p;
  });
};

/** Fewer than 2⁶ roundings of numbers below 2⁶ in each step. */
const expectClose = (actual: number[][], expected: number[][]): void => {
  actual.flat().forEach((x, i) => {
    expect(Math.abs(x - expected.flat()[i]!)).toBeLessThanOrEqual(STEPS * 2 ** (12 - 53));
  });
};

const [lr, mu, l2] = [0.1, 0.9, 0.3];

const adam =
  (
    { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0 }: Omit<AdamwConfig<R>, 'learningRate'>,
    target = 0,
  ): Formula =>
  (p, g, t, memory) => {
    memory.u = beta1 * memory.u + (1 - beta1) * g;
    memory.v = beta2 * memory.v + (1 - beta2) * g * g;
    const mHat = memory.u / (1 - beta1 ** t);
    const vHat = memory.v / (1 - beta2 ** t);
    return p - lr * (mHat / (Math.sqrt(vHat) + epsilon) + decay * (p - target));
  };

const trials: readonly (readonly [string, Transform<R>, Formula])[] = [
  ['sgd', sgd(f64, { learningRate: lr }), (p, g) => p - lr * g],
  ['sgd with decay', sgd(f64, { learningRate: lr, decay: l2 }), (p, g) => p - lr * (g + l2 * p)],
  [
    'sgd with a schedule of the step from 0',
    sgd(f64, { learningRate: (s) => lr / (s + 1) }),
    (p, g, t) => p - (lr / t) * g,
  ],
  [
    'momentum',
    momentum(f64, { learningRate: lr, momentum: mu }),
    (p, g, _, m) => {
      m.u = mu * m.u + g;
      return p - lr * m.u;
    },
  ],
  [
    'nesterov momentum with decay',
    momentum(f64, { learningRate: lr, momentum: mu, nesterov: true, decay: l2 }),
    (p, g, _, m) => {
      const d = g + l2 * p;
      m.u = mu * m.u + d;
      return p - lr * (d + mu * m.u);
    },
  ],
  ['adam', adamw(f64, { learningRate: lr }), adam({})],
  [
    'adam with its own β and ε',
    adamw(f64, { learningRate: lr, beta1: 0.5, beta2: 0.75, epsilon: 0.1 }),
    adam({ beta1: 0.5, beta2: 0.75, epsilon: 0.1 }),
  ],
  ['adamw', adamw(f64, { learningRate: lr, decay: l2 }), adam({ decay: l2 })],
  [
    'adamw towards a target',
    adamw(f64, { learningRate: lr, decay: l2, decayTarget: f64.full([N], -1.5) }),
    adam({ decay: l2 }, -1.5),
  ],
];

describe.each(trials)('%s', (_, optimizer, formula) => {
  it('takes the steps of its formula', () =>
    fc.assert(
      fc.asyncProperty(inputs, async (given) => {
        expectClose(await run(optimizer, given), byHand(formula, given));
      }),
    ));

  it('is pure: the same state and gradient give the same delta twice, and neither changes', async () => {
    const params = f64.fromHost(host([N], [1, 2, 3]));
    const g = f64.fromHost(host([N], [0.5, -1, 2]));
    const [, state] = optimizer.update(g, optimizer.init(params), params);
    const before = JSON.stringify(state.numbers);
    const [first] = optimizer.update(g, state, params);
    const [second] = optimizer.update(g, state, params);
    expect(await numbersOf(f64, first as R)).toEqual(await numbersOf(f64, second as R));
    expect(JSON.stringify(state.numbers)).toBe(before);
    expect(await numbersOf(f64, params)).toEqual([1, 2, 3]);
  });
});

describe('what a state holds is said beforehand', () => {
  const withoutTarget = trials.filter(([name]) => name !== 'adamw towards a target');

  it.each(withoutTarget)('by %s', (_, optimizer) => {
    const params: Tree<R> = { a: f64.full([2, 3], 1), b: [f64.full([4], 1)] };
    const specs = (tree: Tree<R>): string[] => leaves(tree).map(showSpec);
    const described = leaves(optimizer.stateSpec(params)).map(showSpec);
    expect(specs(optimizer.init(params).tensors)).toEqual(described);
    const [, next] = optimizer.update(params, optimizer.init(params), params);
    expect(specs(next.tensors)).toEqual(described);
  });
});

describe('the numbers of AdamW', () => {
  it('hold βᵗ as a running product, so that no power is computed', () => {
    const optimizer = adamw(k, { learningRate: 0.1, beta1: 0.9, beta2: 0.999 });
    const p = k.full([1], 1);
    let state: OptimizerState<R> = optimizer.init(p);
    let [power1, power2] = [1, 1];
    for (let t = 0; t < 50; t++) {
      expect(state.numbers).toEqual([t, power1, power2]);
      [, state] = optimizer.update(p, state, p);
      power1 *= 0.9;
      power2 *= 0.999;
    }
  });

  it('go through JSON and on: a resumed run has the bits of one that was not interrupted', async () => {
    const optimizer = adamw(k, { learningRate: 0.1, decay: 0.1 });
    const p = k.fromHost(host([2], [1, -2]));
    const [, once] = optimizer.update(p, optimizer.init(p), p);
    const resumed = { ...once, numbers: JSON.parse(JSON.stringify(once.numbers)) };
    const [a, b] = [optimizer.update(p, once, p), optimizer.update(p, resumed, p)];
    expect(await numbersOf(k, a[0] as R)).toEqual(await numbersOf(k, b[0] as R));
  });

  it('the first step of Adam is η in size, whatever the gradient', async () => {
    const optimizer = adamw(f64, { learningRate: 0.25 });
    const g = f64.fromHost(host([4], [1e-3, -1, 50, -1e6]));
    const [delta] = optimizer.update(g, optimizer.init(g), g);
    for (const [i, d] of (await numbersOf(f64, delta as R)).entries()) {
      expect(Math.abs(d + [0.25, -0.25, 0.25, -0.25][i]!)).toBeLessThan(1e-5);
    }
  });
});

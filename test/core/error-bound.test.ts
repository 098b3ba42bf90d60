/**
 * The bound that `core/error-bound` derives, on whole formulas: every layer and AdamW, summed in three orders in f32,
 * lies within it of the f64 oracle, and it is small enough to be worth having.
 */
import { describe, expect, it } from 'vitest';
import type { AdamwCoefficients } from '../../src/core/derived/adamw.ts';
import { type Bounded, errorBounds } from '../../src/core/error-bound.ts';
import { type Kernels, kernels } from '../../src/core/fused.ts';
import type { Point } from '../../src/core/laws.ts';
import type { Ops } from '../../src/core/ops.ts';
import { leaves } from '../../src/core/tree.ts';
import type { HostTensor, Spec } from '../../src/spec/tensor.ts';
import { ieee } from '../../src/spec/tolerance.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { type Instance, pointOf } from '../support/layer-instances.ts';
import { layerTable } from '../support/layer-table.ts';
import { pairwise, reversed } from '../support/summation-orders.ts';
import { expectWithin, f32, f64, host, normal32, numbersOf, type R } from '../support/tensors.ts';

/** Inputs are rounded to f32 beforehand, so that both arithmetics begin with the same numbers, without error. */
const asF32 = (t: HostTensor): HostTensor =>
  t.dtype === 'f64' ? { dtype: 'f32', shape: t.shape, data: Float32Array.from(t.data) } : t;

const carrying = errorBounds(f64, ieee);
const bounded: Kernels<Bounded<R>> = kernels({ ...carrying, fromHost: (t) => carrying.fromHost(asF32(t)) });

const orders: readonly (readonly [string, Kernels<R>])[] = [
  ['the declared order', f32],
  ['from the last term', kernels(reversed<R>(f32))],
  ['pairwise', kernels(pairwise<R>(f32))],
];

/** What is computed, on any backend. */
type Formula = <T extends Spec>(k: Kernels<T>) => readonly T[];

const expectBounded = async (formula: Formula): Promise<void> => {
  const expected = formula(bounded);
  for (const [, k] of orders) {
    const actual = formula(k);
    expect(actual.length).toBe(expected.length);
    for (const [i, { value, error }] of expected.entries()) {
      expectWithin(await numbersOf(k, actual[i]!), await numbersOf(f64, value), await numbersOf(f64, error));
    }
  }
};

/** What a layer computes: y, all gradients, and the input gradient. */
const results = <T extends Spec>({ layer, p, x, dy }: Point<T>): readonly T[] => {
  const [y, residual] = layer.forward(p, x);
  return leaves([y, ...layer.backward(p, residual, dy)]);
};

const ofLayer =
  (instance: Instance): Formula =>
  (k) =>
    results(pointOf(k, instance));

describe.each(Object.entries(layerTable))('%s', (_, { minimal, any: instances }) => {
  it('in f32, in any order, lies within the bound of f64', async () => {
    await expectBounded(ofLayer(minimal));
    await fc.assert(
      fc.asyncProperty(instances, (instance) => expectBounded(ofLayer(instance))),
      { numRuns: 8 },
    );
  });

  it('has a bound that is small: 10⁻³ of the largest value', async () => {
    for (const { value, error } of ofLayer(minimal)(bounded)) {
      const scale = Math.max(...(await numbersOf(f64, value)).map(Math.abs), 1e-3);
      for (const e of await numbersOf(f64, error)) expect(e).toBeLessThanOrEqual(scale * 1e-3);
    }
  });
});

describe('AdamW', () => {
  const coefficients: AdamwCoefficients = {
    learningRate: 0.01,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-8,
    decay: 0.1,
    correction1: 0.1,
    correction2: 0.01,
  };

  /** Two steps, so that the moments bring errors of their own. */
  const steps =
    (seed: number, size: number, towards: boolean): Formula =>
    <T extends Spec>(k: Kernels<T>) => {
      const draw = (i: number): T => k.fromHost(normal32(seed + i, [size]));
      const zero = { m: k.full([size], 0), v: k.full([size], 0) };
      const [parameter, target] = [draw(0), towards ? draw(1) : null];
      const [first, moments] = k.adamw.update(draw(2), zero, parameter, target, coefficients);
      const second = { ...coefficients, correction1: 0.19, correction2: 0.0199 };
      const [delta, { m, v }] = k.adamw.update(draw(3), moments, k.add(parameter, first), target, second);
      return [first, delta, m, v];
    };

  it('in f32 lies within the bound of f64', () =>
    fc.assert(
      fc.asyncProperty(any.seed, any.axis, fc.boolean(), (seed, size, towards) =>
        expectBounded(steps(seed, size, towards)),
      ),
    ));
});

describe('fused multiply-add', () => {
  it('lies within the bound of a product', () =>
    fc.assert(
      fc.asyncProperty(any.seed, fc.integer({ min: 1, max: 300 }), async (seed, k) => {
        const [a, b] = [normal32(seed, [1, k]), normal32(seed + 1, [1, k])];
        // The product of two f32 numbers is exact in f64, so this rounds once for each step.
        const fused = a.data.reduce((sum, x, i) => Math.fround(sum + x * b.data[i]!), 0);
        const { value, error } = bounded.matmul(bounded.fromHost(a), bounded.fromHost(b), 'nt');
        expectWithin([fused], await numbersOf(f64, value), await numbersOf(f64, error));
      }),
    ));
});

describe('the bounds are close', () => {
  /** The errors of the f32 results as fractions of their bounds, sorted. */
  const fractions = async (formula: Formula): Promise<readonly number[]> => {
    const expected = formula(bounded);
    const actual = formula(f32);
    const found: number[] = [];
    for (const [i, { value, error }] of expected.entries()) {
      const [a, v, e] = [await numbersOf(f32, actual[i]!), await numbersOf(f64, value), await numbersOf(f64, error)];
      found.push(...a.map((x, j) => (x === v[j] ? 0 : Math.abs(x - v[j]!) / e[j]!)));
    }
    return found.sort((a, b) => a - b);
  };

  const of =
    (f: <T extends Spec>(o: Ops<T>, a: T, b: T) => T, rows = 100, columns = 20): Formula =>
    (k) => [f(k, k.fromHost(normal32(1, [rows, columns])), k.fromHost(normal32(2, [rows, columns])))];

  // The largest of 2000 errors, and their median. One rounding may err by its whole bound. Of n roundings the bound
  // takes the worst case, all in one direction, while they are nearly independent: 1/√n of it is what is seen.
  it.each<[string, Formula, largest: number, median: number]>([
    ['one sum', of((o, a, b) => o.add(a, b)), 0.9, 0.1],
    ['one product', of((o, a, b) => o.mul(a, b)), 0.9, 0.2],
    ['one quotient', of((o, a, b) => o.div(a, b)), 0.9, 0.2],
    ['one root', of((o, a) => o.sqrt(o.max(a, o.neg(a)))), 0.9, 0.2],
    ['a dot product of 20', of((o, a, b) => o.matmul(a, b, 'nt')), 0.1, 0.01],
    ['a sum of 20', of((o, a) => o.sumLast(a), 2000), 0.05, 0.005],
    ['e^x, which has 4 ulp', of((o, a) => o.exp(a)), 0.1, 0.02],
  ])('%s', async (_, formula, largest, median) => {
    const found = await fractions(formula);
    expect(found.at(-1)).toBeLessThanOrEqual(1);
    expect(found.at(-1)).toBeGreaterThan(largest);
    expect(found[found.length >> 1]).toBeGreaterThan(median);
  });

  it('a bound of 0 is one of exact results', async () => {
    const small = [host([2, 2], [1, 2, 3, 4]), host([2, 2], [5, 6, 7, 8])].map(bounded.fromHost);
    const [a, b] = small as [Bounded<R>, Bounded<R>];
    for (const { error } of [bounded.max(a, b), bounded.neg(a), bounded.transpose(a, [1, 0])]) {
      expect(await numbersOf(f64, error)).toEqual([0, 0, 0, 0]);
    }
  });
});

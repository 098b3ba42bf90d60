/**
 * The bound that `core/error-bound` derives, on every layer: the f32 specification lies within it of the f64 oracle, and
 * it is small enough to be worth having.
 */
import { describe, expect, it } from 'vitest';
import { type Bounded, errorBounds } from '../../src/core/error-bound.ts';
import { type Kernels, kernels } from '../../src/core/fused.ts';
import type { Point } from '../../src/core/laws.ts';
import { leaves } from '../../src/core/tree.ts';
import type { HostTensor, Spec } from '../../src/spec/tensor.ts';
import { ieee } from '../../src/spec/tolerance.ts';
import { fc } from '../support/fast-check.ts';
import { type Instance, pointOf } from '../support/layer-instances.ts';
import { layerTable } from '../support/layer-table.ts';
import { expectWithin, f32, f64, numbersOf, type R } from '../support/tensors.ts';

/** Inputs as f32 reads them, so that both arithmetics begin with the same numbers. */
const readAsF32 = (t: HostTensor): HostTensor =>
  t.dtype === 'f64' ? { ...t, data: Float64Array.from(t.data, Math.fround) } : t;

const bounded: Kernels<Bounded<R>> = kernels(
  errorBounds({ ...f64, fromHost: (t: HostTensor) => f64.fromHost(readAsF32(t)) }, ieee),
);

/** What a layer computes: y, all gradients, and the input gradient. */
const results = <T extends Spec>({ layer, p, x, dy }: Point<T>): readonly T[] => {
  const [y, residual] = layer.forward(p, x);
  return leaves([y, ...layer.backward(p, residual, dy)]);
};

const expectBounded = async (instance: Instance): Promise<void> => {
  const actual = results(pointOf(f32, instance));
  const expected = results(pointOf(bounded, instance));
  expect(actual.length).toBe(expected.length);
  for (const [i, { value, error }] of expected.entries()) {
    expectWithin(await numbersOf(f32, actual[i]!), await numbersOf(f64, value), await numbersOf(f64, error));
  }
};

describe.each(Object.entries(layerTable))('%s', (_, { minimal, any }) => {
  it('in f32 lies within the bound of f64', async () => {
    await expectBounded(minimal);
    await fc.assert(fc.asyncProperty(any, expectBounded), { numRuns: 8 });
  });

  it('has a bound that is small: 10⁻³ of the largest value', async () => {
    for (const { value, error } of results(pointOf(bounded, minimal))) {
      const scale = Math.max(...(await numbersOf(f64, value)).map(Math.abs), 1e-3);
      for (const e of await numbersOf(f64, error)) expect(e).toBeLessThanOrEqual(scale * 1e-3);
    }
  });
});

/** Host tensors for tests: drawn from a seed, small integers on which nothing rounds, and their comparison. */
import { expect } from 'vitest';
import { type ReferenceTensor, referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { sameTensor } from '../../src/core/laws.ts';
import { normals, permutation, rngFromSeed, uniforms } from '../../src/core/rng.ts';
import { type HostTensor, type HostTensorOf, type Shape, type Spec, sizeOf } from '../../src/spec/tensor.ts';

export type K = Kernels<ReferenceTensor>;
export type R = ReferenceTensor;

/** The reference's kernels: f32, the specification, and f64, the oracle. */
export const f32: K = referenceF32().kernels;
export const f64: K = referenceF64().kernels;

export const host = (shape: Shape, values: Iterable<number>): HostTensorOf<'f64'> => ({
  dtype: 'f64',
  shape,
  data: Float64Array.from(values),
});

export const ints = (shape: Shape, values: Iterable<number>): HostTensorOf<'i32'> => ({
  dtype: 'i32',
  shape,
  data: Int32Array.from(values),
});

/** Standard normals. */
export const normal = (seed: number, shape: Shape): HostTensorOf<'f64'> =>
  host(shape, normals(rngFromSeed(seed), sizeOf(shape))[0]);

/** Normals rounded to f32, as both arithmetics then read the same values. */
export const normal32 = (seed: number, shape: Shape): HostTensorOf<'f64'> =>
  host(shape, normal(seed, shape).data.map(Math.fround));

/** Whole numbers of −max … max, times `unit`: sums and products of a few are exact in f32 too. */
export const whole = (seed: number, shape: Shape, max = 4, unit = 1): HostTensorOf<'f64'> =>
  host(
    shape,
    uniforms(rngFromSeed(seed), sizeOf(shape))[0].map((u) => (Math.floor(u * (2 * max + 1)) - max) * unit),
  );

/** Values that lie 1/16 apart and at least 1/32 from 0, in random order: nowhere near a kink of ReLU or of a maximum. */
export const spread = (seed: number, shape: Shape): HostTensorOf<'f64'> => {
  const n = sizeOf(shape);
  return host(
    shape,
    Array.from(permutation(rngFromSeed(seed), n)[0], (i) => (i - Math.floor(n / 2) + 0.5) / 16),
  );
};

/** Whole numbers of 0 … below − 1. */
export const labels = (seed: number, shape: Shape, below: number): HostTensorOf<'i32'> =>
  ints(
    shape,
    uniforms(rngFromSeed(seed), sizeOf(shape))[0].map((u) => Math.floor(u * below)),
  );

/** The numbers of a tensor on the host. */
export const numbersOf = async <T extends Spec>(k: Pick<Kernels<T>, 'toHost'>, t: T): Promise<number[]> =>
  Array.from((await k.toHost(t)).data, Number);

const shown = ({ dtype, shape, data }: HostTensor): string =>
  `${dtype}[${shape}] ${Array.from(data as Float64Array, (x) => (Object.is(x, -0) ? '-0' : String(x))).join(' ')}`;

/** Fails with both tensors printed unless they have the same type, shape and bits. */
export const expectSame = async <T extends Spec>(
  k: Pick<Kernels<T>, 'toHost'>,
  actual: T,
  expected: T,
): Promise<void> => {
  const [a, b] = await Promise.all([k.toHost(actual), k.toHost(expected)]);
  if (!sameTensor(a, b)) expect(shown(a)).toBe(shown(b));
};

/** Fails unless |actual − expected| ≤ bound, element by element; a NaN is never within. */
export const expectWithin = (
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: ArrayLike<number>,
): void => {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    expect(Math.abs(actual[i]! - expected[i]!), `element ${i}`).toBeLessThanOrEqual(bound[i]!);
  }
};

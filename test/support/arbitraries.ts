/** What the property tests draw: axes, seeds, sets of indices, sliding windows. */
import type { ConvGeometry } from '../../src/core/derived/conv2d.ts';
import { type Conv2dConfig, imageSize } from '../../src/layers/conv2d.ts';
import { fc } from './fast-check.ts';

/** A seed for the helpers of `tensors.ts`: values are drawn from it, so that shrinking works on shapes. */
export const seed: fc.Arbitrary<number> = fc.nat(1 << 20);

/** The length of an axis: 1 and small primes, so that two axes that are swapped rarely agree. */
export const axis: fc.Arbitrary<number> = fc.constantFrom(1, 2, 3, 5, 7);

/** Leading axes `[]`, `[n]`, `[n, m]`: what stands before the features. */
export const leading: fc.Arbitrary<readonly number[]> = fc.oneof(
  fc.constant([]),
  axis.map((n) => [n]),
  fc.tuple(fc.constantFrom(2, 3), axis),
);

/** Distinct sorted indices of 0 … columns − 1, at least one. */
export const indexSet = (columns: number): fc.Arbitrary<Int32Array> =>
  fc
    .subarray(
      Array.from({ length: columns }, (_, i) => i),
      { minLength: 1 },
    )
    .map((chosen) => Int32Array.from(chosen));

const pair = (values: readonly number[]): fc.Arbitrary<readonly [number, number]> =>
  fc.tuple(fc.constantFrom(...values), fc.constantFrom(...values));

/** What kind of convolution: all channels together, in two groups, or each for itself (with one or two outputs). */
export type Grouping = 'regular' | 'grouped' | 'depthwise';

const channels = (grouping: Grouping): fc.Arbitrary<{ in: number; out: number; groups: number }> => {
  if (grouping === 'regular') {
    return fc.record({ in: fc.constantFrom(1, 2, 3), out: fc.constantFrom(1, 2, 3), groups: fc.constant(1) });
  }
  return grouping === 'grouped'
    ? fc.tuple(fc.constantFrom(2, 3), fc.constantFrom(1, 3)).map(([i, o]) => ({ in: 2 * i, out: 2 * o, groups: 2 }))
    : fc.tuple(fc.constantFrom(2, 3), fc.constantFrom(1, 2)).map(([c, o]) => ({ in: c, out: c * o, groups: c }));
};

const geometry: fc.Arbitrary<Omit<ConvGeometry, 'groups'>> = fc.record({
  kernel: pair([1, 2, 3]),
  stride: pair([1, 2, 3]),
  padding: pair([0, 1, 2]),
  dilation: pair([1, 2]),
});

const fits = (config: Conv2dConfig): boolean => imageSize(config).every((d) => d >= 1);

/** A convolution over small images, with stride, padding and dilation, whose kernel fits. */
export const convolution = (grouping: Grouping): fc.Arbitrary<Conv2dConfig> =>
  fc
    .tuple(channels(grouping), geometry, fc.constantFrom(3, 4, 5), fc.constantFrom(3, 4, 5))
    .map(([c, g, height, width]) => ({ ...c, ...g, height, width }))
    .filter(fits);

export const anyConvolution: fc.Arbitrary<Conv2dConfig> = fc
  .constantFrom<Grouping[]>('regular', 'grouped', 'depthwise')
  .chain(convolution);

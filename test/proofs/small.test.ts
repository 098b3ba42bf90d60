/** Claims of `proofs/CLAIMS.md` that are too small to have a test elsewhere. */
import { describe, expect, it } from 'vitest';
import { crossEntropy } from '../../src/layers/losses.ts';
import { ieee } from '../../src/spec/tolerance.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { f64, host, ints, f32 as k, labels, normal, numbersOf } from '../support/tensors.ts';

it('columns that are overwritten twice hold the second values', () =>
  fc.assert(
    fc.asyncProperty(any.seed, any.indexSet(7), async (seed, indices) => {
      const at = k.fromHost(ints([indices.length], indices));
      const values = (n: number) => k.fromHost(normal(seed + n, [3, indices.length]));
      // Putting in is adding to what was there, less what was there: exact, as x − x = 0 and 0 + y = y.
      const put = (x: typeof at, y: typeof at) =>
        k.scatterAdd(k.scatterAdd(x, at, 1, k.neg(k.gather(x, at, 1))), at, 1, y);
      const base = k.fromHost(normal(seed, [3, 7]));
      const twice = await numbersOf(k, put(put(base, values(1)), values(2)));
      expect(twice).toEqual(await numbersOf(k, put(base, values(2))));
    }),
  ));

describe.each([1, 30, 1e4])('logits of about %d', (size) => {
  it('cross-entropy is not below 0 by more than its rounding', () =>
    fc.assert(
      fc.asyncProperty(any.seed, async (seed) => {
        const { data } = normal(seed, [4, 5]);
        const logits = f64.fromHost(
          host(
            [4, 5],
            Array.from(data, (x) => Number(x) * size),
          ),
        );
        const loss = crossEntropy(f64);
        const targets = f64.fromHost(labels(seed + 1, [4], 5));
        const [value] = loss.forward({ targets, denominator: 4 }, logits);
        expect((await numbersOf(f64, value))[0]).toBeGreaterThanOrEqual(-size * 2 ** -48);
      }),
    ));
});

it('one rounding to f32 errs by at most u·|x| or 2⁻¹⁵⁰', () =>
  fc.assert(
    fc.property(
      fc.double({ min: -1e38, max: 1e38, noNaN: true }),
      fc.integer({ min: -160, max: 0 }),
      (mantissa, exponent) => {
        for (const x of [mantissa, (mantissa / 1e38) * 2 ** exponent]) {
          const error = Math.abs(Math.fround(x) - x);
          expect(error).toBeLessThanOrEqual(Math.max(2 ** -24 * Math.abs(x), ieee.underflow));
        }
      },
    ),
  ));

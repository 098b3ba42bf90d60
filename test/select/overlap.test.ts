/** What choices share and capture. */
import { describe, expect, it } from 'vitest';
import { permutation, rngFromSeed } from '../../src/core/rng.ts';
import { smallest } from '../../src/select/indices.ts';
import { type Chosen, capturedShare, overlap, overlapByChance } from '../../src/select/overlap.ts';
import { fc } from '../support/fast-check.ts';

const COLUMNS = { a: 12, b: 40 };

/** A draw of `rank` columns of both modules. */
const drawn = (seed: number, rank: number): Chosen =>
  Object.fromEntries(
    Object.entries(COLUMNS).map(([path, n], i) => [path, permutation(rngFromSeed(2 * seed + i), n)[0].slice(0, rank)]),
  );

const others = (chosen: Chosen): Chosen =>
  Object.fromEntries(
    Object.entries(COLUMNS).map(([path, n]) => [
      path,
      Int32Array.from({ length: n }, (_, i) => i).filter((i) => !chosen[path]!.includes(i)),
    ]),
  );

const draw = fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 12 })).map(([seed, rank]) => drawn(seed, rank));

const norms = {
  a: Float64Array.from({ length: 12 }, (_, i) => i + 1),
  b: Float64Array.from({ length: 40 }, (_, i) => 1 / (i + 1)),
};

describe('overlap', () => {
  it('of a choice with itself is 1, with what it leaves 0', () =>
    fc.assert(
      fc.property(draw, (chosen) => {
        expect(overlap(chosen, chosen)).toBe(1);
        expect(overlap(chosen, others(chosen))).toBe(0);
      }),
    ));

  it('counts by hand', () => {
    const first = { a: Int32Array.of(0, 1), b: Int32Array.of(3, 7) };
    expect(overlap(first, { a: Int32Array.of(1, 5), b: Int32Array.of(7, 3) })).toBe(3 / 4);
  });

  it('of two draws is what chance says, in the mean', () => {
    const pairs = Array.from({ length: 400 }, (_, i) => overlap(drawn(i, 6), drawn(1000 + i, 6)));
    const mean = pairs.reduce((a, b) => a + b, 0) / pairs.length;
    expect(mean).toBeCloseTo(overlapByChance(drawn(0, 6), COLUMNS), 1);
    expect(overlapByChance(drawn(0, 6), COLUMNS)).toBeCloseTo((6 / 12 + 6 / 40) / 2, 12);
  });
});

describe('the captured share', () => {
  it('of a choice and of what it leaves add up to 1', () =>
    fc.assert(
      fc.property(draw, (chosen) => {
        expect(capturedShare(chosen, norms) + capturedShare(others(chosen), norms)).toBeCloseTo(1, 12);
      }),
    ));

  it('is least for the smallest', () =>
    fc.assert(
      fc.property(draw, (chosen) => {
        const least = Object.fromEntries(
          Object.entries(norms).map(([path, of]) => [path, smallest(of, chosen[path]!.length)]),
        );
        expect(capturedShare(least, norms)).toBeLessThanOrEqual(capturedShare(chosen, norms) + 1e-12);
      }),
    ));
});

describe('smallest', () => {
  it('is sorted, takes the lower of equals, and never a NaN', () => {
    expect([...smallest(Float64Array.of(3, 1, Number.NaN, 1, 0), 3)]).toEqual([1, 3, 4]);
  });
});

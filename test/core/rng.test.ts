/** Seeded randomness: equal states give equal values, labels give independent streams, and the values are random. */
import { describe, expect, it } from 'vitest';
import { normals, permutation, type Rng, rngFromSeed, splitRng, uniform, uniforms } from '../../src/core/rng.ts';
import { fc } from '../support/fast-check.ts';

const anySeed = fc.maxSafeInteger();

const mean = (xs: ArrayLike<number>): number => Array.from(xs).reduce((a, b) => a + b, 0) / xs.length;

const correlation = (a: Float64Array, b: Float64Array): number => {
  const [ma, mb] = [mean(a), mean(b)];
  const moment = (f: (i: number) => number): number => mean(a.map((_, i) => f(i)));
  const covariance = moment((i) => (a[i]! - ma) * (b[i]! - mb));
  return covariance / Math.sqrt(moment((i) => (a[i]! - ma) ** 2) * moment((i) => (b[i]! - mb) ** 2));
};

/** Σ (observed − expected)²/expected. */
const chiSquare = (counts: readonly number[], expected: number): number =>
  counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);

/** A χ² of d degrees of freedom has mean d and variance 2d: five standard deviations and a little. */
const chiSquareLimit = (degrees: number): number => degrees + 5 * Math.sqrt(2 * degrees) + 5;

describe('the state', () => {
  it('gives the same values again, and is not changed by drawing', () =>
    fc.assert(
      fc.property(anySeed, (seed) => {
        const rng = rngFromSeed(seed);
        const before = [...rng];
        expect(uniforms(rng, 5)).toEqual(uniforms(rngFromSeed(seed), 5));
        expect([...rng]).toEqual(before);
      }),
    ));

  it('returned after one draw is where the next begins', () =>
    fc.assert(
      fc.property(anySeed, (seed) => {
        const [together, end] = uniforms(rngFromSeed(seed), 3);
        const [a, r1] = uniform(rngFromSeed(seed));
        const [b, r2] = uniform(r1);
        const [c, r3] = uniform(r2);
        expect([a, b, c]).toEqual([...together]);
        expect(r3).toEqual(end);
      }),
    ));

  it('survives JSON, as a checkpoint writes it', () =>
    fc.assert(
      fc.property(anySeed, (seed) => {
        const [, rng] = uniforms(rngFromSeed(seed), 7);
        const read = JSON.parse(JSON.stringify(rng)) as Rng;
        expect(read).toEqual(rng);
        expect(normals(read, 9)).toEqual(normals(rng, 9));
      }),
    ));

  it('is four 32-bit words, never all 0, and differs between seeds that are near or far', () => {
    const seeds = [0, 1, 2, 3, -1, 2 ** 31, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
    const states = seeds.map(rngFromSeed);
    for (const state of states) {
      expect(state.every((word) => Number.isInteger(word) && word === (word | 0))).toBe(true);
      expect(state.some((word) => word !== 0)).toBe(true);
    }
    expect(new Set(states.map((s) => uniform(s)[0])).size).toBe(seeds.length);
  });
});

describe('splitRng', () => {
  const labels = ['', 'a', 'b', 'aa', 'layers.0', 'layers.1', 'layers.10', 'shuffle', 'epoch 1', 'epoch 2', 'é'];

  it('gives each label a stream of its own', () => {
    const first = labels.map((label) => uniforms(splitRng(rngFromSeed(1), label), 4)[0].join());
    expect(new Set([...first, uniforms(rngFromSeed(1), 4)[0].join()]).size).toBe(labels.length + 1);
  });

  it('streams of two labels, and of a label and its parent, do not correlate: |ρ| < 5/√n', () => {
    const n = 4096;
    const streams = [rngFromSeed(7), ...labels.map((label) => splitRng(rngFromSeed(7), label))].map(
      (r) => uniforms(r, n)[0],
    );
    streams.forEach((a, i) => {
      streams.slice(i + 1).forEach((b) => {
        expect(Math.abs(correlation(a, b))).toBeLessThan(5 / Math.sqrt(n));
      });
    });
  });

  it('depends on the parent', () =>
    fc.assert(
      fc.property(fc.uniqueArray(anySeed, { minLength: 2, maxLength: 2 }), ([a, b]) => {
        expect(splitRng(rngFromSeed(a!), 'x')).not.toEqual(splitRng(rngFromSeed(b!), 'x'));
      }),
    ));
});

describe('the values', () => {
  it('uniforms fill [0, 1) evenly', () => {
    const n = 1 << 14;
    const [u] = uniforms(rngFromSeed(3), n);
    expect(u.every((x) => x >= 0 && x < 1)).toBe(true);
    const counts = new Array<number>(64).fill(0);
    for (const x of u) counts[Math.floor(x * 64)]! += 1;
    expect(chiSquare(counts, n / 64)).toBeLessThan(chiSquareLimit(63));
  });

  it('normals have the moments 0, 1, 0, 3, within five standard errors', () => {
    const n = 1 << 15;
    const [z] = normals(rngFromSeed(5), n);
    const moment = (power: number): number => mean(z.map((x) => x ** power));
    expect(Math.abs(moment(1))).toBeLessThan(5 * Math.sqrt(1 / n));
    expect(Math.abs(moment(2) - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    expect(Math.abs(moment(3))).toBeLessThan(5 * Math.sqrt(15 / n));
    expect(Math.abs(moment(4) - 3)).toBeLessThan(5 * Math.sqrt(96 / n));
  });

  it('an odd number of normals is the beginning of the even one', () => {
    expect([...normals(rngFromSeed(8), 5)[0]]).toEqual([...normals(rngFromSeed(8), 6)[0].slice(0, 5)]);
  });

  it('a permutation holds each number once', () =>
    fc.assert(
      fc.property(anySeed, fc.nat(40), (seed, n) => {
        const [order] = permutation(rngFromSeed(seed), n);
        expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: n }, (_, i) => i));
      }),
    ));

  it('all 24 orders of four come equally often over consecutive seeds', () => {
    const runs = 24 * 250;
    const counts = new Map<string, number>();
    for (let seed = 0; seed < runs; seed++) {
      const order = permutation(rngFromSeed(seed), 4)[0].join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    expect(counts.size).toBe(24);
    expect(chiSquare([...counts.values()], runs / 24)).toBeLessThan(chiSquareLimit(23));
  });

  it('the first of a permutation is uniform: what a random selection picks', () => {
    const columns = 11;
    const runs = columns * 300;
    const counts = new Array<number>(columns).fill(0);
    for (let seed = 0; seed < runs; seed++) counts[permutation(rngFromSeed(seed), columns)[0][0]!]! += 1;
    expect(chiSquare(counts, runs / columns)).toBeLessThan(chiSquareLimit(columns - 1));
  });
});

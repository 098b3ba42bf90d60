/**
 * The split: disjoint, covering, of the size asked for, and a function of the seed.
 */
import { describe, expect, it } from 'vitest';
import { type Share, type Split, splitSamples } from '../../src/data/split.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';

const split = (examples: number, share: Share, seed: number): Split => orThrow(splitSamples(examples, share, seed));
const sizes = ({ train, validation }: Split): readonly [number, number] => [train.length, validation.length];

const counted = fc
  .integer({ min: 1, max: 80 })
  .chain((examples) =>
    fc.record({ examples: fc.constant(examples), count: fc.nat(examples - 1), seed: fc.maxSafeInteger() }),
  );

describe('splitSamples', () => {
  it('gives each sample one part, and as many to validation as asked', () => {
    fc.assert(
      fc.property(counted, ({ examples, count, seed }) => {
        const { train, validation } = split(examples, { count }, seed);
        expect(validation.length).toBe(count);
        const all = [...train, ...validation].sort((a, b) => a - b);
        expect(all).toEqual(Array.from({ length: examples }, (_, i) => i));
      }),
    );
  });

  it('keeps from training what a smaller validation set kept from it', () => {
    fc.assert(
      fc.property(counted, fc.nat(), ({ examples, count, seed }, n) => {
        const fewer = split(examples, { count: n % (count + 1) }, seed);
        const more = split(examples, { count }, seed);
        expect([...fewer.validation].every((i) => more.validation.includes(i))).toBe(true);
      }),
    );
  });

  it('depends on the seed', () => {
    const of = (seed: number): Split => split(200, { count: 50 }, seed);
    expect(of(3)).toEqual(of(3));
    const shared = [...of(3).validation].filter((i) => of(4).validation.includes(i)).length;
    expect(shared).toBeGreaterThan(2);
    expect(shared).toBeLessThan(25);
  });

  it('is pinned: a resumed run of a later version must not train on what validated', () => {
    const { train, validation } = split(11, { count: 3 }, 7);
    expect([[...validation], [...train]]).toEqual([
      [3, 2, 1],
      [5, 7, 8, 10, 6, 9, 0, 4],
    ]);
  });

  it('takes fractions, rounded, but some if any', () => {
    expect(sizes(split(10, { fraction: 0.25 }, 0))).toEqual([7, 3]);
    expect(sizes(split(10, { fraction: 0 }, 0))).toEqual([10, 0]);
    expect(sizes(split(10, { fraction: 0.001 }, 0))).toEqual([9, 1]);
    expect(split(10, { fraction: 0.3 }, 5)).toEqual(split(10, { count: 3 }, 5));
  });

  it.each<[number, Share, number, string]>([
    [0, { count: 0 }, 0, 'examples'],
    [2.5, { count: 1 }, 0, 'examples'],
    [10, { count: 10 }, 0, 'validation.count'],
    [10, { count: -1 }, 0, 'validation.count'],
    [10, { count: 1.5 }, 0, 'validation.count'],
    [10, { fraction: 1 }, 0, 'validation.fraction'],
    [10, { fraction: -0.1 }, 0, 'validation.fraction'],
    [10, { fraction: Number.NaN }, 0, 'validation.fraction'],
    [10, { fraction: 0.99 }, 0, 'validation.fraction'],
    [1, { fraction: 0.1 }, 0, 'validation.fraction'],
    [10, { count: 1 }, 0.5, 'seed'],
    [10, { count: 1 }, 2 ** 53, 'seed'],
  ])('rejects %d samples, %o, seed %d', (examples, share, seed, where) => {
    expect(splitSamples(examples, share, seed)).toMatchObject({ left: { tag: 'ConfigError', where } });
  });
});

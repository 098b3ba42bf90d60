/** Which columns are chosen: by lot, reproducibly; by the largest statistic; by a user's own function, held to the contract. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { rngFromSeed, splitRng } from '../../src/core/rng.ts';
import {
  type ColumnStatistics,
  findSelector,
  runSelector,
  type Selection,
  type Selector,
  selectors,
  withSelector,
} from '../../src/select/selector.ts';
import { orThrow, type Result, showError } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';

const refusal = (result: Result<unknown>): string => (E.isLeft(result) ? showError(result.left) : 'accepted');

const selection = (changes: Partial<Selection> = {}): Selection => ({
  path: 'layers.0',
  columns: 12,
  rank: 4,
  statistics: {},
  rng: splitRng(rngFromSeed(1), 'layers.0'),
  ...changes,
});

const run = (name: string, s: Selection): number[] => [
  ...orThrow(runSelector(orThrow(findSelector(selectors, name)), s)),
];

const size = fc.integer({ min: 1, max: 40 }).chain((columns) =>
  fc.record({
    columns: fc.constant(columns),
    rank: fc.integer({ min: 1, max: columns }),
  }),
);

describe('random', () => {
  it('gives r distinct sorted columns, the same for the same seed', () =>
    fc.assert(
      fc.property(size, fc.maxSafeInteger(), (s, seed) => {
        const chosen = run('random', selection({ ...s, rng: rngFromSeed(seed) }));
        expect(chosen.length).toBe(s.rank);
        expect(new Set(chosen).size).toBe(s.rank);
        expect(chosen).toEqual([...chosen].sort((a, b) => a - b));
        expect(chosen.every((c) => c >= 0 && c < s.columns)).toBe(true);
        expect(run('random', selection({ ...s, rng: rngFromSeed(seed) }))).toEqual(chosen);
      }),
    ));

  it('differs by layer and by seed', () => {
    const choose = (seed: number, path: string): string =>
      run('random', selection({ columns: 64, rank: 8, rng: splitRng(rngFromSeed(seed), path) })).join();
    const choices = [1, 2, 3].flatMap((seed) =>
      ['layers.0', 'layers.1', 'layers.2', 'head'].map((path) => choose(seed, path)),
    );
    expect(new Set(choices).size).toBe(12);
  });

  it('chooses every column about as often: χ² within five standard deviations', () => {
    const [columns, rank, runs] = [10, 3, 2000];
    const counts = new Array<number>(columns).fill(0);
    for (let seed = 0; seed < runs; seed++) {
      for (const c of run('random', selection({ columns, rank, rng: splitRng(rngFromSeed(seed), 'layer') })))
        counts[c]! += 1;
    }
    const expected = (runs * rank) / columns;
    const chi = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    expect(chi).toBeLessThan(columns - 1 + 5 * Math.sqrt(2 * (columns - 1)));
  });

  it('of all columns is all columns', () => {
    expect(run('random', selection({ columns: 3, rank: 3 }))).toEqual([0, 1, 2]);
  });
});

const byStatistic: Readonly<Record<string, keyof ColumnStatistics>> = {
  'weight-norm': 'weightNorm',
  gradient: 'gradientNormOfSum',
  'gradient-sum-of-norms': 'gradientSumOfNorms',
};

describe.each(Object.entries(byStatistic))('%s', (name, statistic) => {
  const withScores = (scores: readonly number[], rank: number): Selection =>
    selection({ columns: scores.length, rank, statistics: { [statistic]: Float64Array.from(scores) } });

  it('picks the largest', () =>
    fc.assert(
      fc.property(size, fc.infiniteStream(fc.nat(6)), ({ columns, rank }, stream) => {
        const scores = [...stream.take(columns)];
        const chosen = run(name, withScores(scores, rank));
        const rest = scores.filter((_, i) => !chosen.includes(i));
        const least = Math.min(...chosen.map((i) => scores[i]!));
        expect(chosen.length).toBe(rank);
        expect(Math.max(...rest, Number.NEGATIVE_INFINITY)).toBeLessThanOrEqual(least);
        const tied = scores.flatMap((s, i) => (s === least ? [i] : []));
        const chosenTied = tied.filter((i) => chosen.includes(i));
        expect(chosenTied).toEqual(tied.slice(0, chosenTied.length));
      }),
    ));

  it('reads its own statistic and no other', () => {
    const others = Object.fromEntries(Object.values(byStatistic).map((s) => [s, Float64Array.of(9, 8, 7, 1)]));
    const s = selection({ columns: 4, rank: 2, statistics: { ...others, [statistic]: Float64Array.of(1, 5, 2, 5) } });
    expect(run(name, s)).toEqual([1, 3]);
  });

  it('never picks a NaN before a number, not even −∞ or 0', () => {
    expect(run(name, withScores([Number.NaN, 0, Number.NaN, 3], 2))).toEqual([1, 3]);
    expect(run(name, withScores([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, 1], 1))).toEqual([0]);
    expect(run(name, withScores([Number.NaN, Number.NaN], 1))).toEqual([0]);
  });

  it('is refused without its statistic, or with one of another length', () => {
    const selector = selectors[name]!;
    const message = `ConfigError in layers.0: expected the statistic ${statistic} of 12 columns, got none`;
    expect(refusal(runSelector(selector, selection()))).toBe(message);
    expect(refusal(runSelector(selector, selection({ statistics: { [statistic]: new Float64Array(11) } })))).toBe(
      message,
    );
  });
});

describe('a selector of the user', () => {
  const first: Selector = { needs: [], select: ({ rank }) => Int32Array.from({ length: rank }, (_, i) => i) };
  const giving = (...indices: number[]): Selector => ({ needs: [], select: () => Int32Array.from(indices) });
  const s = selection({ columns: 6, rank: 3 });

  it('is found under its name, beside or instead of the known ones', () => {
    const known = withSelector(selectors, 'first', first);
    expect([...orThrow(runSelector(orThrow(findSelector(known, 'first')), s))]).toEqual([0, 1, 2]);
    expect(orThrow(findSelector(withSelector(selectors, 'random', first), 'random'))).toBe(first);
    expect(Object.keys(selectors)).not.toContain('first');
  });

  it.each<[string, Selector, string]>([
    ['too few columns', giving(0, 1), 'IndexError in layers.0: expected 3 columns, got 2'],
    ['too many columns', giving(0, 1, 2, 3), 'IndexError in layers.0: expected 3 columns, got 4'],
    ['no columns', giving(), 'IndexError in layers.0: expected 1 to 6 column indices, got 0 of them'],
    ['a repeated column', giving(0, 1, 1), 'IndexError in layers.0: expected distinct column indices, got 1 twice'],
    ['unsorted columns', giving(0, 2, 1), 'IndexError in layers.0: expected sorted column indices, got 1 after 2'],
    [
      'a column outside',
      giving(0, 1, 6),
      'IndexError in layers.0: expected column indices of 0 … 5, got 6 at position 2',
    ],
    [
      'a negative column',
      giving(-1, 1, 2),
      'IndexError in layers.0: expected column indices of 0 … 5, got -1 at position 0',
    ],
  ])('that gives %s is refused', (_, selector, message) => {
    expect(refusal(runSelector(selector, s))).toBe(message);
  });

  it('sees what it asks for', () => {
    const needy: Selector = {
      needs: ['weightNorm'],
      select: ({ statistics }) => Int32Array.of(statistics.weightNorm![0]!),
    };
    const statistics = { weightNorm: Float64Array.of(2, 0, 0) };
    expect([...orThrow(runSelector(needy, selection({ columns: 3, rank: 1, statistics })))]).toEqual([2]);
  });

  it('is not found under a name that nobody gave', () => {
    expect(refusal(findSelector(selectors, 'toString'))).toBe(
      "ConfigError in select: expected one of random, weight-norm, gradient, gradient-sum-of-norms, weight-norm-smallest, gradient-smallest, got 'toString'",
    );
  });
});

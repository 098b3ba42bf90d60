/** Ranks and index sets: what is accepted, and the words in which the rest is refused. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { checkIndices, checkRank, largest } from '../../src/select/indices.ts';
import { showError } from '../../src/spec/errors.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';

describe('checkRank', () => {
  it('accepts 1 … columns', () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 50 }), fc.integer({ min: -3, max: 53 }), (columns, rank) => {
        expect(E.isRight(checkRank(rank, columns, 'here'))).toBe(rank >= 1 && rank <= columns);
      }),
    ));

  it.each([0, -1, 6, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses %d of 5 columns', (rank) => {
    expect(checkRank(rank, 5, 'fc1')).toEqual(
      E.left({
        tag: 'ConfigError',
        expected: 'a rank between 1 and the 5 columns of the weight',
        came: String(rank),
        where: 'fc1',
      }),
    );
  });
});

describe('checkIndices', () => {
  it('accepts every sorted set of distinct columns, as it is', () =>
    fc.assert(
      fc.property(
        fc
          .integer({ min: 1, max: 12 })
          .chain((columns) => any.indexSet(columns).map((indices) => ({ columns, indices }))),
        ({ columns, indices }) => {
          expect(checkIndices(indices, columns, 'fc')).toEqual(E.right(indices));
        },
      ),
    ));

  it('refuses everything else, and names the first fault', () =>
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -2, max: 8 }), { maxLength: 8 }), (values) => {
        const valid =
          values.length >= 1 &&
          values.length <= 6 &&
          values.every((v, i) => v >= 0 && v < 6 && v > (values[i - 1] ?? -1));
        expect(E.isRight(checkIndices(Int32Array.from(values), 6, 'fc'))).toBe(valid);
      }),
      { numRuns: 300 },
    ));

  it('says what was expected, what came, and where', () => {
    const message = (...indices: number[]): string => {
      const result = checkIndices(Int32Array.from(indices), 6, 'adapters.0');
      return E.isLeft(result) ? showError(result.left) : 'accepted';
    };
    expect(message(1, 3, 3, 9)).toBe('IndexError in adapters.0: expected distinct column indices, got 3 twice');
    expect(message(1, 9, 3)).toBe('IndexError in adapters.0: expected column indices of 0 … 5, got 9 at position 1');
    expect(message(3, 1, -1)).toBe('IndexError in adapters.0: expected sorted column indices, got 1 after 3');
  });
});

describe('largest', () => {
  it('does not change its scores, and sorts numbers as numbers', () => {
    const scores = Float64Array.from({ length: 12 }, (_, i) => (i === 2 || i === 10 ? 1 : 0));
    const before = [...scores];
    expect([...largest(scores, 2)]).toEqual([2, 10]);
    expect([...scores]).toEqual(before);
  });
});

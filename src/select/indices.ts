/** What a set of selected columns must be: distinct, sorted, within the weight, not more than there are. */
import * as E from 'fp-ts/lib/Either.js';
import { fail, type Result } from '../spec/errors.ts';

/** A rank that a weight of `columns` input columns can give: a whole number of 1 … columns. */
export const checkRank = (rank: number, columns: number, where: string): Result<number> =>
  Number.isInteger(rank) && rank >= 1 && rank <= columns
    ? E.right(rank)
    : fail('ConfigError', `a rank between 1 and the ${columns} columns of the weight`, String(rank), where);

/**
 * Indices as PaCA stores them, or the first fault found.
 *
 * @example
 * ```ts
 * import * as E from 'fp-ts/lib/Either.js';
 * import { checkIndices, showError } from 'paca-ts';
 *
 * const checked = checkIndices(Int32Array.of(1, 1), 4, 'layers.0');
 * E.isLeft(checked) && showError(checked.left); // => 'IndexError in layers.0: expected distinct column indices, got 1 twice'
 * ```
 */
export const checkIndices = (indices: Int32Array, columns: number, where: string): Result<Int32Array> => {
  if (indices.length === 0 || indices.length > columns) {
    return fail('IndexError', `1 to ${columns} column indices`, `${indices.length} of them`, where);
  }
  for (const [i, index] of indices.entries()) {
    const before = indices[i - 1] ?? -1;
    if (index < 0 || index >= columns) {
      return fail('IndexError', `column indices of 0 … ${columns - 1}`, `${index} at position ${i}`, where);
    }
    if (index === before) return fail('IndexError', 'distinct column indices', `${index} twice`, where);
    if (index < before) return fail('IndexError', 'sorted column indices', `${index} after ${before}`, where);
  }
  return E.right(indices);
};

/** The r positions of the largest scores, sorted; among equal scores the lower position wins. A NaN never wins. */
export const largest = (scores: Float64Array, r: number): Int32Array => {
  const score = (i: number): number => {
    const s = scores[i] ?? Number.NaN;
    return Number.isNaN(s) ? Number.NEGATIVE_INFINITY : s;
  };
  const order = Array.from(scores.keys()).sort((a, b) => score(b) - score(a) || a - b);
  return Int32Array.from(order.slice(0, r)).sort();
};

/** The r positions of the smallest scores, sorted; among equal scores the lower position wins. A NaN never wins. */
export const smallest = (scores: Float64Array, r: number): Int32Array =>
  largest(
    scores.map((score) => -score),
    r,
  );

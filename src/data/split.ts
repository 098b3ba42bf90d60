/**
 * Which samples train and which validate: drawn at random from a seed.
 *
 * Laws: both parts are functions of (how many samples, how many validate, seed); they are disjoint and cover the set; the
 * samples that validate are among those that would if more did, so that a larger set for validation never lets a run train on what
 * a smaller one kept from it.
 */
import * as E from 'fp-ts/lib/Either.js';
import { permutation, rngFromSeed, splitRng } from '../core/rng.ts';
import { fail, type Result } from '../spec/errors.ts';

/** How many samples validate: a count, or a share of all, rounded (at least one if it is above 0). */
export type Share = { readonly count: number } | { readonly fraction: number };

/** Indices of samples, each part in random order, which packing may keep. */
export interface Split {
  readonly train: Int32Array;
  readonly validation: Int32Array;
}

const countOf = (examples: number, share: Share): Result<number> => {
  if ('count' in share) {
    const { count } = share;
    return Number.isSafeInteger(count) && count >= 0 && count < examples
      ? E.right(count)
      : fail('ConfigError', `a count of 0 … ${examples - 1}, so that some train`, String(count), 'validation.count');
  }
  const { fraction } = share;
  if (!(fraction >= 0 && fraction < 1))
    return fail('ConfigError', 'a fraction of 0 or more, below 1', String(fraction), 'validation.fraction');
  const count = fraction === 0 ? 0 : Math.max(1, Math.round(fraction * examples));
  return count < examples
    ? E.right(count)
    : fail(
        'ConfigError',
        `a fraction that leaves some of ${examples} to train`,
        String(fraction),
        'validation.fraction',
      );
};

/** The two parts of `examples` samples. The seed is any safe integer. */
export const splitSamples = (examples: number, validation: Share, seed: number): Result<Split> => {
  if (!Number.isSafeInteger(examples) || examples < 1)
    return fail('ConfigError', 'a count of 1 or more', String(examples), 'examples');
  if (!Number.isSafeInteger(seed)) return fail('ConfigError', 'a safe integer', String(seed), 'seed');
  const [order] = permutation(splitRng(rngFromSeed(seed), 'split'), examples);
  return E.map((count: number): Split => ({ train: order.slice(count), validation: order.slice(0, count) }))(
    countOf(examples, validation),
  );
};

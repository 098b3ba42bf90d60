/**
 * Which columns PaCA trains. A selector is a pure function from what is known of a weight to sorted column indices;
 * users add their own with {@link withSelector}.
 *
 * Sources: the paper, section 5 ("selection strategy"): random, by weight norm, by gradient accumulated over
 * calibration batches. The paper leaves the gradient formula open: ours is ‖Σₜ ∂Wₜ[:, j]‖₂, where signs may cancel, and
 * Σₜ ‖∂Wₜ[:, j]‖₂ beside it.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { permutation, type Rng } from '../core/rng.ts';
import { fail, type Result } from '../spec/errors.ts';
import { checkIndices, checkRank, largest, smallest } from './indices.ts';

/** What can be known of the columns of a weight; each array has one number a column. */
export interface ColumnStatistics {
  /** ‖W[:, j]‖₂ */
  readonly weightNorm?: Float64Array;
  /** ‖Σₜ ∂Wₜ[:, j]‖₂ over the calibration batches. */
  readonly gradientNormOfSum?: Float64Array;
  /** Σₜ ‖∂Wₜ[:, j]‖₂ */
  readonly gradientSumOfNorms?: Float64Array;
}

export type Statistic = keyof ColumnStatistics;

export interface Selection {
  /** The module's path, for messages. */
  readonly path: string;
  readonly columns: number;
  readonly rank: number;
  readonly statistics: ColumnStatistics;
  /** Differs by module; selectors that draw lots use nothing else. */
  readonly rng: Rng;
}

export interface Selector {
  /** The statistics that must be gathered first; `gradient…` costs full gradients while it lasts. */
  readonly needs: readonly Statistic[];
  readonly select: (s: Selection) => Int32Array;
}

export type Selectors = Readonly<Record<string, Selector>>;

const random: Selector = {
  needs: [],
  select: ({ columns, rank, rng }) => permutation(rng, columns)[0].slice(0, rank).sort(),
};

const byLargest = (statistic: Statistic): Selector => ({
  needs: [statistic],
  select: ({ statistics, rank }) => largest(statistics[statistic] ?? new Float64Array(0), rank),
});

const bySmallest = (statistic: Statistic): Selector => ({
  needs: [statistic],
  select: ({ statistics, rank }) => smallest(statistics[statistic] ?? new Float64Array(0), rank),
});

/**
 * The selectors of the paper, and two controls of its hypothesis, that what matters is to learn in a small subspace and
 * not how it is chosen: the columns that weight norm and gradient put last.
 */
export const selectors: Selectors = {
  random,
  'weight-norm': byLargest('weightNorm'),
  gradient: byLargest('gradientNormOfSum'),
  'gradient-sum-of-norms': byLargest('gradientSumOfNorms'),
  'weight-norm-smallest': bySmallest('weightNorm'),
  'gradient-smallest': bySmallest('gradientNormOfSum'),
};

/**
 * The registry with one more selector, or another one under a known name.
 *
 * @example
 * ```ts
 * import { orThrow, rngFromSeed, runSelector, selectors, withSelector } from 'paca-ts';
 *
 * const known = withSelector(selectors, 'first', {
 *   needs: [],
 *   select: ({ rank }) => Int32Array.from({ length: rank }, (_, i) => i),
 * });
 * const selection = { path: 'layers.0', columns: 8, rank: 3, statistics: {}, rng: rngFromSeed(0) };
 * Array.from(orThrow(runSelector(known['first']!, selection))); // => [0, 1, 2]
 * ```
 */
export const withSelector = (known: Selectors, name: string, selector: Selector): Selectors => ({
  ...known,
  [name]: selector,
});

/** The selector of a name, or an error that lists the known ones. */
export const findSelector = (known: Selectors, name: string): Result<Selector> => {
  const found = Object.hasOwn(known, name) ? known[name] : undefined;
  return found === undefined
    ? fail('ConfigError', `one of ${Object.keys(known).join(', ')}`, `'${name}'`, 'select')
    : E.right(found);
};

/** Runs a selector; a user's own is held to the same contract: r distinct sorted indices within the weight. */
export const runSelector = (selector: Selector, s: Selection): Result<Int32Array> =>
  pipe(
    checkRank(s.rank, s.columns, s.path),
    E.chain(() => {
      const missing = selector.needs.find((need) => s.statistics[need]?.length !== s.columns);
      return missing === undefined
        ? E.right(selector.select(s))
        : fail('ConfigError', `the statistic ${missing} of ${s.columns} columns`, 'none', s.path);
    }),
    E.chain((indices) => checkIndices(indices, s.columns, s.path)),
    E.chain((indices) =>
      indices.length === s.rank
        ? E.right(indices)
        : fail('IndexError', `${s.rank} columns`, `${indices.length}`, s.path),
    ),
  );

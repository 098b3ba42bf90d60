/**
 * Which examples make up which step. The order is a pure function of (seed, epoch), so a run that resumes at step k jumps
 * there and goes on as if it had never stopped; nothing of the order needs to be saved.
 *
 * Laws: the batches of an epoch hold every example exactly once (with `dropLast`, at most once); `batchesFrom(plan, k)`
 * is `batchesFrom(plan, 0)` without its first k batches, and its items are `batchIndices(plan, k)`, `(plan, k + 1)`, …
 */
import * as E from 'fp-ts/lib/Either.js';
import { permutation, rngFromSeed, splitRng } from '../core/rng.ts';
import { defect, fail, type Result } from '../spec/errors.ts';

export interface BatchPlan {
  /** Examples in the set. */
  readonly examples: number;
  /** Examples a step. */
  readonly batchSize: number;
  /** Any safe integer. */
  readonly seed: number;
  /** Leaves out the last batch of an epoch where it is smaller than the others. */
  readonly dropLast: boolean;
}

/** A checked plan, or a `ConfigError`. */
export const batchPlan = (plan: BatchPlan): Result<BatchPlan> => {
  const { examples, batchSize, seed, dropLast } = plan;
  const wrong = (expected: string, came: number, where: string) => fail('ConfigError', expected, String(came), where);
  if (!Number.isSafeInteger(examples) || examples < 1) return wrong('a count of 1 or more', examples, 'examples');
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) return wrong('a count of 1 or more', batchSize, 'batchSize');
  if (!Number.isSafeInteger(seed)) return wrong('a safe integer', seed, 'seed');
  if (dropLast && batchSize > examples)
    return wrong(`at most the ${examples} examples, as the last batch is dropped`, batchSize, 'batchSize');
  return E.right(plan);
};

/** Steps in an epoch. */
export const stepsPerEpoch = ({ examples, batchSize, dropLast }: BatchPlan): number =>
  dropLast ? Math.floor(examples / batchSize) : Math.ceil(examples / batchSize);

/** The order of the examples in an epoch (0, 1, …): a permutation of 0 … examples − 1. */
export const epochOrder = ({ examples, seed }: BatchPlan, epoch: number): Int32Array =>
  permutation(splitRng(rngFromSeed(seed), `epoch ${epoch}`), examples)[0];

/** Batch number `i` of an order: a view, not a copy. */
const cut = (order: Int32Array, batchSize: number, i: number): Int32Array =>
  order.subarray(i * batchSize, (i + 1) * batchSize);

/** The examples of a step (0, 1, …, on through the epochs). Shuffles the whole epoch: in a loop take {@link batchesFrom}. */
export const batchIndices = (plan: BatchPlan, step: number): Int32Array => {
  if (!Number.isSafeInteger(step) || step < 0) return defect(`batchIndices: ${step} is not a step`);
  const steps = stepsPerEpoch(plan);
  return cut(epochOrder(plan, Math.floor(step / steps)), plan.batchSize, step % steps);
};

/** The batches from a step on, without end. Shuffles once an epoch. */
export function* batchesFrom(plan: BatchPlan, step: number): Generator<Int32Array, never> {
  if (!Number.isSafeInteger(step) || step < 0) return defect(`batchesFrom: ${step} is not a step`);
  const steps = stepsPerEpoch(plan);
  for (let epoch = Math.floor(step / steps), i = step % steps; ; epoch++, i = 0) {
    const order = epochOrder(plan, epoch);
    for (; i < steps; i++) yield cut(order, plan.batchSize, i);
  }
}

/** The batches of one pass in the set's own order, nothing dropped: for evaluation. */
export const inOrder = (examples: number, batchSize: number): readonly Int32Array[] => {
  const order = Int32Array.from({ length: examples }, (_, i) => i);
  return Array.from({ length: Math.ceil(examples / batchSize) }, (_, i) => cut(order, batchSize, i));
};

/**
 * Batches: an epoch is a permutation, and a run that resumes sees what an unbroken run sees.
 */
import * as fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import {
  type BatchPlan,
  batchesFrom,
  batchIndices,
  batchPlan,
  epochOrder,
  inOrder,
  stepsPerEpoch,
} from '../../src/data/batches.ts';

const plans: fc.Arbitrary<BatchPlan> = fc
  .record({
    examples: fc.integer({ min: 1, max: 60 }),
    batchSize: fc.integer({ min: 1, max: 70 }),
    seed: fc.maxSafeInteger(),
    dropLast: fc.boolean(),
  })
  .filter((plan) => E.isRight(batchPlan(plan)));

const take = (plan: BatchPlan, from: number, count: number): number[][] => {
  const batches = batchesFrom(plan, from);
  return Array.from({ length: count }, () => Array.from(batches.next().value));
};

const ascending = (values: readonly number[]): number[] => [...values].sort((a, b) => a - b);
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

describe('batchesFrom', () => {
  it('covers every example exactly once an epoch, or all but the dropped ones at most once', () => {
    fc.assert(
      fc.property(plans, fc.nat({ max: 5 }), (plan, epoch) => {
        const steps = stepsPerEpoch(plan);
        const seen = take(plan, epoch * steps, steps).flat();
        const dropped = plan.dropLast ? plan.examples % plan.batchSize : 0;
        expect(seen.length).toBe(plan.examples - dropped);
        expect(new Set(seen).size).toBe(seen.length);
        if (dropped === 0) expect(ascending(seen)).toEqual(upTo(plan.examples));
      }),
    );
  });

  it('gives full batches, but for the last of an epoch', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const steps = stepsPerEpoch(plan);
        const sizes = take(plan, 0, 2 * steps).map((b) => b.length);
        const rest = plan.examples - (steps - 1) * plan.batchSize;
        const last = plan.dropLast ? plan.batchSize : rest;
        expect(sizes).toEqual(sizes.map((_, i) => (i % steps === steps - 1 ? last : plan.batchSize)));
      }),
    );
  });

  it('goes on after a resume as if it had not stopped', () => {
    fc.assert(
      fc.property(plans, fc.nat({ max: 40 }), (plan, step) => {
        expect(take(plan, step, 7)).toEqual(take(plan, 0, step + 7).slice(step));
      }),
    );
  });

  it('agrees with batchIndices at every step', () => {
    fc.assert(
      fc.property(plans, fc.nat({ max: 1000 }), (plan, step) => {
        expect(upTo(3).map((i) => Array.from(batchIndices(plan, step + i)))).toEqual(take(plan, step, 3));
      }),
    );
  });
});

describe('epochOrder', () => {
  const plan: BatchPlan = { examples: 1000, batchSize: 10, seed: 7, dropLast: false };

  it('differs between epochs and between seeds', () => {
    const first = epochOrder(plan, 0);
    const same = (other: Int32Array): number => first.filter((v, i) => v === other[i]).length;
    expect(same(epochOrder(plan, 0))).toBe(1000);
    expect(same(epochOrder(plan, 1))).toBeLessThan(10);
    expect(same(epochOrder({ ...plan, seed: 8 }, 0))).toBeLessThan(10);
  });

  it('does not depend on the batch size', () => {
    expect(epochOrder({ ...plan, batchSize: 3, dropLast: true }, 4)).toEqual(epochOrder(plan, 4));
  });

  it('is pinned: a checkpoint of an older version resumes in the same order', () => {
    expect(Array.from(epochOrder({ ...plan, examples: 11 }, 2))).toEqual([1, 7, 5, 0, 6, 4, 9, 8, 10, 2, 3]);
  });
});

describe('inOrder', () => {
  it('is the set itself, cut', () => {
    expect(inOrder(7, 3).map((b) => Array.from(b))).toEqual([[0, 1, 2], [3, 4, 5], [6]]);
    expect(inOrder(6, 3).length).toBe(2);
  });
});

describe('batchPlan', () => {
  const good: BatchPlan = { examples: 10, batchSize: 4, seed: 0, dropLast: true };

  it.each([
    [{ examples: 0 }, 'examples'],
    [{ examples: 2.5 }, 'examples'],
    [{ batchSize: 0 }, 'batchSize'],
    [{ batchSize: 11 }, 'batchSize'],
    [{ seed: Number.NaN }, 'seed'],
    [{ seed: 2 ** 53 }, 'seed'],
  ])('rejects %o', (change, where) => {
    expect(batchPlan({ ...good, ...change })).toMatchObject({ left: { tag: 'ConfigError', where } });
  });

  it('takes a batch larger than the set if nothing is dropped', () => {
    const plan = { ...good, batchSize: 11, dropLast: false };
    expect(batchPlan(plan)).toEqual(E.right(plan));
    expect(batchIndices(plan, 0).length).toBe(10);
  });

  it('stops at a step that is none', () => {
    expect(() => batchIndices(good, -1)).toThrow('-1 is not a step');
    expect(() => batchesFrom(good, 0.5).next()).toThrow('0.5 is not a step');
  });
});

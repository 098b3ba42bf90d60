/** Chains, clipping and schedules. */
import { describe, expect, it } from 'vitest';
import { sameTree } from '../../src/core/laws.ts';
import type { Release } from '../../src/core/ops.ts';
import { mapTree, type Tree } from '../../src/core/tree.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { clipByGlobalNorm, globalNorm } from '../../src/optim/clip.ts';
import { constant, cosine, linear, type Schedule, warmUp } from '../../src/optim/schedule.ts';
import { addWeightDecay, momentum, scaleByLearningRate, sgd } from '../../src/optim/sgd.ts';
import { chain, type Transform } from '../../src/optim/transform.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { host, f32 as k, normal, numbersOf, type R } from '../support/tensors.ts';

const transforms: fc.Arbitrary<Transform<R>> = fc.constantFrom(
  clipByGlobalNorm(k, 0.5),
  addWeightDecay(k, { decay: 0.1 }),
  scaleByLearningRate(k, linear(1, 0, 4)),
  sgd(k, { learningRate: 0.5 }),
  momentum(k, { learningRate: 0.5, momentum: 0.9 }),
  adamw(k, { learningRate: 0.1, decay: 0.1 }),
);

const treeOf = (seed: number): Tree<R> => ({
  a: k.fromHost(normal(seed, [2, 3])),
  b: [k.fromHost(normal(seed + 1, [5]))],
});

/** The deltas of three steps, each added to what trains before the next. */
const deltas = (transform: Transform<R>, seed: number, release?: Release<R>): Tree<R> => {
  const params = treeOf(seed);
  let state = transform.init(params);
  return [1, 2, 3].map((step) => {
    const [delta, next] = transform.update(treeOf(seed + 10 * step), state, params, release);
    state = next;
    return mapTree(delta, (d) => k.mul(d, 1));
  });
};

describe('release', () => {
  it('changes no bit, and never gives up what is needed once more', () =>
    fc.assert(
      fc.asyncProperty(transforms, transforms, any.seed, async (f, g, seed) => {
        for (const transform of [f, chain(f, g)]) {
          const released = deltas(transform, seed, (tensor) => k.donate(tensor));
          expect(await sameTree(k, released, deltas(transform, seed))).toBe(true);
        }
      }),
    ));
});

describe('chain', () => {
  it('of one transform is that transform', () =>
    fc.assert(
      fc.asyncProperty(transforms, any.seed, (f, seed) => sameTree(k, deltas(chain(f), seed), deltas(f, seed))),
    ));

  it('does not mind how it is nested', () =>
    fc.assert(
      fc.asyncProperty(transforms, transforms, transforms, any.seed, async (f, g, h, seed) => {
        const flat = deltas(chain(f, g, h), seed);
        expect(await sameTree(k, deltas(chain(f, chain(g, h)), seed), flat)).toBe(true);
        expect(await sameTree(k, deltas(chain(chain(f, g), h), seed), flat)).toBe(true);
      }),
    ));

  it('of none passes the gradient on', async () => {
    const g = treeOf(1);
    expect(chain<R>().update(g, chain<R>().init(g), g)[0]).toBe(g);
  });
});

describe('clipping by the global norm', () => {
  const normOf = async (tree: Tree<R>): Promise<number> => (await numbersOf(k, globalNorm(k, tree)))[0]!;

  /** Of the scaled gradient: a quotient, a product, and the norm's own sums and root; each relative 2⁻²⁴. */
  const ROUNDING = 1 + 24 * 2 ** -24;

  it('leaves a norm of at most max, in the old direction', () =>
    fc.assert(
      fc.asyncProperty(any.seed, fc.constantFrom(1e-3, 0.5, 2, 100), async (seed, max) => {
        const clip = clipByGlobalNorm(k, max);
        const gradient = treeOf(seed);
        const [clipped] = clip.update(gradient, clip.init(gradient), gradient);
        const norm = await normOf(gradient);
        expect(await normOf(clipped)).toBeLessThanOrEqual(max * ROUNDING);
        if (norm <= max) expect(await sameTree(k, clipped, gradient)).toBe(true);
        else {
          expect(await normOf(clipped)).toBeGreaterThanOrEqual(max / ROUNDING);
          const [before, after] = [gradient, clipped].map((t) => numbersOf(k, (t as { a: R }).a));
          const factor = max / norm;
          for (const [i, x] of (await after!).entries()) {
            const expected = (await before!)[i]! * factor;
            expect(Math.abs(x - expected)).toBeLessThanOrEqual(Math.abs(expected) * 24 * 2 ** -24);
          }
        }
      }),
    ));

  it('leaves the bits alone at max exactly', async () => {
    const gradient = k.fromHost(host([2], [3, -4]));
    const clip = clipByGlobalNorm(k, 5);
    expect(await numbersOf(k, clip.update(gradient, clip.init(gradient), gradient)[0] as R)).toEqual([3, -4]);
  });

  it('is over all leaves together, and leaves a gradient of 0 alone', async () => {
    const gradient = { a: k.fromHost(host([1], [3])), b: k.fromHost(host([1], [4])) };
    expect(await normOf(gradient)).toBe(5);
    const clip = clipByGlobalNorm(k, 2.5);
    const [clipped] = clip.update(gradient, clip.init(gradient), gradient);
    expect(await numbersOf(k, (clipped as typeof gradient).b)).toEqual([2]);
    const zero = k.full([3], 0);
    expect(await numbersOf(k, clip.update(zero, clip.init(zero), zero)[0] as R)).toEqual([0, 0, 0]);
  });
});

describe('schedules', () => {
  const range = fc.record({
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    to: fc.double({ min: 0, max: 1, noNaN: true }),
    steps: fc.integer({ min: 1, max: 60 }),
  });

  it.each<[string, (from: number, to: number, steps: number) => Schedule]>([
    ['linear', linear],
    ['cosine', cosine],
  ])('%s begins at from, ends at to and stays there, and goes one way', (_, make) =>
    fc.assert(
      fc.property(range, ({ from, to, steps }) => {
        const schedule = make(from, to, steps);
        const last = schedule(steps);
        expect(Math.abs(schedule(0) - from)).toBeLessThanOrEqual(2 ** -52);
        expect(Math.abs(last - to)).toBeLessThanOrEqual(2 ** -52);
        expect(schedule(steps + 7)).toBe(last);
        const direction = Math.sign(to - from);
        for (let step = 0; step < steps; step++) {
          expect(direction * (schedule(step + 1) - schedule(step))).toBeGreaterThanOrEqual(-(2 ** -52));
          expect(schedule(step)).toBeGreaterThanOrEqual(Math.min(from, to) - 2 ** -52);
          expect(schedule(step)).toBeLessThanOrEqual(Math.max(from, to) + 2 ** -52);
        }
      }),
    ),
  );

  it('linear is half way half way, and so is the cosine', () => {
    expect(linear(1, 0, 8)(4)).toBe(0.5);
    expect(linear(1, 0, 8)(2)).toBe(0.75);
    expect(cosine(1, 0, 8)(4)).toBeCloseTo(0.5, 15);
    expect(cosine(1, 0, 8)(2)).toBeCloseTo((1 + Math.SQRT1_2) / 2, 15);
  });

  it('constant is constant, and a schedule of no steps is at its end', () => {
    expect([0, 1, 1000].map(constant(0.3))).toEqual([0.3, 0.3, 0.3]);
    expect(linear(1, 0.25, 0)(0)).toBe(0.25);
    expect(cosine(1, 0.25, 0)(5)).toBe(0.25);
  });

  it('warm-up rises in equal steps to where the next begins, and hands over', () =>
    fc.assert(
      fc.property(range, fc.integer({ min: 1, max: 20 }), ({ from, to, steps }, warm) => {
        const next = cosine(from, to, steps);
        const schedule = warmUp(warm, next);
        for (let step = 0; step < warm; step++) {
          expect(Math.abs(schedule(step) - (next(0) * (step + 1)) / warm)).toBeLessThanOrEqual(2 ** -52);
        }
        for (let step = 0; step < steps; step++) expect(schedule(warm + step)).toBe(next(step));
      }),
    ));

  it('warm-up of no steps is what follows it', () => {
    expect(warmUp(0, linear(1, 0, 4))(1)).toBe(0.75);
  });
});

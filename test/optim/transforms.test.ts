/** Chains, clipping and schedules. */
import { describe, expect, it } from 'vitest';
import { resolveBackend } from '../../backends/resolve.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { sameTree } from '../../src/core/laws.ts';
import type { Release } from '../../src/core/ops.ts';
import { leaves, mapTree, type Tree, zipTrees } from '../../src/core/tree.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { clipByGlobalNorm, globalNorm } from '../../src/optim/clip.ts';
import { constant, cosine, linear, type Schedule, warmUp } from '../../src/optim/schedule.ts';
import { addWeightDecay, momentum, scaleByLearningRate, sgd } from '../../src/optim/sgd.ts';
import { applyDeltas, chain, type Transform } from '../../src/optim/transform.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { host, f32 as k, normal, numbersOf, type R } from '../support/tensors.ts';

/** A transform of somebody's own, which gives the tensors of its state. */
const heavyBall = <T extends Spec>(k: Kernels<T>): Transform<T> => ({
  init: (params) => ({ tensors: mapTree(params, ({ shape }) => k.full(shape, 0)), numbers: [] }),
  update: (gradients, { tensors, numbers }, _, release) => {
    const velocity = zipTrees([tensors, gradients], (u, g) => {
      const next = k.add(k.mul(u as T, 0.5), g as T);
      release?.(u as T);
      return next;
    });
    return [velocity, { tensors: velocity, numbers }];
  },
  stateSpec: (params) => params,
});

/** The transforms over a backend, by name. */
const transformsOf = <T extends Spec>(k: Kernels<T>) => ({
  clip: clipByGlobalNorm(k, 0.5),
  decay: addWeightDecay(k, { decay: 0.1 }),
  rate: scaleByLearningRate(k, linear(1, 0, 4)),
  sgd: sgd(k, { learningRate: 0.5 }),
  momentum: momentum(k, { learningRate: 0.5, momentum: 0.9 }),
  nesterov: momentum(k, { learningRate: 0.5, momentum: 0.9, nesterov: true }),
  heavyBall: heavyBall(k),
  adamw: adamw(k, { learningRate: 0.1, decay: 0.1 }),
});

type Name = keyof ReturnType<typeof transformsOf>;

const onReference = transformsOf(k);
const names = Object.keys(onReference) as readonly Name[];
const anyName: fc.Arbitrary<Name> = fc.constantFrom(...names);
const transforms: fc.Arbitrary<Transform<R>> = anyName.map((name) => onReference[name]);

const treeOver = <T extends Spec>(k: Kernels<T>, seed: number): Tree<T> => ({
  a: k.fromHost(normal(seed, [2, 3])),
  b: [k.fromHost(normal(seed + 1, [5]))],
});
const treeOf = (seed: number): Tree<R> => treeOver(k, seed);

/** The deltas of three steps, each added to what trains before the next. */
const deltasOver = <T extends Spec>(k: Kernels<T>, of: Transform<T>, seed: number, release?: Release<T>): Tree<T> => {
  let params = treeOver(k, seed);
  let state = of.init(params);
  return [1, 2, 3].map((step) => {
    const [delta, next] = of.update(treeOver(k, seed + 10 * step), state, params, release);
    const copy = mapTree(delta, (d) => k.mul(d, 1));
    state = next;
    params = applyDeltas(k, params, copy, release);
    return copy;
  });
};
const deltas = (transform: Transform<R>, seed: number): Tree<R> => deltasOver(k, transform, seed);

describe('release', () => {
  const isInvisible = <T extends Spec>(k: Kernels<T>, transform: Transform<T>, seed: number): Promise<boolean> => {
    const released = deltasOver(k, transform, seed, (tensor) => k.donate(tensor));
    return sameTree(k, released, deltasOver(k, transform, seed));
  };

  it('changes no bit, and never gives up what is needed once more', () =>
    fc.assert(
      fc.asyncProperty(transforms, transforms, any.seed, async (f, g, seed) => {
        for (const transform of [f, chain(f, g)]) expect(await isInvisible(k, transform, seed)).toBe(true);
      }),
    ));

  /** Which writes over what is given up, as the reference never does. */
  it('nor where it is written over, on WebAssembly, for every pair', async () => {
    const { kernels, dispose } = orThrow(await resolveBackend('wasm', { threads: 2 }));
    const made = transformsOf(kernels);
    for (const first of names)
      for (const second of [null, ...names]) {
        const transform = second === null ? made[first] : chain(made[first], made[second]);
        const what = `${first}, ${second ?? 'alone'}`;
        expect(await isInvisible(kernels, transform, 7), what).toBe(true);
        const reference = second === null ? onReference[first] : chain(onReference[first], onReference[second]);
        const [wasm, expected] = [deltasOver(kernels, transform, 7, kernels.donate), deltas(reference, 7)];
        const numbers = await Promise.all(leaves(wasm).map((t) => numbersOf(kernels, t)));
        expect(numbers, what).toEqual(await Promise.all(leaves(expected).map((t) => numbersOf(k, t))));
      }
    await dispose();
  });

  it('nor where it is written over, on WebAssembly, for any chain of three', async () => {
    const { kernels, dispose } = orThrow(await resolveBackend('wasm', { threads: 2 }));
    const made = transformsOf(kernels);
    await fc.assert(
      fc.asyncProperty(anyName, anyName, anyName, any.seed, (f, g, h, seed) =>
        isInvisible(kernels, chain(made[f], chain(made[g], made[h])), seed),
      ),
    );
    await dispose();
  });
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

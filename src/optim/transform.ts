/**
 * Optimizers as pure pairs, in the shape of optax: `init` makes the state, `update` turns gradients into the deltas
 * to be added to the parameters. Transforms compose with {@link chain}: what one gives, the next takes as gradient.
 *
 * Law: `chain(f)` is f; `chain(f, chain(g, h))` gives the deltas of `chain(f, g, h)`.
 */

import type { Kernels } from '../core/fused.ts';
import type { Release } from '../core/ops.ts';
import { leaves, type Tree, zipTrees } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';

/** Host numbers of a state: step counts and running products, exact in f64. */
export type Numbers = number | readonly Numbers[];

export interface OptimizerState<T> {
  readonly tensors: Tree<T>;
  readonly numbers: Numbers;
}

export interface Transform<T> {
  readonly init: (params: Tree<T>) => OptimizerState<T>;
  /** `release`: the caller gives gradients and state up. A transform that never calls it only costs memory. */
  readonly update: (
    gradients: Tree<T>,
    state: OptimizerState<T>,
    params: Tree<T>,
    release?: Release<T>,
  ) => readonly [deltas: Tree<T>, state: OptimizerState<T>];
  /** The tensors of the state for parameters of these specs, known before anything runs. */
  readonly stateSpec: (params: Tree<Spec>) => Tree<Spec>;
}

/** A transform that keeps nothing. */
export const stateless = <T>(
  update: (gradients: Tree<T>, params: Tree<T>, release?: Release<T>) => Tree<T>,
): Transform<T> => ({
  init: () => ({ tensors: {}, numbers: [] }),
  update: (gradients, state, params, release) => [update(gradients, params, release), state],
  stateSpec: () => ({}),
});

/**
 * One transform after the other.
 *
 * @example
 * ```ts
 * import { chainTransforms, clipByGlobalNorm, orThrow, sgd } from 'paca-ts';
 * import { resolveBackend } from 'paca-ts/backends';
 *
 * const { kernels: k } = orThrow(await resolveBackend('reference'));
 * const optimizer = chainTransforms(clipByGlobalNorm(k, 1), sgd(k, { learningRate: 0.5 }));
 * const params = { w: k.full([2], 0) };
 * const gradient = { w: k.fromHost({ dtype: 'f32', shape: [2], data: Float32Array.of(0, 2) }) };
 * const [deltas] = optimizer.update(gradient, optimizer.init(params), params);
 * Array.from((await k.toHost((deltas as typeof params).w)).data as Float32Array); // => [-0, -0.5]
 * ```
 */
export const chain = <T extends Spec>(...steps: readonly Transform<T>[]): Transform<T> => ({
  init: (params) => {
    const states = steps.map((s) => s.init(params));
    return { tensors: states.map((s) => s.tensors), numbers: states.map((s) => s.numbers) };
  },
  update: (gradients, state, params, release) => {
    const tensors = state.tensors as readonly Tree<T>[];
    const numbers = state.numbers as readonly Numbers[];
    const kept = new Set<T>();
    // What one transform gives may be its new state as well, which the next one must not release.
    const releaseUnlessKept: Release<T> | undefined = release && ((tensor) => kept.has(tensor) || release(tensor));
    let deltas = gradients;
    const states = steps.map((s, i) => {
      const old = { tensors: tensors[i] ?? {}, numbers: numbers[i] ?? [] };
      const [next, after] = s.update(deltas, old, params, releaseUnlessKept);
      deltas = next;
      for (const tensor of leaves(after.tensors)) kept.add(tensor as T);
      return after;
    });
    return [deltas, { tensors: states.map((s) => s.tensors), numbers: states.map((s) => s.numbers) }];
  },
  stateSpec: (params) => steps.map((s) => s.stateSpec(params)),
});

/** θ + Δθ, leaf by leaf; each old θ is released once it was read. */
export const applyDeltas = <T extends Spec>(
  k: Kernels<T>,
  params: Tree<T>,
  deltas: Tree<T>,
  release?: Release<T>,
): Tree<T> =>
  zipTrees([params, deltas], (p, d) => {
    const next = k.add(p as T, d as T);
    release?.(p as T);
    return next;
  });

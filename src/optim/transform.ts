/**
 * Optimizers as pure pairs, in the shape of optax: `init` makes the state, `update` turns gradients into the deltas
 * to be added to the parameters. Transforms compose with {@link chain}: what one gives, the next takes as gradient.
 *
 * Law: `chain(f)` is f; `chain(f, chain(g, h))` gives the deltas of `chain(f, g, h)`.
 */

import type { Kernels } from '../core/fused.ts';
import type { Tree } from '../core/tree.ts';
import { zipTrees } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';

/** Host numbers of a state: step counts and running products, exact in f64. */
export type Numbers = number | readonly Numbers[];

export interface OptimizerState<T> {
  readonly tensors: Tree<T>;
  readonly numbers: Numbers;
}

/** Told of each tensor of an old state once it has been read for the last time, so that its memory can go at once. */
export type Release<T> = (tensor: T) => void;

export interface Transform<T> {
  readonly init: (params: Tree<T>) => OptimizerState<T>;
  /** `release`: the caller gives the state up. A transform that never calls it only costs memory. */
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
export const stateless = <T>(update: (gradients: Tree<T>, params: Tree<T>) => Tree<T>): Transform<T> => ({
  init: () => ({ tensors: {}, numbers: [] }),
  update: (gradients, state, params) => [update(gradients, params), state],
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
export const chain = <T>(...steps: readonly Transform<T>[]): Transform<T> => ({
  init: (params) => {
    const states = steps.map((s) => s.init(params));
    return { tensors: states.map((s) => s.tensors), numbers: states.map((s) => s.numbers) };
  },
  update: (gradients, state, params, release) => {
    const tensors = state.tensors as readonly Tree<T>[];
    const numbers = state.numbers as readonly Numbers[];
    let deltas = gradients;
    const states = steps.map((s, i) => {
      const [next, after] = s.update(deltas, { tensors: tensors[i] ?? {}, numbers: numbers[i] ?? [] }, params, release);
      deltas = next;
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

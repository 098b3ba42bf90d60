/**
 * Stochastic gradient descent, Δθ = −η·(g + λ·θ), and with momentum in PyTorch's form (Sutskever et al. 2013, the
 * learning rate outside the velocity): u ← μ·u + g, Δθ = −η·u, or −η·(g + μ·u) with Nesterov's look-ahead.
 */
import type { Kernels } from '../core/fused.ts';
import { mapTree, type Tree, zipTrees } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';
import { constant, type Schedule } from './schedule.ts';
import { chain, type OptimizerState, stateless, type Transform } from './transform.ts';

/** What pulls the parameters, and how strongly. */
export interface Decay<T> {
  /** λ, default 0. */
  readonly decay?: number;
  /** θ*, in the shape of what trains; 0 if not given. */
  readonly decayTarget?: Tree<T> | null;
}

/** A fixed rate or a schedule. */
export type LearningRate = number | Schedule;

export const scheduleOf = (rate: LearningRate): Schedule => (typeof rate === 'number' ? constant(rate) : rate);

/** −η(step)·g; counts the steps. */
export const scaleByLearningRate = <T extends Spec>(k: Kernels<T>, rate: LearningRate): Transform<T> => {
  const schedule = scheduleOf(rate);
  return {
    init: () => ({ tensors: {}, numbers: 0 }),
    update: (gradients, { tensors, numbers }) => {
      const step = numbers as number;
      return [mapTree(gradients, (g) => k.mul(g, -schedule(step))), { tensors, numbers: step + 1 }];
    },
    stateSpec: () => ({}),
  };
};

/** g + λ·(θ − θ*): L2 regularisation towards a target (0 if none is given), coupled to the gradient. */
export const addWeightDecay = <T extends Spec>(
  k: Kernels<T>,
  { decay = 0, decayTarget = null }: Decay<T>,
): Transform<T> =>
  stateless((gradients, params) => {
    if (decay === 0) return gradients;
    const distance =
      decayTarget === null ? params : zipTrees([params, decayTarget], (p, target) => k.sub(p as T, target as T));
    return zipTrees([gradients, distance], (g, d) => k.add(g as T, k.mul(d as T, decay)));
  });

/** The velocity u ← μ·u + g, from 0. */
const accumulate = <T extends Spec>(k: Kernels<T>, momentum: number, nesterov: boolean): Transform<T> => ({
  init: (params) => ({ tensors: mapTree(params, (p) => k.full(p.shape, 0)), numbers: [] }),
  update: (gradients, state: OptimizerState<T>, _, release): readonly [Tree<T>, OptimizerState<T>] => {
    const velocity = zipTrees([state.tensors, gradients], (u, g) => {
      const next = k.add(k.mul(u as T, momentum), g as T);
      release?.(u as T);
      return next;
    });
    const ahead = nesterov
      ? zipTrees([gradients, velocity], (g, u) => k.add(g as T, k.mul(u as T, momentum)))
      : velocity;
    return [ahead, { tensors: velocity, numbers: state.numbers }];
  },
  stateSpec: (params) => params,
});

export interface SgdConfig<T> extends Decay<T> {
  readonly learningRate: LearningRate;
}

export const sgd = <T extends Spec>(k: Kernels<T>, config: SgdConfig<T>): Transform<T> =>
  chain<T>(addWeightDecay(k, config), scaleByLearningRate(k, config.learningRate));

export interface MomentumConfig<T> extends SgdConfig<T> {
  /** μ */
  readonly momentum: number;
  readonly nesterov?: boolean;
}

export const momentum = <T extends Spec>(k: Kernels<T>, config: MomentumConfig<T>): Transform<T> =>
  chain<T>(
    addWeightDecay(k, config),
    accumulate(k, config.momentum, config.nesterov ?? false),
    scaleByLearningRate(k, config.learningRate),
  );

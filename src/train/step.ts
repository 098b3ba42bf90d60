/**
 * One training step as a pure function: (state, batch) → [state, metrics].
 *
 * A batch is a list of micro-batches; their gradients are added in list order. Each micro-batch divides by the count of
 * the whole batch, so the sum is the gradient of the batch's mean loss. Dropout's random state is a function of the
 * seed, the step and the micro-batch alone, so a step can be run again, and a run resumed, with the same bits.
 */

import type { Kernels } from '../core/fused.ts';
import { andThen } from '../core/layer.ts';
import type { Release } from '../core/ops.ts';
import { type Rng, rngFromSeed, splitRng } from '../core/rng.ts';
import { leaves, mapTree, overlay, type Tree, zipTrees } from '../core/tree.ts';
import type { Loss, Targets } from '../layers/losses.ts';
import { evaluate, type Mode } from '../models/architecture.ts';
import type { Model } from '../models/model.ts';
import { globalNorm, rootOfSum, squaredNorms } from '../optim/clip.ts';
import { applyDeltas, type OptimizerState, type Transform } from '../optim/transform.ts';
import type { DocumentStarts } from '../spec/documents.ts';
import { defect } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';

/** What is minimised. */
export interface Objective<T extends Spec, R> {
  readonly kernels: Kernels<T>;
  readonly model: Model<T>;
  readonly loss: Loss<T, R>;
  /** Seed of what happens in training (dropout); the data order has its own. */
  readonly seed: number;
  /**
   * The share of the residual branches, from 0 to 1, that the backward pass of each micro-batch leaves out (DropBP, Woo et
   * al. 2024); default 0. Their residuals are not kept. Which ones, is drawn from the seed, the step and the micro-batch.
   */
  readonly dropBackward?: number;
}

/** What is trained, and how. */
export interface Problem<T extends Spec, R> extends Objective<T, R> {
  readonly optimizer: Transform<T>;
}

export interface TrainState<T> {
  /** All parameters, frozen and trained. */
  readonly params: Tree<T>;
  readonly optimizer: OptimizerState<T>;
  /** Steps done. */
  readonly step: number;
}

export interface MicroBatch<T> {
  readonly inputs: T;
  readonly targets: T;
  /** Targets that count: examples, tokens, or elements of a squared error. */
  readonly count: number;
  /** Where documents start, if a row of tokens holds several: in host memory, as the mode takes it. */
  readonly starts?: DocumentStarts | undefined;
}

export interface Metrics<T> {
  /** The batch's mean loss, a scalar. */
  readonly loss: T;
  /** ‖g‖₂ over everything that trains, before clipping; a scalar. */
  readonly gradientNorm: T;
  /** Σ g² of each trained tensor, before clipping; scalars, in the shape of what trains. */
  readonly gradientSquares: Tree<T>;
  /** ‖Δθ‖₂/‖θ‖₂ over everything that trains, θ after the step; a scalar. */
  readonly updateRatio: T;
}

export interface StepOptions {
  /** Give the old state's memory to the backend. The old state can't be used afterwards. */
  readonly donate?: boolean;
}

/** The part of the parameters that trains. */
export const trainableOf = <T extends Spec, R>({ model }: Problem<T, R>, params: Tree<T>): Tree<T> =>
  model.layer(evaluate).trainable(params);

/**
 * Step 0. What trains is copied, so that the model's own parameters outlive a donated state and can begin another run;
 * with `donate` they are given to this run instead, and cannot.
 */
export const initialState = <T extends Spec, R>(
  problem: Problem<T, R>,
  { donate = false }: StepOptions = {},
): TrainState<T> => {
  const { kernels: k, model, optimizer } = problem;
  const own = trainableOf(problem, model.params);
  const trained = donate ? own : mapTree(own, (p) => k.cast(p, p.dtype));
  return { params: overlay(model.params, trained), optimizer: optimizer.init(trained), step: 0 };
};

/** The random state of a micro-batch: a function of these three numbers alone. */
export const microRng = (seed: number, step: number, micro: number): Rng =>
  splitRng(rngFromSeed(seed), `step ${step} micro ${micro}`);

/** Loss and gradient of one micro-batch, as its share of the batch's. */
const lossAndGradient = <T extends Spec, R>(
  { kernels: k, model, loss }: Objective<T, R>,
  mode: Mode,
  params: Tree<T>,
  { inputs, targets }: MicroBatch<T>,
  denominator: number,
): readonly [loss: T, gradient: Tree<T>] =>
  k.scope(() => {
    const whole = andThen(k, model.layer(mode), loss);
    const p: readonly [Tree<T>, Targets<T>] = [params, { targets, denominator }];
    const [value, residual] = whole.forward(p, inputs);
    const [gradient] = whole.gradient(p, residual, k.full([], 1));
    return [value, gradient];
  });

/** A batch's mean loss and its gradient: the sums over the micro-batches, in order. */
export const batchGradient = <T extends Spec, R>(
  problem: Objective<T, R>,
  state: Pick<TrainState<T>, 'params' | 'step'>,
  batch: readonly MicroBatch<T>[],
): readonly [loss: T, gradient: Tree<T>] => {
  const { kernels: k, seed, dropBackward = 0 } = problem;
  const denominator = batch.reduce((n, { count }) => n + count, 0);
  const shares = (micro: MicroBatch<T>, i: number): readonly [T, Tree<T>] => {
    const mode: Mode = { kind: 'train', rng: microRng(seed, state.step, i), dropBackward, starts: micro.starts };
    return lossAndGradient(problem, mode, state.params, micro, denominator);
  };
  const [first, ...rest] = batch;
  if (first === undefined) return defect('a batch of no micro-batches');
  return rest.reduce(
    ([loss, gradient], micro, i) =>
      k.scope(() => {
        const [l, g] = shares(micro, i + 1);
        return [k.add(loss, l), zipTrees([gradient, g], (a, b) => k.add(a as T, b as T))];
      }),
    shares(first, 0),
  );
};

/**
 * The next state and the metrics of this step. Law: with `donate` the bits are the same. Memory: what an old state holds
 * is given up tensor by tensor, each as soon as its successor exists.
 */
export const trainStep = <T extends Spec, R>(
  problem: Problem<T, R>,
  state: TrainState<T>,
  batch: readonly MicroBatch<T>[],
  { donate = false }: StepOptions = {},
): readonly [TrainState<T>, Metrics<T>] => {
  const { kernels: k, optimizer } = problem;
  const before = trainableOf(problem, state.params);
  const released = new Set<T>();
  const giveUp: Release<T> = (tensor) => {
    released.add(tensor);
    k.donate(tensor);
  };
  const release = donate ? giveUp : undefined;
  const next = k.scope((): readonly [TrainState<T>, Metrics<T>] => {
    const [loss, gradient] = batchGradient(problem, state, batch);
    const gradientSquares = squaredNorms(k, gradient);
    const gradientNorm = rootOfSum(k, gradientSquares);
    const [deltas, optimizerState] = optimizer.update(gradient, state.optimizer, before, release);
    const trained = applyDeltas(k, before, deltas, release);
    const params = overlay(state.params, trained);
    const updateRatio = k.div(globalNorm(k, deltas), globalNorm(k, trained));
    return [
      { params, optimizer: optimizerState, step: state.step + 1 },
      { loss, gradientNorm, gradientSquares, updateRatio },
    ];
  });
  if (donate) {
    const held = new Set([...released, ...leaves(next[0].optimizer.tensors)]);
    k.donate(leaves(state.optimizer.tensors).filter((tensor) => !held.has(tensor)));
  }
  return next;
};

/**
 * Two training loops, as plain as can be: of whatever a layer says that trains, and the yardstick of PaCA, full
 * fine-tuning whose gradient and update are masked to the selected columns and which holds its weight as W + Δ.
 */
import type { Kernels } from '../../src/core/fused.ts';
import { type AnyLayer, andThen } from '../../src/core/layer.ts';
import { overlay, type Tree, zipTrees } from '../../src/core/tree.ts';
import type { Loss } from '../../src/layers/losses.ts';
import { applyDeltas, type OptimizerState, type Transform } from '../../src/optim/transform.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import type { R } from './tensors.ts';

export interface Batch<T> {
  readonly x: T;
  readonly targets: T;
  readonly denominator: number;
}

/** A layer with a loss over it. */
export interface Objective<T extends Spec> {
  readonly k: Kernels<T>;
  readonly layer: AnyLayer<T>;
  readonly loss: Loss<T, never>;
}

export interface Task extends Objective<R> {
  readonly optimizer: Transform<R>;
  /** One for each step. */
  readonly batches: readonly Batch<R>[];
}

/** What is there after a step: the loss before it, and what trains after it. */
export interface Trace {
  readonly loss: R;
  readonly trained: Tree<R>;
}

export interface Run {
  readonly params: Tree<R>;
  readonly trace: readonly Trace[];
}

/** A loss layer whose residual nobody looks at. */
export const lossOf = <T, S>(loss: Loss<T, S>): Loss<T, never> => loss as unknown as Loss<T, never>;

/** The loss of a batch and the gradient of what trains. */
export const lossAndGradient = <T extends Spec>(
  { k, layer, loss }: Objective<T>,
  params: Tree<T>,
  { x, targets, denominator }: Batch<T>,
): readonly [loss: T, gradient: Tree<T>] => {
  const whole = andThen(k, layer, loss);
  const p = [params, { targets, denominator }] as const;
  const [value, residual] = whole.forward(p, x);
  return [value, whole.gradient(p, residual, k.full([], 1))[0]];
};

/** Trains what the layer says that trains. */
export const train = (task: Task, initial: Tree<R>): Run => {
  const { k, layer, optimizer } = task;
  let params = initial;
  let state = optimizer.init(layer.trainable(params));
  const trace = task.batches.map((batch): Trace => {
    const [loss, gradient] = lossAndGradient(task, params, batch);
    const before = layer.trainable(params);
    const [deltas, next] = optimizer.update(gradient, state, before);
    state = next;
    params = overlay(params, applyDeltas(k, before, deltas));
    return { loss, trained: layer.trainable(params) };
  });
  return { params, trace };
};

/**
 * Full fine-tuning of W + Δ, both in the shape of the weights; `mask` is 1 where Δ may move. The update is masked too: a
 * decay towards anything but W would move frozen entries though their gradient is 0. `trained` is Δ.
 */
export const trainMasked = (task: Task, base: Tree<R>, mask: Tree<R>): Run => {
  const { k, optimizer } = task;
  const masked = (tree: Tree<R>): Tree<R> => zipTrees([mask, tree], (m, t) => k.where(m!, t!, 0));
  let delta: Tree<R> = zipTrees([mask], (m) => k.full(m!.shape, 0));
  let state: OptimizerState<R> = optimizer.init(delta);
  const trace = task.batches.map((batch): Trace => {
    const [loss, gradient] = lossAndGradient(task, applyDeltas(k, base, delta), batch);
    const [update, next] = optimizer.update(masked(gradient), state, delta);
    state = next;
    delta = applyDeltas(k, delta, masked(update));
    return { loss, trained: delta };
  });
  return { params: applyDeltas(k, base, delta), trace };
};

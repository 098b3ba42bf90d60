/**
 * Losses, as sums divided by a given denominator: the examples (or elements) of the whole batch, so that the losses and
 * gradients of micro-batches simply add up to those of the batch.
 *
 * Shapes: logits `[n, classes]` with targets `i32 [n]`; y and target of equal shape; the loss is a scalar `[]`.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { asColumn, flatten, widthOf } from './shapes.ts';

export interface CrossEntropyKernels<T> {
  /**
   * −Σ log p[target] / denominator, and the probabilities p = softmax(logits). A row whose target lies outside
   * 0 … classes − 1 (PyTorch's ignore_index, −100) counts nothing.
   */
  readonly forward: (logits: T, targets: T, denominator: number) => readonly [loss: T, probabilities: T];
  /** (p − onehot)·dLoss/denominator. */
  readonly backward: (probabilities: T, targets: T, denominator: number, dLoss: T) => T;
}

export interface MeanSquaredErrorKernels<T> {
  /** Σ (y − target)² / denominator, and the difference y − target. */
  readonly forward: (y: T, target: T, denominator: number) => readonly [loss: T, difference: T];
  /** 2·(y − target)·dLoss/denominator. */
  readonly backward: (difference: T, denominator: number, dLoss: T) => T;
}

/** The pieces of softmax: x − max x, its exponentials, and their sum, row by row. */
const exponentials = <T extends Spec>(o: Ops<T>, x: T): { shifted: T; powers: T; sum: T } => {
  const shifted = o.sub(x, asColumn(o, o.maxLast(x)));
  const powers = o.exp(shifted);
  return { shifted, powers, sum: o.sumLast(powers) };
};

export const crossEntropy = <T extends Spec>(o: Ops<T>): CrossEntropyKernels<T> => ({
  forward: (logits, targets, denominator) => {
    const { shifted, powers, sum } = exponentials(o, logits);
    const target = o.oneHot(targets, widthOf(logits));
    const surprise = o.sub(o.log(sum), o.sumLast(o.where(target, shifted, 0)));
    const counted = o.where(o.maxLast(target), surprise, 0);
    return [o.div(o.sumLast(counted), denominator), o.div(powers, asColumn(o, sum))];
  },
  backward: (probabilities, targets, denominator, dLoss) => {
    const target = o.oneHot(targets, widthOf(probabilities));
    const counted = asColumn(o, o.maxLast(target));
    return o.mul(o.where(counted, o.sub(probabilities, target), 0), o.div(dLoss, denominator));
  },
});

export const meanSquaredError = <T extends Spec>(o: Ops<T>): MeanSquaredErrorKernels<T> => ({
  forward: (y, target, denominator) => {
    const difference = o.sub(y, target);
    return [o.div(o.sumLast(flatten(o, o.mul(difference, difference))), denominator), difference];
  },
  backward: (difference, denominator, dLoss) => o.mul(difference, o.div(o.mul(dLoss, 2), denominator)),
});

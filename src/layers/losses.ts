/**
 * Losses as layers: the targets are their parameters, nothing trains. A loss is a sum divided by a denominator that
 * the caller gives, the examples (or elements) of the whole batch; so losses and gradients of micro-batches add up.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { flatten } from '../core/derived/shapes.ts';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import type { Result } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';
import { untrained } from './activations.ts';
import { checkFloat, checkInput, fresh, isFloat } from './checks.ts';

export interface Targets<T> {
  /** Class numbers `i32 [n]` for cross-entropy, values of y's shape for the squared error. */
  readonly targets: T;
  readonly denominator: number;
}

export type Loss<T, R> = Layer<Targets<T>, None, T, T, R>;

const scalar =
  (check: (x: SlotTree) => Result<SlotTree>, name: string) =>
  (x: SlotTree): Result<SlotTree> =>
    pipe(
      check(x),
      E.map((s) => fresh(theSlot(s), name, [])),
    );

/**
 * Softmax cross-entropy of logits `[…, classes]`, with as many targets as there are rows. Keeps the probabilities.
 */
export const crossEntropy = <T extends Spec>(k: Kernels<T>): Loss<T, { readonly probabilities: T }> => {
  const rows = (x: T): T => k.reshape(x, [-1, x.shape.at(-1) ?? 0]);
  return {
    forward: ({ targets, denominator }, logits) =>
      k.scope(() => {
        const [loss, probabilities] = k.crossEntropy.forward(rows(logits), flatten(k, targets), denominator);
        return [loss, { probabilities: k.reshape(probabilities, logits.shape) }];
      }),
    backward: ({ targets, denominator }, { probabilities }, dLoss) =>
      k.scope(() => {
        const dx = k.crossEntropy.backward(rows(probabilities), flatten(k, targets), denominator, dLoss);
        return [none, k.reshape(dx, probabilities.shape)];
      }),
    ...untrained,
    output: scalar(
      (x) => checkInput(x, 'float logits [..., classes]', 'crossEntropy', (s) => isFloat(s) && s.shape.length > 1),
      'crossEntropy',
    ),
    residual: (x) => {
      const s = theSlot(x);
      return { probabilities: fresh(s, 'probabilities', s.shape) };
    },
  };
};

/** Squared error of y of any shape. Keeps the difference. */
export const meanSquaredError = <T extends Spec>({
  meanSquaredError: kernel,
}: Kernels<T>): Loss<T, { readonly difference: T }> => ({
  forward: ({ targets, denominator }, y) => {
    const [loss, difference] = kernel.forward(y, targets, denominator);
    return [loss, { difference }];
  },
  backward: ({ denominator }, { difference }, dLoss) => [none, kernel.backward(difference, denominator, dLoss)],
  ...untrained,
  output: scalar((x) => checkFloat(x, 'meanSquaredError'), 'meanSquaredError'),
  residual: (x) => {
    const s = theSlot(x);
    return { difference: fresh(s, 'difference', s.shape) };
  },
});

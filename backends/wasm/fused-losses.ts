/**
 * Losses: what is derived in `src/core/derived/losses.ts`, the rows in `assembly/losses.ts`. The backward pass of the
 * mean squared error is one product already, and stays derived.
 */
import type { Fused } from '../../src/core/fused.ts';
import type { Ops } from '../../src/core/ops.ts';
import { defect } from '../../src/spec/errors.ts';
import { showSpec, sizeOf } from '../../src/spec/tensor.ts';
import type { Exports } from './exports.ts';
import { floatsOf, intsOf, type Memory, type WasmTensor } from './memory.ts';

type Tensor = WasmTensor;

export type FusedLosses = Pick<Fused<Tensor>, 'crossEntropy'> & {
  readonly meanSquaredError: Pick<Fused<Tensor>['meanSquaredError'], 'forward'>;
};

/** The address of the targets: one for each row of the logits or probabilities. */
const targetsFor = (x: Tensor, targets: Tensor): number =>
  sizeOf(targets.shape) === sizeOf(x.shape.slice(0, -1))
    ? intsOf(targets)
    : defect(`cross-entropy: ${showSpec(targets)} are no targets of ${showSpec(x)}`);

export const fusedLosses = (
  exports: Exports,
  memory: Memory,
  { sub, div, sumLast }: Pick<Ops<Tensor>, 'sub' | 'div' | 'sumLast'>,
): FusedLosses => ({
  crossEntropy: {
    forward: (logits, targets, denominator) =>
      memory.scope(() => {
        const [from, labels] = [floatsOf(logits), targetsFor(logits, targets)];
        const probabilities = memory.create('f32', logits.shape);
        const surprises = memory.create('f32', logits.shape.slice(0, -1));
        const [p, s] = [floatsOf(probabilities), floatsOf(surprises)];
        exports.crossEntropy(0, sizeOf(surprises.shape), logits.shape.at(-1) ?? 1, from, labels, p, s);
        return [div(sumLast(surprises), denominator), probabilities] as const;
      }),
    backward: (probabilities, targets, denominator, dLoss) =>
      memory.scope(() => {
        const [from, labels] = [floatsOf(probabilities), targetsFor(probabilities, targets)];
        const factor = div(dLoss, denominator);
        if (sizeOf(factor.shape) !== 1)
          defect(`cross-entropy: one gradient of the loss expected, got ${showSpec(dLoss)}`);
        const gradient = memory.create('f32', probabilities.shape);
        const rows = sizeOf(probabilities.shape.slice(0, -1));
        const classes = probabilities.shape.at(-1) ?? 1;
        exports.crossEntropyBackward(0, rows, classes, from, labels, floatsOf(factor), floatsOf(gradient));
        return gradient;
      }),
  },
  meanSquaredError: {
    forward: (y, target, denominator) =>
      memory.scope(() => {
        const difference = sub(y, target);
        const sum = memory.create('f32', []);
        exports.sumSquaresLast(0, 1, sizeOf(difference.shape), floatsOf(difference), floatsOf(sum));
        return [div(sum, denominator), difference] as const;
      }),
  },
});

/** The losses, forward and backward, as sums over a denominator. */
import type { Kernels } from '../../core/fused.ts';
import { crossEntropy, type Loss, meanSquaredError } from '../../layers/losses.ts';
import { type HostTensor, inputSlot, type Spec } from '../../spec/tensor.ts';
import { residualBytes } from '../../train/account.ts';
import { drawn, floats, input, integers, type VectorCase } from '../case.ts';

const lossCase = (
  id: string,
  note: string,
  make: <T extends Spec>(k: Kernels<T>) => Loss<T, unknown>,
  y: HostTensor,
  targets: HostTensor,
  denominator: number,
): VectorCase => ({
  id,
  note,
  settings: { denominator },
  inputs: { y, targets, dLoss: floats([], [1]) },
  run: (k, inputs) => {
    const loss = make(k);
    const p = { targets: input(inputs, 'targets'), denominator };
    const [value, residual] = loss.forward(p, input(inputs, 'y'));
    const [, dy] = loss.backward(p, residual, input(inputs, 'dLoss'));
    return { loss: value, dy };
  },
  residualBytes: (k) => residualBytes(make(k).residual(inputSlot('y', { shape: y.shape, dtype: k.float }))),
});

export const lossCases: readonly VectorCase[] = [
  lossCase(
    'losses/cross-entropy',
    '−Σ log softmax(y)[target]/denominator; dy = (p − onehot)·dLoss/denominator.',
    crossEntropy as <T extends Spec>(k: Kernels<T>) => Loss<T, unknown>,
    drawn('cross-entropy.y', 5, 7),
    integers(3, 0, 6, 6, 1),
    5,
  ),
  lossCase(
    'losses/cross-entropy-ignored',
    'Targets of −100 count nothing, in the loss or in the gradient; the denominator counts the others.',
    crossEntropy as <T extends Spec>(k: Kernels<T>) => Loss<T, unknown>,
    drawn('cross-entropy-ignored.y', 5, 19),
    integers(-100, 0, 18, -100, 11),
    3,
  ),
  lossCase(
    'losses/mean-squared-error',
    'Σ (y − target)²/denominator; dy = 2·(y − target)·dLoss/denominator.',
    meanSquaredError as <T extends Spec>(k: Kernels<T>) => Loss<T, unknown>,
    drawn('mean-squared-error.y', 5, 7),
    drawn('mean-squared-error.targets', 5, 7),
    35,
  ),
];

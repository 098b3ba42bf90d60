/**
 * RMS normalisation (Zhang & Sennrich 2019). Keeps its input and one number a row.
 * Shapes: x and y `[…, width]`, weight `[width]`. Trained, its weight trains; frozen, nothing.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import type { Slot, Spec } from '../spec/tensor.ts';
import { checkWidth, fresh } from './checks.ts';

export interface NormConfig {
  readonly width: number;
  readonly epsilon: number;
}

export interface RmsNormParams<T> {
  readonly weight: T;
}

interface Residual<T> {
  readonly x: T;
  readonly inverse: T;
}

/** One number for each row of x. */
export const rowStatistic = (x: Slot, name: string): Slot => fresh(x, name, x.shape.slice(0, -1));

const shared = <T extends Spec>(k: Kernels<T>, { width, epsilon }: NormConfig) => ({
  forward: ({ weight }: RmsNormParams<T>, x: T): readonly [T, Residual<T>] => {
    const [y, inverse] = k.rmsNorm.forward(x, weight, epsilon);
    return [y, { x, inverse }];
  },
  inputGradient: ({ weight }: RmsNormParams<T>, { x, inverse }: Residual<T>, dy: T): T =>
    k.rmsNorm.inputGradient(dy, x, inverse, weight),
  output: (x: SlotTree) =>
    pipe(
      checkWidth(x, width, 'rmsNorm'),
      E.map((s): SlotTree => fresh(s, 'rmsNorm', s.shape)),
    ),
  residual: (x: SlotTree): SlotTree => ({ x, inverse: rowStatistic(theSlot(x), 'inverse') }),
});

export const rmsNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<RmsNormParams<T>, RmsNormParams<T>, T, T, Residual<T>> => {
  const { inputGradient, ...rest } = shared(k, config);
  const gradient = (_: RmsNormParams<T>, { x, inverse }: Residual<T>, dy: T): RmsNormParams<T> => ({
    weight: k.rmsNorm.weightGradient(dy, x, inverse),
  });
  return {
    ...rest,
    backward: (p, residual, dy) => [gradient(p, residual, dy), inputGradient(p, residual, dy)],
    gradient,
    trainable: (p) => p,
  };
};

export const frozenRmsNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<RmsNormParams<T>, None, T, T, Residual<T>> => {
  const { inputGradient, ...rest } = shared(k, config);
  return {
    ...rest,
    backward: (p, residual, dy) => [none, inputGradient(p, residual, dy)],
    gradient: () => none,
    trainable: () => none,
  };
};

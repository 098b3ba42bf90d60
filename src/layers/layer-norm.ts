/**
 * Layer normalisation (Ba et al. 2016). Keeps its input and two numbers a row.
 * Shapes: x and y `[…, width]`, weight and bias `[width]`. Trained, both train; frozen, nothing.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';
import { checkWidth, fresh } from './checks.ts';
import { type NormConfig, rowStatistic } from './rms-norm.ts';

export interface LayerNormParams<T> {
  readonly weight: T;
  readonly bias: T;
}

interface Residual<T> {
  readonly x: T;
  readonly mean: T;
  readonly inverse: T;
}

const shared = <T extends Spec>(k: Kernels<T>, { width, epsilon }: NormConfig) => ({
  forward: ({ weight, bias }: LayerNormParams<T>, x: T): readonly [T, Residual<T>] => {
    const [y, mean, inverse] = k.layerNorm.forward(x, weight, bias, epsilon);
    return [y, { x, mean, inverse }];
  },
  inputGradient: ({ weight }: LayerNormParams<T>, { x, mean, inverse }: Residual<T>, dy: T): T =>
    k.layerNorm.inputGradient(dy, x, mean, inverse, weight),
  output: (x: SlotTree) =>
    pipe(
      checkWidth(x, width, 'layerNorm'),
      E.map((s): SlotTree => fresh(s, 'layerNorm', s.shape)),
    ),
  residual: (x: SlotTree): SlotTree => ({
    x,
    mean: rowStatistic(theSlot(x), 'mean'),
    inverse: rowStatistic(theSlot(x), 'inverse'),
  }),
});

export const layerNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<LayerNormParams<T>, LayerNormParams<T>, T, T, Residual<T>> => {
  const { inputGradient, ...rest } = shared(k, config);
  const gradient = (_: LayerNormParams<T>, { x, mean, inverse }: Residual<T>, dy: T): LayerNormParams<T> => ({
    weight: k.layerNorm.weightGradient(dy, x, mean, inverse),
    bias: k.layerNorm.biasGradient(dy),
  });
  return {
    ...rest,
    backward: (p, residual, dy) => [gradient(p, residual, dy), inputGradient(p, residual, dy)],
    gradient,
    trainable: (p) => p,
  };
};

export const frozenLayerNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<LayerNormParams<T>, None, T, T, Residual<T>> => {
  const { inputGradient, ...rest } = shared(k, config);
  return {
    ...rest,
    backward: (p, residual, dy) => [none, inputGradient(p, residual, dy)],
    gradient: () => none,
    trainable: () => none,
  };
};

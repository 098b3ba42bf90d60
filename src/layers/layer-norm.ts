/**
 * Layer normalisation (Ba et al. 2016). Keeps its input and two numbers a row.
 * Shapes: x and y `[…, width]`, weight and bias `[width]`. Trained, both train; frozen, nothing.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, theSlot } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';
import { checkWidth, fresh } from './checks.ts';
import { type Formulas, frozen, trained } from './parametric.ts';
import { type NormConfig, rowStatistic } from './rms-norm.ts';

export interface LayerNormParams<T> {
  readonly weight: T;
  readonly bias: T;
}

export interface LayerNormResidual<T> {
  readonly x: T;
  readonly mean: T;
  readonly inverse: T;
}

const formulas = <T extends Spec>(
  k: Kernels<T>,
  { width, epsilon }: NormConfig,
): Formulas<T, LayerNormParams<T>, LayerNormResidual<T>> => ({
  forward: ({ weight, bias }, x) => {
    const [y, mean, inverse] = k.layerNorm.forward(x, weight, bias, epsilon);
    return [y, { x, mean, inverse }];
  },
  inputGradient: ({ weight }, { x, mean, inverse }, dy) => k.layerNorm.inputGradient(dy, x, mean, inverse, weight),
  gradient: (_, { x, mean, inverse }, dy) => ({
    weight: k.layerNorm.weightGradient(dy, x, mean, inverse),
    bias: k.layerNorm.biasGradient(dy),
  }),
  output: (x) =>
    pipe(
      checkWidth(x, width, 'layerNorm'),
      E.map((s) => fresh(s, 'layerNorm', s.shape)),
    ),
  residual: (x) => {
    const s = theSlot(x);
    return { x, mean: rowStatistic(s, 'mean'), inverse: rowStatistic(s, 'inverse') };
  },
});

export const layerNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<LayerNormParams<T>, LayerNormParams<T>, T, T, LayerNormResidual<T>> => trained(formulas(k, config));

export const frozenLayerNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<LayerNormParams<T>, None, T, T, LayerNormResidual<T>> => frozen(formulas(k, config));

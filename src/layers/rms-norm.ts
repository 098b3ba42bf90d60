/**
 * RMS normalisation (Zhang & Sennrich 2019). Keeps its input and one number a row.
 * Shapes: x and y `[…, width]`, weight `[width]`. Trained, its weight trains; frozen, nothing.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, theSlot } from '../core/tree.ts';
import type { Slot, Spec } from '../spec/tensor.ts';
import { checkWidth, fresh } from './checks.ts';
import { type Formulas, frozen, trained } from './parametric.ts';

export interface NormConfig {
  readonly width: number;
  readonly epsilon: number;
}

export interface RmsNormParams<T> {
  readonly weight: T;
}

export interface RmsNormResidual<T> {
  readonly x: T;
  readonly inverse: T;
}

/** One number for each row of x. */
export const rowStatistic = (x: Slot, name: string): Slot => fresh(x, name, x.shape.slice(0, -1));

const formulas = <T extends Spec>(
  k: Kernels<T>,
  { width, epsilon }: NormConfig,
): Formulas<T, RmsNormParams<T>, RmsNormResidual<T>> => ({
  forward: ({ weight }, x) => {
    const [y, inverse] = k.rmsNorm.forward(x, weight, epsilon);
    return [y, { x, inverse }];
  },
  inputGradient: ({ weight }, { x, inverse }, dy) => k.rmsNorm.inputGradient(dy, x, inverse, weight),
  gradient: (_, { x, inverse }, dy) => ({ weight: k.rmsNorm.weightGradient(dy, x, inverse) }),
  output: (x) =>
    pipe(
      checkWidth(x, width, 'rmsNorm'),
      E.map((s) => fresh(s, 'rmsNorm', s.shape)),
    ),
  residual: (x) => ({ x, inverse: rowStatistic(theSlot(x), 'inverse') }),
});

export const rmsNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<RmsNormParams<T>, RmsNormParams<T>, T, T, RmsNormResidual<T>> => trained(formulas(k, config));

export const frozenRmsNorm = <T extends Spec>(
  k: Kernels<T>,
  config: NormConfig,
): Layer<RmsNormParams<T>, None, T, T, RmsNormResidual<T>> => frozen(formulas(k, config));

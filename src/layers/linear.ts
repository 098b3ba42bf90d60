/**
 * y = x Wᵀ + b. Trained in full it keeps its whole input; frozen it keeps nothing.
 * Shapes: x `[…, in]`, weight `[out, in]`, bias `[out]`, y `[…, out]`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import type { None, SlotTree } from '../core/tree.ts';
import type { Result } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';
import { checkWidth, fresh, withWidth } from './checks.ts';
import { type Formulas, frozen, keepingNothing, trained } from './parametric.ts';

export interface LinearConfig {
  readonly in: number;
  readonly out: number;
}

/** A weight, in any storage type, and a bias if the layer has one. */
export interface Affine<T> {
  readonly weight: T;
  readonly bias?: T;
}

/** The output of a linear map, of whatever method. */
export const linearOutput =
  ({ in: width, out }: LinearConfig) =>
  (x: SlotTree): Result<SlotTree> =>
    pipe(
      checkWidth(x, width, 'linear'),
      E.map((s) => fresh(s, 'linear', withWidth(s, out))),
    );

/** Full training keeps its whole input. */
export interface InputResidual<T> {
  readonly x: T;
}

const inputGradient =
  <T extends Spec>(k: Kernels<T>) =>
  ({ weight }: Affine<T>, dy: T): T =>
    k.linear.inputGradient(dy, weight);

const formulas = <T extends Spec>(k: Kernels<T>, config: LinearConfig): Formulas<T, Affine<T>, InputResidual<T>> => ({
  forward: ({ weight, bias }, x) => [k.linear.forward(x, weight, bias ?? null), { x }],
  inputGradient: (p, _, dy) => inputGradient(k)(p, dy),
  gradient: ({ bias }, { x }, dy) => ({
    weight: k.linear.weightGradient(dy, x),
    ...(bias && { bias: k.linear.biasGradient(dy) }),
  }),
  output: linearOutput(config),
  residual: (x) => ({ x }),
});

export const linear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
): Layer<Affine<T>, Affine<T>, T, T, InputResidual<T>> => trained(formulas(k, config));

export const frozenLinear = <T extends Spec>(k: Kernels<T>, config: LinearConfig): Layer<Affine<T>, None, T, T, None> =>
  frozen(keepingNothing(formulas(k, config), inputGradient(k)));

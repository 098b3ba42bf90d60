/**
 * y = x Wᵀ + b. Trained in full it keeps its whole input; frozen it keeps nothing.
 * Shapes: x `[…, in]`, weight `[out, in]`, bias `[out]`, y `[…, out]`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree } from '../core/tree.ts';
import type { Result } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';
import { checkWidth, fresh, withWidth } from './checks.ts';

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

export const linear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
): Layer<Affine<T>, Affine<T>, T, T, { readonly x: T }> => {
  const gradient = (p: Affine<T>, { x }: { readonly x: T }, dy: T): Affine<T> => ({
    weight: k.linear.weightGradient(dy, x),
    ...(p.bias && { bias: k.linear.biasGradient(dy) }),
  });
  return {
    forward: ({ weight, bias }, x) => [k.linear.forward(x, weight, bias ?? null), { x }],
    backward: (p, residual, dy) => [gradient(p, residual, dy), k.linear.inputGradient(dy, p.weight)],
    gradient,
    trainable: (p) => p,
    output: linearOutput(config),
    residual: (x) => ({ x }),
  };
};

export const frozenLinear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
): Layer<Affine<T>, None, T, T, None> => ({
  forward: ({ weight, bias }, x) => [k.linear.forward(x, weight, bias ?? null), none],
  backward: ({ weight }, _, dy) => [none, k.linear.inputGradient(dy, weight)],
  gradient: () => none,
  trainable: () => none,
  output: linearOutput(config),
  residual: () => none,
});

/**
 * The linear map with partial connections (paper, equations 7 and 8), in the delta form of PEFT's PaCA tuner:
 *
 *   y = x W̃ᵀ + b,   W̃ = W but for the selected columns, W̃[:, I] = W[:, I] + s·δ
 *
 * The order of rounding is declared: W̃ = fl(widen(W) + fl(s·δ)), adapters added in list order;
 * ∂δ = fl(s · Σₙ dyᵀ x[:, I]), with s after the sum. W itself is never written.
 *
 * Shapes: x `[…, in]`, weight `[out, in]`, indices `i32 [r]` sorted and distinct, delta `[out, r]`, dy `[…, out]`.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { linear } from './linear.ts';
import { toRows } from './shapes.ts';
import { widen } from './widen.ts';

/** One set of partial connections over a weight: r slices along an axis, and what is added to them, times `scale`. */
export interface Connections<T> {
  readonly indices: T;
  readonly delta: T;
  readonly scale: number;
}

export interface PacaLinearKernels<T> {
  readonly forward: (x: T, weight: T, bias: T | null, connections: readonly Connections<T>[]) => T;
  /** ∂x = dy W̃. */
  readonly inputGradient: (dy: T, weight: T, connections: readonly Connections<T>[]) => T;
  /** ∂δ = s · dyᵀ x[:, I]; `selected` is x[:, I] `[n, r]`, all that PaCA keeps. */
  readonly deltaGradient: (dy: T, selected: T, scale: number) => T;
}

/** W̃: the weight with every adapter's s·δ added to its slices along `axis`. */
export const pacaWeight = <T extends Spec>(
  o: Ops<T>,
  weight: T,
  connections: readonly Connections<T>[],
  axis: number,
): T =>
  connections.reduce(
    (w, { indices, delta, scale }) => o.scatterAdd(w, indices, axis, o.mul(delta, scale)),
    widen(o, weight),
  );

export const pacaLinear = <T extends Spec>(o: Ops<T>): PacaLinearKernels<T> => {
  const plain = linear(o);
  return {
    forward: (x, weight, bias, connections) => plain.forward(x, pacaWeight(o, weight, connections, 1), bias),
    inputGradient: (dy, weight, connections) => plain.inputGradient(dy, pacaWeight(o, weight, connections, 1)),
    deltaGradient: (dy, selected, scale) => o.mul(o.matmul(toRows(o, dy), toRows(o, selected), 'tn'), scale),
  };
};

/**
 * The linear map y = x Wᵀ + b and its derivative (paper, equations 1 and 2).
 *
 * Shapes: x `[…, in]`, weight `[out, in]` in any storage type, bias `[out]`, y and dy `[…, out]`.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { sameLeading, toRows } from './shapes.ts';
import { widen } from './widen.ts';

export interface LinearKernels<T> {
  /** y = x Wᵀ + b. */
  readonly forward: (x: T, weight: T, bias: T | null) => T;
  /** ∂x = dy W. */
  readonly inputGradient: (dy: T, weight: T) => T;
  /** ∂W = dyᵀ x, summed over the rows in order. */
  readonly weightGradient: (dy: T, x: T) => T;
  /** ∂b = Σ dy over the rows, in order. */
  readonly biasGradient: (dy: T) => T;
}

export const linear = <T extends Spec>(o: Ops<T>): LinearKernels<T> => ({
  forward: (x, weight, bias) => {
    const product = o.matmul(toRows(o, x), widen(o, weight), 'nt');
    return sameLeading(o, bias === null ? product : o.add(product, bias), x);
  },
  inputGradient: (dy, weight) => sameLeading(o, o.matmul(toRows(o, dy), widen(o, weight), 'nn'), dy),
  weightGradient: (dy, x) => o.matmul(toRows(o, dy), toRows(o, x), 'tn'),
  biasGradient: (dy) => o.sumFirst(toRows(o, dy)),
});

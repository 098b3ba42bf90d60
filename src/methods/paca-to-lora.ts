/**
 * PaCA as a LoRA: x W̃ᵀ = x Wᵀ + s·(x Aᵀ) Bᵀ with A the 0/1 selector of the columns and B = δ. The parameters convert
 * exactly, so any LoRA runtime serves a PaCA adapter; the forward sums in another order and is equal within the bound.
 */
import type { HostTensorOf } from '../spec/tensor.ts';

/** An adapter of a linear map on the host: what files hold. */
export interface HostPaca {
  /** `i64` or `i32` in files, plain here: sorted and distinct. */
  readonly indices: Int32Array;
  /** δ `[out, r]`. */
  readonly delta: HostTensorOf<'f32'>;
  /** s = α/r, the same for both forms. */
  readonly scale: number;
}

export interface HostLora {
  /** A `[r, in]` */
  readonly a: HostTensorOf<'f32'>;
  /** B `[out, r]` */
  readonly b: HostTensorOf<'f32'>;
  readonly scale: number;
}

/**
 * `columns`: the weight's number of input columns. The indices are taken to be valid (`checkIndices`).
 *
 * @example
 * ```ts
 * import { pacaToLora } from 'paca-ts';
 *
 * const lora = pacaToLora(
 *   { indices: Int32Array.of(1, 3), delta: { dtype: 'f32', shape: [1, 2], data: Float32Array.of(5, 6) }, scale: 2 },
 *   4,
 * );
 * Array.from(lora.a.data); // => [0, 1, 0, 0, 0, 0, 0, 1]
 * Array.from(lora.b.data); // => [5, 6]
 * ```
 */
export const pacaToLora = ({ indices, delta, scale }: HostPaca, columns: number): HostLora => {
  const selector = new Float32Array(indices.length * columns);
  indices.forEach((column, row) => {
    selector[row * columns + column] = 1;
  });
  return { a: { dtype: 'f32', shape: [indices.length, columns], data: selector }, b: delta, scale };
};

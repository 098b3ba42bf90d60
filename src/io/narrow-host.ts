/**
 * f32 tensors in the types of storage, on the host.
 *
 * Law: each number becomes the nearest of the type, ties to even; what the type holds stays as it is. A finite number
 * never becomes infinite.
 */
import * as E from 'fp-ts/lib/Either.js';
import { fail, type Result } from '../spec/errors.ts';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../spec/float16.ts';
import type { HostTensor, HostTensorOf } from '../spec/tensor.ts';

/** The types in which weights are stored. */
export type StorageType = 'f32' | 'f16' | 'bf16';

export const storageTypes: readonly StorageType[] = ['f32', 'f16', 'bf16'];

export interface Narrowed {
  readonly tensor: HostTensor;
  /** The largest |stored − given|. */
  readonly error: number;
}

/** ShapeError: a finite number that the type rounds to infinity. */
export const narrowHost = (tensor: HostTensorOf<'f32'>, dtype: StorageType, where: string): Result<Narrowed> => {
  if (dtype === 'f32') return E.right({ tensor, error: 0 });
  const [encode, decode] = dtype === 'f16' ? [numberToF16, f16ToNumber] : [numberToBf16, bf16ToNumber];
  const { shape, data } = tensor;
  const stored = new Uint16Array(data.length);
  let error = 0;
  for (let i = 0; i < data.length; i++) {
    const given = data[i]!;
    stored[i] = encode(given);
    if (!Number.isFinite(given)) continue;
    error = Math.max(error, Math.abs(decode(stored[i]!) - given));
    if (error === Number.POSITIVE_INFINITY)
      return fail('ShapeError', `numbers that ${dtype} holds`, String(given), `${where}, element ${i}`);
  }
  return E.right({ tensor: { dtype, shape, data: stored }, error });
};

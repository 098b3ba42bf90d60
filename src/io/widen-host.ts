/**
 * Stored tensors as f32, on the host: of 16 bits, and NF4.
 *
 * Law: every number keeps its value; f32 holds them all.
 */
import * as E from 'fp-ts/lib/Either.js';
import { fail, type Result } from '../spec/errors.ts';
import { bf16ToNumber, f16ToNumber } from '../spec/float16.ts';
import { decodeNf4, isNf4 } from '../spec/nf4.ts';
import { type HostTensor, type HostTensorOf, showSpec, sizeOf } from '../spec/tensor.ts';

/** The tensor in f32. ShapeError: an element type that f32 does not hold. */
export const widenHost = (tensor: HostTensor, where: string): Result<HostTensorOf<'f32'>> => {
  const { dtype, shape, data } = tensor;
  if (dtype === 'f32') return E.right(tensor);
  if (isNf4(dtype)) return E.right({ dtype: 'f32', shape, data: decodeNf4(dtype, sizeOf(shape), data as Uint8Array) });
  if (dtype !== 'f16' && dtype !== 'bf16')
    return fail('ShapeError', 'a tensor of f32, f16 or bf16', showSpec(tensor), where);
  const number = dtype === 'f16' ? f16ToNumber : bf16ToNumber;
  const wide = new Float32Array(data.length);
  for (let i = 0; i < wide.length; i++) wide[i] = number(data[i]!);
  return E.right({ dtype: 'f32', shape, data: wide });
};

/** Between element types, and between the host and the backend. */
import { type DType, storedLength } from '../../src/spec/dtype.ts';
import { defect } from '../../src/spec/errors.ts';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../../src/spec/float16.ts';
import { decodeNf4, isNf4 } from '../../src/spec/nf4.ts';
import { type HostTensor, type Shape, sizeOf } from '../../src/spec/tensor.ts';
import type { Arithmetic } from './arithmetic.ts';
import { dataOf, floatsOf, intsOf, type Memory, type ReferenceTensor } from './memory.ts';

type Tensor = ReferenceTensor;

/** Decoding and encoding of one stored element; storing into the array rounds f32 and wraps the integers. */
const codecs: { readonly [D in DType]?: { decode: (bits: number) => number; encode: (x: number) => number } } = {
  f64: { decode: (x) => x, encode: (x) => x },
  f32: { decode: (x) => x, encode: (x) => x },
  f16: { decode: f16ToNumber, encode: numberToF16 },
  bf16: { decode: bf16ToNumber, encode: numberToBf16 },
  i32: { decode: (x) => x, encode: (x) => x },
  u8: { decode: (x) => x, encode: (x) => x },
};

const WORD = 32;

export interface Conversion {
  readonly fromHost: (t: HostTensor) => Tensor;
  readonly toHost: (t: Tensor) => Promise<HostTensor>;
  readonly cast: (x: Tensor, dtype: DType) => Tensor;
  readonly packMask: (mask: Tensor) => Tensor;
  readonly unpackMask: (bits: Tensor, shape: Shape) => Tensor;
}

export const conversion = ({ float }: Arithmetic, memory: Memory): Conversion => ({
  fromHost: (t) => {
    if (t.data.length !== storedLength(t.dtype, sizeOf(t.shape)))
      defect(`${t.data.length} elements for the shape [${t.shape}]`);
    const result = memory.create(t.dtype === 'f64' || t.dtype === 'f32' ? float : t.dtype, t.shape);
    dataOf(result).set(t.data as never);
    return result;
  },
  toHost: async (t) => ({ dtype: t.dtype, shape: t.shape, data: dataOf(t).slice() }) as HostTensor,

  cast: (x, dtype) => {
    if (isNf4(x.dtype) && dtype === float) {
      const result = memory.create(dtype, x.shape);
      floatsOf(result).set(decodeNf4(x.dtype, sizeOf(x.shape), dataOf(x) as Uint8Array));
      return result;
    }
    const decode = codecs[x.dtype]?.decode ?? defect(`cast from ${x.dtype}`);
    const encode = codecs[dtype]?.encode ?? defect(`cast to ${dtype}`);
    const result = memory.create(dtype, x.shape);
    const from = dataOf(x) as Float64Array;
    const to = dataOf(result) as Float64Array;
    for (let i = 0; i < to.length; i++) to[i] = encode(decode(from[i]!));
    return result;
  },

  packMask: (mask) => {
    const from = floatsOf(mask);
    const result = memory.create('i32', [Math.ceil(from.length / WORD)]);
    const words = intsOf(result);
    from.forEach((value, i) => {
      if (value !== 0) words[Math.floor(i / WORD)]! |= 1 << (i % WORD);
    });
    return result;
  },
  unpackMask: (bits, shape) => {
    const words = intsOf(bits);
    const result = memory.create(float, shape);
    const to = floatsOf(result);
    for (let i = 0; i < to.length; i++) to[i] = (words[Math.floor(i / WORD)]! >>> (i % WORD)) & 1;
    return result;
  },
});

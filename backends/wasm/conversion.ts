/** Between element types, and between the host and the backend. */
import type { Ops } from '../../src/core/ops.ts';
import { type DType, type HostArrays, storedLength } from '../../src/spec/dtype.ts';
import { defect } from '../../src/spec/errors.ts';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../../src/spec/float16.ts';
import { isNf4 } from '../../src/spec/nf4.ts';
import { type HostTensor, sizeOf } from '../../src/spec/tensor.ts';
import type { Exports, UnaryKernel } from './exports.ts';
import { floatsOf, intsOf, type Memory, type WasmTensor } from './memory.ts';
import { nf4Record } from './nf4.ts';

type Tensor = WasmTensor;

export type Conversion = Pick<Ops<Tensor>, 'fromHost' | 'toHost' | 'cast' | 'packMask' | 'unpackMask'>;

const WORD = 32;

const wordsFor = (count: number): number => Math.ceil(count / WORD);

const identity = (x: number): number => x;

/** Decoding and encoding of one stored element; storing into the array rounds f32 and wraps the integers. */
const codecs: { readonly [D in DType]?: { decode: (bits: number) => number; encode: (x: number) => number } } = {
  f64: { decode: identity, encode: identity },
  f32: { decode: identity, encode: identity },
  f16: { decode: f16ToNumber, encode: numberToF16 },
  bf16: { decode: bf16ToNumber, encode: numberToBf16 },
  i32: { decode: identity, encode: identity },
  u8: { decode: identity, encode: identity },
};

/** `length` elements of a memory, from a byte address on. */
const views: { readonly [D in DType]: (from: ArrayBufferLike, address: number, length: number) => HostArrays[D] } = {
  f64: (from, address, length) => new Float64Array(from, address, length),
  f32: (from, address, length) => new Float32Array(from, address, length),
  f16: (from, address, length) => new Uint16Array(from, address, length),
  bf16: (from, address, length) => new Uint16Array(from, address, length),
  i64: (from, address, length) => new BigInt64Array(from, address, length),
  i32: (from, address, length) => new Int32Array(from, address, length),
  u8: (from, address, length) => new Uint8Array(from, address, length),
  nf4: (from, address, length) => new Uint8Array(from, address, length),
  'nf4-single': (from, address, length) => new Uint8Array(from, address, length),
};

/** The casts that have a kernel, by `from→to`; the others go element by element, here. */
const castKernels = (exports: Exports): Readonly<Record<string, UnaryKernel>> => ({
  'f16→f32': exports.widenF16,
  'bf16→f32': exports.widenBf16,
  'i32→f32': exports.intsToFloats,
  'u8→f32': exports.bytesToFloats,
  'f32→f16': exports.narrowF16,
  'f32→bf16': exports.narrowBf16,
  'f32→i32': exports.floatsToInts,
  'f32→u8': exports.floatsToBytes,
});

export const conversion = (exports: Exports, memory: Memory): Conversion => {
  const kernels = castKernels(exports);

  /** The elements of a tensor where they lie; not to be kept over the creation of another tensor. */
  const arrayOf = (x: Tensor): HostArrays[DType] =>
    views[x.dtype](memory.bytes().buffer, memory.pointerOf(x), storedLength(x.dtype, sizeOf(x.shape)));

  const castByElement = (x: Tensor, result: Tensor): Tensor => {
    const decode = codecs[x.dtype]?.decode ?? defect(`cast from ${x.dtype}`);
    const encode = codecs[result.dtype]?.encode ?? defect(`cast to ${result.dtype}`);
    const from = arrayOf(x) as Float64Array;
    const to = arrayOf(result) as Float64Array;
    for (let i = 0; i < to.length; i++) to[i] = encode(decode(from[i]!));
    return result;
  };

  /** The values of an NF4 weight. */
  const widenNf4 = (x: Tensor): Tensor => {
    const result = memory.create('f32', x.shape);
    memory.scope(() => exports.widenNf4(0, sizeOf(x.shape), nf4Record(memory, x), floatsOf(result)));
    return result;
  };

  return {
    fromHost: (t) => {
      if (t.data.length !== storedLength(t.dtype, sizeOf(t.shape)))
        defect(`${t.data.length} elements for the shape [${t.shape}]`);
      const result = memory.create(t.dtype === 'f64' ? 'f32' : t.dtype, t.shape);
      arrayOf(result).set(t.data as never);
      return result;
    },
    toHost: async (t) => ({ dtype: t.dtype, shape: t.shape, data: arrayOf(t).slice() }) as HostTensor,

    cast: (x, dtype) => {
      if (isNf4(x.dtype) && dtype === 'f32') return widenNf4(x);
      const from = memory.pointerOf(x);
      const result = memory.create(dtype, x.shape);
      const kernel = kernels[`${x.dtype}→${dtype}`];
      if (kernel === undefined) return castByElement(x, result);
      kernel(0, sizeOf(x.shape), from, memory.pointerOf(result));
      return result;
    },

    packMask: (mask) => {
      const from = floatsOf(mask);
      const count = sizeOf(mask.shape);
      const result = memory.create('i32', [wordsFor(count)]);
      exports.packMask(0, wordsFor(count), count, from, intsOf(result));
      return result;
    },
    unpackMask: (bits, shape) => {
      const words = intsOf(bits);
      const count = sizeOf(shape);
      if (sizeOf(bits.shape) < wordsFor(count)) defect(`${sizeOf(bits.shape)} words for a mask of [${shape}]`);
      const result = memory.create('f32', shape);
      exports.unpackMask(0, wordsFor(count), count, words, floatsOf(result));
      return result;
    },
  };
};

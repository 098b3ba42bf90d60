/**
 * Element types. Arithmetic happens in `f32` (or in `f64`, the oracle); `f16` and `bf16` are storage types of frozen
 * weights, and so are `nf4` and `nf4-single` (`nf4.ts`); `i32` holds indices and labels, `i64` and `u8` appear in files only.
 */
import { isNf4, type Nf4Type, nf4Layout } from './nf4.ts';

/** The types that files hold, each element for itself. */
export type FileType = 'f64' | 'f32' | 'f16' | 'bf16' | 'i64' | 'i32' | 'u8';

export type DType = FileType | Nf4Type;

/** The types in which a backend computes. */
export type FloatType = 'f64' | 'f32';

/** The array that holds each element type on the host. `f16` and `bf16` are held as their bit patterns, NF4 as its bytes. */
export interface HostArrays {
  readonly f64: Float64Array;
  readonly f32: Float32Array;
  readonly f16: Uint16Array;
  readonly bf16: Uint16Array;
  readonly i64: BigInt64Array;
  readonly i32: Int32Array;
  readonly u8: Uint8Array;
  readonly nf4: Uint8Array;
  readonly 'nf4-single': Uint8Array;
}

const constructors: {
  readonly [D in DType]: {
    new (length: number): HostArrays[D];
    new (buffer: ArrayBufferLike, byteOffset: number, length: number): HostArrays[D];
    readonly BYTES_PER_ELEMENT: number;
  };
} = {
  f64: Float64Array,
  f32: Float32Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u8: Uint8Array,
  nf4: Uint8Array,
  'nf4-single': Uint8Array,
};

/** Length of the array that holds `count` elements: as many, but for NF4. */
export const storedLength = (dtype: DType, count: number): number =>
  isNf4(dtype) ? nf4Layout(dtype, count).bytes : count;

/** Bytes of one element of the array. */
export const bytesPerElement = (dtype: DType): number => constructors[dtype].BYTES_PER_ELEMENT;

/** A zeroed host array of `length` elements. */
export const hostArray = <D extends DType>(dtype: D, length: number): HostArrays[D] => new constructors[dtype](length);

/** The host array of `length` elements that lies in the buffer, at a multiple of their size. */
export const hostArrayOver = <D extends DType>(
  dtype: D,
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
): HostArrays[D] => new constructors[dtype](buffer, byteOffset, length);

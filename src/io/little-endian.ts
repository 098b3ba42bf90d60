/**
 * Tensors as the bytes that files hold: row-major, little-endian on every machine.
 *
 * Law: `tensorFromBytes(t, tensorBytes(t))` has the bits of `t`, NaN payloads included: elements are moved as bytes and
 * never pass through a number.
 */
import { bytesPerElement, hostArray, hostArrayOver } from '../spec/dtype.ts';
import { type HostTensor, type Spec, sizeOf } from '../spec/tensor.ts';

const hostIsLittleEndian: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** A copy in which the `width` bytes of each element stand in the opposite order. Its own inverse. */
export const swapBytes = (bytes: Uint8Array, width: number): Uint8Array =>
  bytes.map((_, i) => bytes[i + width - 1 - 2 * (i % width)] ?? 0);

const swapOnBigEndian = (bytes: Uint8Array, width: number): Uint8Array =>
  hostIsLittleEndian ? bytes : swapBytes(bytes, width);

/** The bytes of a tensor. A view, not a copy, where the host is little-endian: read it before the tensor changes. */
export const tensorBytes = ({ dtype, data }: HostTensor): Uint8Array =>
  swapOnBigEndian(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), bytesPerElement(dtype));

/** The tensor of this spec whose bytes are `bytes`, at any alignment; they are copied. `bytes.length` is `bytesOf(s)`. */
export const tensorFromBytes = ({ dtype, shape }: Spec, bytes: Uint8Array): HostTensor => {
  const data = hostArray(dtype, sizeOf(shape));
  new Uint8Array(data.buffer).set(swapOnBigEndian(bytes, bytesPerElement(dtype)));
  return { dtype, shape, data } as HostTensor;
};

/** As {@link tensorFromBytes}, but the caller gives the bytes up: where alignment and the host allow, they are not copied. */
export const tensorOver = (spec: Spec, bytes: Uint8Array): HostTensor => {
  const { dtype, shape } = spec;
  if (!hostIsLittleEndian || bytes.byteOffset % bytesPerElement(dtype) !== 0) return tensorFromBytes(spec, bytes);
  return { dtype, shape, data: hostArrayOver(dtype, bytes.buffer, bytes.byteOffset, sizeOf(shape)) } as HostTensor;
};

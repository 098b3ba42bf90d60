/**
 * What a tensor is, before any backend holds it: a shape and an element type. Row-major, last axis fastest.
 */
import { bytesPerElement, type DType, type HostArrays, storedLength } from './dtype.ts';

export type Shape = readonly number[];

export interface Spec {
  readonly shape: Shape;
  readonly dtype: DType;
}

/**
 * A spec that knows which buffer it stands for. Two slots with the same `slot` name are one buffer and are counted
 * once. `scope` is the prefix under which a layer that reads this value names the buffers it creates.
 */
export interface Slot extends Spec {
  readonly slot: string;
  readonly scope: string;
}

/** A tensor in host memory: what files, vectors and read-backs hold. */
export type HostTensor = { readonly [D in DType]: HostTensorOf<D> }[DType];

export interface HostTensorOf<D extends DType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: HostArrays[D];
}

/** Number of elements; 1 for a scalar, whose shape is `[]`. */
export const sizeOf = (shape: Shape): number => shape.reduce((n, d) => n * d, 1);

/** Bytes of a tensor of this spec. */
export const bytesOf = ({ shape, dtype }: Spec): number => storedLength(dtype, sizeOf(shape)) * bytesPerElement(dtype);

export const spec = (dtype: DType, ...shape: readonly number[]): Spec => ({ dtype, shape });

/** The slot of a value that enters the program (a batch, an activation given by the caller). */
export const inputSlot = (name: string, s: Spec): Slot => ({ shape: s.shape, dtype: s.dtype, slot: name, scope: name });

/** A new buffer, created by the layer that reads `from`. */
export const freshSlot = (from: Slot, name: string, s: Spec): Slot => inputSlot(`${from.scope}.${name}`, s);

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((d, i) => d === b[i]);

/** `f32[2, 3]`: as error messages write it. */
export const showSpec = (s: Spec): string => `${s.dtype}[${s.shape.join(', ')}]`;

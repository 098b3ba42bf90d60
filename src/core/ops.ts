/**
 * `Ops<T>`: the whole contract of a backend. `T` is the backend's own handle: opaque but for its spec, so a handle of
 * one backend cannot be given to another. Everything is synchronous but reading back.
 *
 * What makes it a specification is that the rounding is declared, not only the value:
 * - every element-wise operation rounds once, in the backend's `float` type; `exp`, `log`, `tanh`, `erf` are the
 *   functions of `spec/elementary`, the same bits in every engine;
 * - `matmul` adds its products one after the other from k = 0, starting at +0, one rounding for each × and each +,
 *   never a fused multiply-add;
 * - `sumLast` adds in {@link LANES} interleaved partial sums that a fixed tree combines; `sumFirst` adds sequentially;
 * - `scatterAdd` and `fold` add in ascending order of the source.
 *
 * A backend of the exact class has these bits; one of the bounded class lies within `spec/tolerance`.
 */
import type { DType, FloatType } from '../spec/dtype.ts';
import type { HostTensor, Shape, Spec } from '../spec/tensor.ts';

/** A tensor or a number; a number is rounded once to the backend's float type and broadcast. */
export type Operand<T> = T | number;

/** Which operands of a product are stored transposed: `nn` is A·B, `nt` is A·Bᵀ, `tn` is Aᵀ·B. */
export type Layout = 'nn' | 'nt' | 'tn';

/** The sliding window of a convolution or a pooling; each pair is [vertical, horizontal], in pixels. */
export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padding: readonly [number, number];
  readonly dilation: readonly [number, number];
}

/** Bytes of tensors alive in the backend now, and the most that were alive at once since the last `resetPeak`. */
export interface MemoryUse {
  readonly live: number;
  readonly peak: number;
}

/** Told of each tensor that was read for the last time, so that its memory can go, or serve the result, at once. */
export type Release<T> = (tensor: T) => void;

/**
 * Partial sums of `sumLast`. Element i is added to partial sum i mod 16, each starting at +0; then sum j takes sum
 * j + 8, then j + 4, j + 2, j + 1. Sixteen is four registers of four lanes.
 */
export const LANES = 16;

export interface Ops<T extends Spec> {
  /** The type in which this backend computes. */
  readonly float: FloatType;

  /** Copies in. `f64` and `f32` become the backend's float type; other types are kept as they are. */
  readonly fromHost: (t: HostTensor) => T;
  /** Copies out. */
  readonly toHost: (t: T) => Promise<HostTensor>;
  /** A tensor of the float type with one value everywhere. */
  readonly full: (shape: Shape, value: number) => T;

  /** Runs `body`; what it created and did not return (anywhere in its result, which is a tree) is released. */
  readonly scope: <A>(body: () => A) => A;
  /**
   * Gives the leaves of `tree` up: the backend may reuse their memory. Using one afterwards throws.
   * Law: a computation over donated inputs has the bits of the one over kept inputs.
   */
  readonly donate: (tree: unknown) => void;
  readonly memory: () => MemoryUse;
  readonly resetPeak: () => void;

  /** Element-wise over broadcast shapes, as NumPy broadcasts. */
  readonly add: (a: Operand<T>, b: Operand<T>) => T;
  readonly sub: (a: Operand<T>, b: Operand<T>) => T;
  readonly mul: (a: Operand<T>, b: Operand<T>) => T;
  readonly div: (a: Operand<T>, b: Operand<T>) => T;
  /** IEEE maximum: NaN if either is NaN, and +0 above −0. */
  readonly max: (a: Operand<T>, b: Operand<T>) => T;
  /** 1 where a > b, else 0; 0 where either is NaN. */
  readonly greater: (a: Operand<T>, b: Operand<T>) => T;
  /** `a` where `mask` ≠ 0, else `b`; the value not taken has no influence. */
  readonly where: (mask: T, a: Operand<T>, b: Operand<T>) => T;

  readonly neg: (x: T) => T;
  readonly sqrt: (x: T) => T;
  readonly exp: (x: T) => T;
  readonly log: (x: T) => T;
  readonly tanh: (x: T) => T;
  readonly erf: (x: T) => T;

  /** Another element type, rounded to nearest even; from NF4 to the float type, and nothing to NF4. */
  readonly cast: (x: T, dtype: DType) => T;
  /** A 0/1 mask as bits, 32 to an `i32` word, element i at bit i mod 32 of word ⌊i/32⌋. */
  readonly packMask: (mask: T) => T;
  /** The 0/1 mask of `shape` from its bits. */
  readonly unpackMask: (bits: T, shape: Shape) => T;

  /** The same elements under another shape; one dimension may be −1. Shares memory. */
  readonly reshape: (x: T, shape: Shape) => T;
  /** Axis i of the result is axis `order[i]` of x. */
  readonly transpose: (x: T, order: readonly number[]) => T;

  /** Σ over the last axis, in the lane order: `[…, k]` → `[…]`. */
  readonly sumLast: (x: T) => T;
  /** Σ over the first axis, sequentially from +0: `[n, …]` → `[…]`. */
  readonly sumFirst: (x: T) => T;
  /** The maximum over the last axis, as `max`; −∞ for an empty one. */
  readonly maxLast: (x: T) => T;
  /** The first position of the maximum of the last axis: `[…, k]` → `i32 […]`. */
  readonly argmaxLast: (x: T) => T;

  /**
   * Matrix product over the last two axes. Leading (batch) axes are equal, or absent on one side.
   * `nn`: `[m, k]·[k, n]`; `nt`: `[m, k]·[n, k]ᵀ`; `tn`: `[k, m]ᵀ·[k, n]`; all give `[m, n]`.
   */
  readonly matmul: (a: T, b: T, layout: Layout) => T;

  /** Picks slices along `axis`: `indices` is `i32 [r]`; the result has r in place of that axis. Any element type but NF4. */
  readonly gather: (x: T, indices: T, axis: number) => T;
  /** x with slice j of `source` added to slice `indices[j]` along `axis`, in ascending j. */
  readonly scatterAdd: (x: T, indices: T, axis: number, source: T) => T;
  /** `i32 […]` → `[…, depth]`: 1 at the index, else 0; an index outside 0 … depth − 1 gives a row of zeros. */
  readonly oneHot: (indices: T, depth: number) => T;

  /**
   * The patches under a sliding window: `[n, c, h, w]` → `[c, kh·kw, n·oh·ow]`; a place outside the image has the
   * value `outside`. (im2col, with the batch innermost but for the image, so that a convolution is one product.)
   */
  readonly unfold: (x: T, window: Window, outside: number) => T;
  /** The adjoint of `unfold`: adds each patch back into an image of `shape`, window offsets in ascending order. */
  readonly fold: (columns: T, window: Window, shape: Shape) => T;
}

/** All that a combinator of layers needs of a backend. */
export type Scope = Pick<Ops<never>, 'scope'>;

/** Length of one axis after a sliding window. */
export const outputLength = (input: number, window: Window, axis: 0 | 1): number =>
  Math.floor(
    (input + 2 * window.padding[axis] - window.dilation[axis] * (window.kernel[axis] - 1) - 1) / window.stride[axis],
  ) + 1;

/**
 * What the WebAssembly module exports, by the names of `assembly/`. Pointers are byte addresses, counts are elements.
 *
 * `begin` and `end` say which elements, rows or columns of the result a call computes, so that a range can be cut into
 * parts for several threads; the bits do not depend on the cut.
 */

// ---- Products, attention, and the peak that they are measured against (assembly/gemm.ts, attention.ts, peak.ts)

/** Which pieces of work, and the sizes and options of an attention; a `window` of `keys` is no limit, `starts` of 0 none. */
export type AttentionGeometry = readonly [
  first: number,
  step: number,
  batch: number,
  queries: number,
  keys: number,
  heads: number,
  groups: number,
  width: number,
  scale: number,
  causal: number,
  window: number,
  starts: number,
];

/** Kernels of matrix products, and of attention, which is made of them. */
export interface ProductKernels {
  /**
   * Rows × columns of C = op(A)·op(B) + bias; see `assembly/gemm.ts`.
   * `layout` 0 nn, 1 nt, 2 tn; `stride…` bytes from one row of a matrix in memory to the next; `typeB` 0 f32, 1 bf16,
   * 2 f16, 3 NF4, whose `b` is a record and whose `strideB` counts numbers; `fresh` 0 to add to what C holds; `bias` 0 for none; `connections` `count` records of
   * { indices, delta, rank, scale } that are added to the columns of B, a weight; `scratch` this thread's packing space.
   */
  readonly gemm: (
    rowBegin: number,
    rowEnd: number,
    columnBegin: number,
    columnEnd: number,
    layout: number,
    k: number,
    a: number,
    strideA: number,
    b: number,
    strideB: number,
    typeB: number,
    c: number,
    strideC: number,
    fresh: number,
    bias: number,
    connections: number,
    count: number,
    scratch: number,
  ) => void;
  /** y of the pieces `first`, `first + step`, …; see `assembly/attention.ts`. `rows` is {@link roomBytes} of room. */
  readonly attention: (
    ...args: [...AttentionGeometry, q: number, k: number, v: number, y: number, rows: number, scratch: number]
  ) => void;
  readonly attentionBackward: (
    ...args: [
      ...AttentionGeometry,
      q: number,
      k: number,
      v: number,
      dy: number,
      dq: number,
      dk: number,
      dv: number,
      rows: number,
      scratch: number,
    ]
  ) => void;
  /** Bytes of room that a call of the attention kernels needs; `backward` 0 or 1. */
  readonly roomBytes: (keys: number, backward: number) => number;
  /** Bytes of packing space that a thread needs. */
  readonly scratchBytes: () => number;
  /** `repeats` rounds of independent multiplications and additions in registers; returns a value that depends on all. */
  readonly peakMultiplyAdd: (repeats: number) => number;
}

// ---- Tensors: element-wise, reductions, indexing, windows, conversion and the fused kernels over them

/** Computes the elements (or rows, columns) begin … end − 1 of a result; a range can be cut into parts. */
type Ranged<A extends readonly number[]> = (...args: [begin: number, end: number, ...A]) => void;

/** An operand as the kernels read it: address (0 for a number), strides along rows and columns, the number. */
export type BroadcastOperand = readonly [address: number, row: number, step: number, value: number];

export type UnaryKernel = Ranged<[x: number, out: number]>;
export type PairKernel = Ranged<[a: number, b: number, out: number]>;
export type BinaryKernel = Ranged<[columns: number, ...a: BroadcastOperand, ...b: BroadcastOperand, out: number]>;
export type RowKernel = Ranged<[width: number, x: number, out: number]>;

/** Image, window and outputs, as `unfold` and `fold` take them. */
export type WindowGeometry = readonly [
  images: number,
  channels: number,
  height: number,
  width: number,
  area: number,
  kernelWidth: number,
  strideY: number,
  strideX: number,
  paddingY: number,
  paddingX: number,
  dilationY: number,
  dilationX: number,
  outHeight: number,
  outWidth: number,
];

/** The kernels on elements, rows and slices. Addresses are bytes, lengths elements; the range always comes first. */
export interface TensorKernels {
  readonly add: BinaryKernel;
  readonly sub: BinaryKernel;
  readonly mul: BinaryKernel;
  readonly div: BinaryKernel;
  readonly max: BinaryKernel;
  readonly greater: BinaryKernel;
  readonly where: Ranged<
    [
      columns: number,
      mask: number,
      maskRow: number,
      maskStep: number,
      ...a: BroadcastOperand,
      ...b: BroadcastOperand,
      out: number,
    ]
  >;
  readonly neg: UnaryKernel;
  readonly sqrt: UnaryKernel;
  readonly exp: UnaryKernel;
  readonly log: UnaryKernel;
  readonly tanh: UnaryKernel;
  readonly erf: UnaryKernel;
  readonly fill: Ranged<[value: number, out: number]>;

  readonly sumLast: RowKernel;
  readonly sumSquaresLast: RowKernel;
  readonly maxLast: RowKernel;
  readonly argmaxLast: RowKernel;
  readonly sumFirst: Ranged<[rows: number, width: number, x: number, out: number]>;

  readonly gather: Ranged<
    [size: number, length: number, inner: number, count: number, x: number, indices: number, out: number]
  >;
  readonly scatterAdd: Ranged<
    [length: number, inner: number, count: number, indices: number, source: number, out: number]
  >;
  readonly oneHot: Ranged<[depth: number, indices: number, out: number]>;
  readonly transpose: Ranged<
    [size: number, columns: number, rowStep: number, columnStep: number, x: number, out: number]
  >;

  readonly unfold: Ranged<[...geometry: WindowGeometry, outside: number, x: number, out: number]>;
  readonly fold: Ranged<[...geometry: WindowGeometry, patches: number, out: number]>;

  readonly widenF16: UnaryKernel;
  readonly widenBf16: UnaryKernel;
  /** x is the address of a record, see `nf4.ts`. */
  readonly widenNf4: UnaryKernel;
  readonly narrowF16: UnaryKernel;
  readonly narrowBf16: UnaryKernel;
  readonly intsToFloats: UnaryKernel;
  readonly bytesToFloats: UnaryKernel;
  readonly floatsToInts: UnaryKernel;
  readonly floatsToBytes: UnaryKernel;
  readonly packMask: Ranged<[count: number, x: number, out: number]>;
  readonly unpackMask: Ranged<[count: number, bits: number, out: number]>;

  readonly relu: Ranged<[count: number, x: number, y: number, mask: number]>;
  readonly reluBackward: Ranged<[count: number, mask: number, dy: number, dx: number]>;
  readonly gelu: UnaryKernel;
  readonly geluBackward: PairKernel;
  readonly silu: UnaryKernel;
  readonly siluBackward: PairKernel;
  readonly tanhBackward: PairKernel;
  readonly swiglu: PairKernel;
  readonly swigluBackward: Ranged<[gate: number, up: number, dy: number, dgate: number, dup: number]>;
  readonly rope: Ranged<
    [
      ...sizes: [tokens: number, heads: number, half: number, direction: number],
      x: number,
      cos: number,
      sin: number,
      places: number,
      out: number,
    ]
  >;

  readonly rmsNorm: Ranged<[width: number, x: number, weight: number, epsilon: number, y: number, inverse: number]>;
  readonly rmsNormInput: Ranged<[width: number, dy: number, x: number, inverse: number, weight: number, dx: number]>;
  readonly rmsNormWeight: Ranged<[rows: number, width: number, dy: number, x: number, inverse: number, out: number]>;
  readonly layerNorm: Ranged<
    [width: number, x: number, weight: number, bias: number, epsilon: number, y: number, mean: number, inverse: number]
  >;
  readonly layerNormInput: Ranged<
    [width: number, dy: number, x: number, mean: number, inverse: number, weight: number, dx: number]
  >;
  readonly layerNormWeight: Ranged<
    [rows: number, width: number, dy: number, x: number, mean: number, inverse: number, out: number]
  >;

  readonly crossEntropy: Ranged<
    [classes: number, logits: number, targets: number, probabilities: number, surprises: number]
  >;
  readonly crossEntropyBackward: Ranged<
    [classes: number, probabilities: number, targets: number, factor: number, gradient: number]
  >;

  readonly adamw: Ranged<
    [
      gradient: number,
      m: number,
      v: number,
      parameter: number,
      target: number,
      beta1: number,
      oneLessBeta1: number,
      beta2: number,
      oneLessBeta2: number,
      correction1: number,
      correction2: number,
      epsilon: number,
      decays: number,
      decay: number,
      minusRate: number,
      delta: number,
      newM: number,
      newV: number,
    ]
  >;
}

export type Exports = ProductKernels & TensorKernels;

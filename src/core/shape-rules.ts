/**
 * Which shapes fit each other and what comes of them: the part of every backend's `Ops` that is the same. A misfit is a
 * defect, because shapes were checked when the model was built.
 */
import { defect } from '../spec/errors.ts';
import { isNf4 } from '../spec/nf4.ts';
import { type HostTensorOf, type Shape, type Spec, sameShape, showSpec, sizeOf } from '../spec/tensor.ts';
import type { Layout } from './ops.ts';

/** The shape that two shapes broadcast to: aligned at the last axis, a dimension of 1 stretches. */
export const broadcastShape = (a: Shape, b: Shape): Shape => {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) defect(`shapes [${a}] and [${b}] do not broadcast`);
    return x === 1 ? y : x;
  });
};

/** Rows, columns, and terms of each sum of a matrix product. */
export interface ProductSizes {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export const productSizes = (a: Spec, b: Spec, layout: Layout): ProductSizes => {
  const [a0 = 0, a1 = 0] = a.shape.slice(-2);
  const [b0 = 0, b1 = 0] = b.shape.slice(-2);
  const [m, k] = layout === 'tn' ? [a1, a0] : [a0, a1];
  const [n, kOfB] = layout === 'nt' ? [b0, b1] : [b1, b0];
  if (k !== kOfB || a.shape.length < 2 || b.shape.length < 2) {
    defect(`matmul ${layout}: ${showSpec(a)} and ${showSpec(b)} do not fit`);
  }
  return { m, n, k };
};

/** The batch axes of a product: those of either operand, which are equal if both have some. */
export const productBatch = (a: Spec, b: Spec): Shape => {
  const ofA = a.shape.slice(0, -2);
  const ofB = b.shape.slice(0, -2);
  if (ofA.length > 0 && ofB.length > 0 && !sameShape(ofA, ofB)) {
    defect(`matmul: batch axes of ${showSpec(a)} and ${showSpec(b)} differ`);
  }
  return ofA.length > 0 ? ofA : ofB;
};

/** Elements of NF4 share bytes and an absmax: none can be moved alone. */
export const checkSeparable = (x: Spec, what: string): void => {
  if (isNf4(x.dtype)) defect(`${what} of ${showSpec(x)}: cast it first`);
};

/** A tensor seen as `[outer, axis, inner]`. */
export const aroundAxis = (shape: Shape, axis: number): { outer: number; length: number; inner: number } => ({
  outer: sizeOf(shape.slice(0, axis)),
  length: shape[axis] ?? defect(`axis ${axis} of a tensor of ${shape.length} axes`),
  inner: sizeOf(shape.slice(axis + 1)),
});

export const replaceAxis = (shape: Shape, axis: number, length: number): Shape =>
  shape.map((d, i) => (i === axis ? length : d));

/** The given shape with a −1 replaced by what makes the size right. */
export const resolveShape = (x: Spec, shape: Shape): Shape => {
  const known = sizeOf(shape.filter((d) => d !== -1));
  const resolved = shape.map((d) => (d === -1 ? (known === 0 ? 0 : sizeOf(x.shape) / known) : d));
  const fits = sizeOf(resolved) === sizeOf(x.shape) && resolved.every(Number.isInteger);
  return fits ? resolved : defect(`reshape of ${showSpec(x)} to [${shape}]`);
};

/** The axes of an attention: q `[batch, queries, heads, width]`, k and v `[batch, keys, groups, width]`. */
export interface AttentionSizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly groups: number;
  readonly width: number;
}

export const attentionSizes = (q: Spec, k: Spec, v: Spec): AttentionSizes => {
  const [batch = 0, queries = 0, heads = 0, width = 0] = q.shape;
  const [batchOfK, keys = 0, groups = 0, widthOfK] = k.shape;
  const fits =
    [q, k].every(({ shape }) => shape.length === 4) &&
    sameShape(k.shape, v.shape) &&
    batchOfK === batch &&
    widthOfK === width &&
    groups > 0 &&
    heads % groups === 0;
  return fits
    ? { batch, queries, keys, heads, groups, width }
    : defect(`attention: ${[q, k, v].map(showSpec).join(', ')} do not fit`);
};

/** The axes of a rotary embedding: x `[batch, tokens, heads, 2·half]`, tables `[≥ tokens, half]`. */
export interface RopeSizes {
  readonly batch: number;
  readonly tokens: number;
  readonly heads: number;
  readonly half: number;
}

/** `places`: the row of the tables for each token. */
export const ropeSizes = (x: Spec, cos: Spec, sin: Spec, places?: HostTensorOf<'i32'>): RopeSizes => {
  const [batch = 0, tokens = 0, heads = 0, width = 0] = x.shape;
  const [rows = 0, half = 0] = cos.shape;
  const fits = x.shape.length === 4 && sameShape(cos.shape, sin.shape) && rows >= tokens && width === 2 * half;
  if (
    places !== undefined &&
    (!sameShape(places.shape, [batch, tokens]) || places.data.some((p) => p < 0 || p >= rows))
  )
    defect(`rope: places ${showSpec(places)} of ${showSpec(x)} in tables of ${rows} rows`);
  return fits ? { batch, tokens, heads, half } : defect(`rope: ${[x, cos, sin].map(showSpec).join(', ')} do not fit`);
};

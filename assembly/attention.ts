/**
 * Attention and its derivative, with the operations of src/core/derived/attention.ts in their order, in memory that grows
 * with the keys and not with queries × keys: the rows of a block of queries are computed whole, used, and forgotten.
 *
 * Only keys that some query of the block sees are visited, from the first one of its first query on, as no later query
 * sees an earlier key. The others would add products with p = 0, and sums that start at +0 do not change by them; the first
 * visited key is a multiple of 16, so that the lanes of the sums stay the same.
 *
 * q, y: `[batch, queries, heads, width]`; k, v: `[batch, keys, groups, width]`. Of the pieces of work a call does number
 * `first` and every `step`-th after it; `rows` is room for {@link roomBytes} bytes that no other call uses.
 */
import { exp4 } from './elementary';
import { gemm, NN, NT, TN } from './gemm';
import { at, maxLanes, sumLanes, sumOfProducts } from './lanes';
import { F32 } from './pack';

/** Queries of a block. */
const BLOCK = 32;

/** The distance of the rows of scores: whole vectors, and a line more, or all would meet in few sets of the cache. */
@inline
function rowStride(keys: i32): usize {
  return at(0, ((keys + 15) & ~15) + 16);
}

/** Bytes of a block of rows for so many keys. */
@inline
function blockBytes(keys: i32): usize {
  return BLOCK * rowStride(keys);
}

/** Bytes that a call needs for its rows: of the forward pass, or of the backward pass. */
export function roomBytes(keys: i32, backward: bool): usize {
  return backward ? 2 * blockBytes(keys) : blockBytes(keys);
}

/** Keys that query `i` sees: from … `starts`: where the documents of the sequence's queries start, or 0 for none. */
@inline
function firstSeen(i: i32, queries: i32, keys: i32, window: i32, starts: usize): i32 {
  return max(starts ? load<i32>(at(starts, i)) : 0, keys - queries + i + 1 - window);
}

/** The part of `starts` that is a sequence's. */
@inline
function startsOf(starts: usize, sequence: i32, queries: i32): usize {
  return starts ? at(starts, sequence * queries) : 0;
}

/** … to before this one. */
@inline
function lastSeen(i: i32, queries: i32, keys: i32, causal: bool): i32 {
  return causal ? keys - queries + i + 1 : keys;
}

/** A product of f32 matrices without anything added. */
@inline
function multiply(
  layout: i32, m: i32, n: i32, k: i32, a: usize, strideA: usize, b: usize, strideB: usize, c: usize, strideC: usize,
  fresh: bool, scratch: usize,
): void {
  gemm(0, m, 0, n, layout, k, a, strideA, b, strideB, F32, c, strideC, fresh, 0, 0, 0, scratch);
}

/**
 * A row of products q·k for `count` keys turned into probabilities, in place. Of the keys those from `from` to before
 * `to` are seen. Whole vectors are written: up to three elements behind the row.
 */
function softmax(row: usize, count: i32, from: i32, to: i32, scale: f32): void {
  const factor = f32x4.splat(scale);
  const end = at(row, count);
  for (let p = row; p < end; p += 16) v128.store(p, f32x4.mul(v128.load(p), factor));
  const largest = f32x4.splat(maxLanes(at(row, from), to - from));
  for (let p = row; p < end; p += 16) v128.store(p, exp4(f32x4.sub(v128.load(p), largest)));
  memory.fill(row, 0, <usize>from << 2);
  memory.fill(at(row, to), 0, <usize>(count - to) << 2);
  const sum = f32x4.splat(sumLanes(row, count));
  for (let p = row; p < end; p += 16) v128.store(p, f32x4.div(v128.load(p), sum));
}

/** ds = p·(dp − Σ p·dp)·scale over a row of `count` keys, in place of dp; may write up to three elements behind it. */
function softmaxBackward(p: usize, dp: usize, count: i32, scale: f32): void {
  const along = f32x4.splat(sumOfProducts(p, dp, count));
  const factor = f32x4.splat(scale);
  const end = at(p, count);
  for (; p < end; p += 16, dp += 16) {
    v128.store(dp, f32x4.mul(f32x4.mul(v128.load(p), f32x4.sub(v128.load(dp), along)), factor));
  }
}

/** Probabilities of `rows` queries from number `query` on, over the keys `low` … `high` − 1. */
@inline
function probabilities(
  query: i32, rows: i32, low: i32, high: i32, queries: i32, keys: i32, width: i32,
  scale: f32, causal: bool, window: i32, starts: usize,
  q: usize, strideQ: usize, k: usize, strideK: usize, out: usize, scratch: usize,
): void {
  const stride = rowStride(keys);
  const count = high - low;
  multiply(NT, rows, count, width, q, strideQ, k, strideK, out, stride, true, scratch);
  for (let i = 0; i < rows; i++) {
    const from = causal ? firstSeen(query + i, queries, keys, window, starts) : 0;
    const to = lastSeen(query + i, queries, keys, causal);
    softmax(out + <usize>i * stride, count, from - low, to - low, scale);
  }
}

/** y; a piece is a block of queries of a head of a sequence. A `window` of `keys` is no limit. */
export function attention(
  first: i32, step: i32, batch: i32, queries: i32, keys: i32, heads: i32, groups: i32, width: i32,
  scale: f32, causal: bool, window: i32, starts: usize,
  q: usize, k: usize, v: usize, y: usize, rows: usize, scratch: usize,
): void {
  const blocks = (queries + BLOCK - 1) / BLOCK;
  const strideQ = at(0, heads * width);
  const strideK = at(0, groups * width);
  const stride = rowStride(keys);
  for (let piece = first; piece < batch * heads * blocks; piece += step) {
    const query = (piece % blocks) * BLOCK;
    const head = (piece / blocks) % heads;
    const sequence = piece / blocks / heads;
    const documents = startsOf(starts, sequence, queries);
    const count = min(queries - query, BLOCK);
    const low = causal ? firstSeen(query, queries, keys, window, documents) & ~15 : 0;
    const high = lastSeen(query + count - 1, queries, keys, causal);
    const ofQuery = <usize>(sequence * queries + query) * strideQ + at(0, head * width);
    const ofKey = <usize>(sequence * keys + low) * strideK + at(0, (head / (heads / groups)) * width);
    probabilities(
      query, count, low, high, queries, keys, width, scale, causal, window, documents,
      q + ofQuery, strideQ, k + ofKey, strideK, rows, scratch,
    );
    multiply(NN, count, width, high - low, rows, stride, v + ofKey, strideK, y + ofQuery, strideQ, true, scratch);
  }
}

/** dq, dk and dv; a piece is a group of a sequence, whose sums over queries run head after head. */
export function attentionBackward(
  first: i32, step: i32, batch: i32, queries: i32, keys: i32, heads: i32, groups: i32, width: i32,
  scale: f32, causal: bool, window: i32, starts: usize,
  q: usize, k: usize, v: usize, dy: usize, dq: usize, dk: usize, dv: usize, rows: usize, scratch: usize,
): void {
  const ofGroup = heads / groups;
  const strideQ = at(0, heads * width);
  const strideK = at(0, groups * width);
  const stride = rowStride(keys);
  const gradients = rows + blockBytes(keys);
  for (let piece = first; piece < batch * groups; piece += step) {
    const sequence = piece / groups;
    const group = piece % groups;
    const documents = startsOf(starts, sequence, queries);
    const firstKey = <usize>(sequence * keys) * strideK + at(0, group * width);
    for (let key = 0; key < keys; key++) {
      memory.fill(dk + firstKey + <usize>key * strideK, 0, <usize>width << 2);
      memory.fill(dv + firstKey + <usize>key * strideK, 0, <usize>width << 2);
    }
    for (let head = group * ofGroup; head < (group + 1) * ofGroup; head++) {
      for (let query = 0; query < queries; query += BLOCK) {
        const count = min(queries - query, BLOCK);
        const low = causal ? firstSeen(query, queries, keys, window, documents) & ~15 : 0;
        const high = lastSeen(query + count - 1, queries, keys, causal);
        const seen = high - low;
        const ofQuery = <usize>(sequence * queries + query) * strideQ + at(0, head * width);
        const ofKey = firstKey + <usize>low * strideK;
        probabilities(
          query, count, low, high, queries, keys, width, scale, causal, window, documents,
          q + ofQuery, strideQ, k + ofKey, strideK, rows, scratch,
        );
        multiply(TN, seen, width, count, rows, stride, dy + ofQuery, strideQ, dv + ofKey, strideK, false, scratch);
        multiply(NT, count, seen, width, dy + ofQuery, strideQ, v + ofKey, strideK, gradients, stride, true, scratch);
        for (let i = 0; i < count; i++) {
          const row = <usize>i * stride;
          softmaxBackward(rows + row, gradients + row, seen, scale);
        }
        multiply(NN, count, width, seen, gradients, stride, k + ofKey, strideK, dq + ofQuery, strideQ, true, scratch);
        multiply(TN, seen, width, count, gradients, stride, q + ofQuery, strideQ, dk + ofKey, strideK, false, scratch);
      }
    }
  }
}

/**
 * What the kernels share: vectors of fewer than four elements (the ends of arrays), and the lane order of sums.
 *
 * Convention of all kernels: `begin` and `end` come first and say which elements, rows or columns of the result this
 * call computes, so that a range can be cut into parts for several threads. Pointers are byte addresses of the whole
 * tensors, lengths count elements. A result never overlaps an input.
 */

/** The address of element `i` of an array of 4-byte elements. */
@inline
export function at(base: usize, i: i32): usize {
  return base + ((<usize>i) << 2);
}

/** `count` elements (1 to 3) in the low lanes; the others are 0. */
export function loadPart(from: usize, count: i32): v128 {
  let part = v128.load32_zero(from);
  if (count > 1) part = v128.load32_lane(from + 4, part, 1);
  if (count > 2) part = v128.load32_lane(from + 8, part, 2);
  return part;
}

/** Stores the low `count` lanes (1 to 3). */
export function storePart(to: usize, part: v128, count: i32): void {
  v128.store32_lane(to, part, 0);
  if (count > 1) v128.store32_lane(to + 4, part, 1);
  if (count > 2) v128.store32_lane(to + 8, part, 2);
}

/** Four elements, or those that are left. */
@inline
export function load4(from: usize, left: i32): v128 {
  return left >= 4 ? v128.load(from) : loadPart(from, left);
}

/** Stores four lanes, or those for which elements are left. */
@inline
export function store4(to: usize, values: v128, left: i32): void {
  if (left >= 4) v128.store(to, values);
  else storePart(to, values, left);
}

/** Sixteen partial sums in the fixed tree: sum j takes sum j + 8, then j + 4, j + 2, j + 1. */
function tree(s0: v128, s1: v128, s2: v128, s3: v128): f32 {
  const quarter = f32x4.add(f32x4.add(s0, s2), f32x4.add(s1, s3));
  return (
    f32x4.extract_lane(quarter, 0) +
    f32x4.extract_lane(quarter, 2) +
    (f32x4.extract_lane(quarter, 1) + f32x4.extract_lane(quarter, 3))
  );
}

/**
 * Σ of `count` elements in the lane order: element i is added to partial sum i mod 16, then the tree.
 * A partial sum starts at +0 and is never −0, so the zeros beside a part change nothing.
 */
export function sumLanes(from: usize, count: i32): f32 {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const blocks = at(from, count & ~15);
  for (; from < blocks; from += 64) {
    s0 = f32x4.add(s0, v128.load(from));
    s1 = f32x4.add(s1, v128.load(from, 16));
    s2 = f32x4.add(s2, v128.load(from, 32));
    s3 = f32x4.add(s3, v128.load(from, 48));
  }
  const left = count & 15;
  if (left > 0) s0 = f32x4.add(s0, load4(from, left));
  if (left > 4) s1 = f32x4.add(s1, load4(from + 16, left - 4));
  if (left > 8) s2 = f32x4.add(s2, load4(from + 32, left - 8));
  if (left > 12) s3 = f32x4.add(s3, load4(from + 48, left - 12));
  return tree(s0, s1, s2, s3);
}

/** Σ of the products of two arrays, each product rounded, in the lane order. */
export function sumOfProducts(a: usize, b: usize, count: i32): f32 {
  let s0 = i32x4.splat(0);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  const blocks = at(a, count & ~15);
  for (; a < blocks; a += 64, b += 64) {
    s0 = f32x4.add(s0, f32x4.mul(v128.load(a), v128.load(b)));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(a, 16), v128.load(b, 16)));
    s2 = f32x4.add(s2, f32x4.mul(v128.load(a, 32), v128.load(b, 32)));
    s3 = f32x4.add(s3, f32x4.mul(v128.load(a, 48), v128.load(b, 48)));
  }
  const left = count & 15;
  if (left > 0) s0 = f32x4.add(s0, f32x4.mul(load4(a, left), load4(b, left)));
  if (left > 4) s1 = f32x4.add(s1, f32x4.mul(load4(a + 16, left - 4), load4(b + 16, left - 4)));
  if (left > 8) s2 = f32x4.add(s2, f32x4.mul(load4(a + 32, left - 8), load4(b + 32, left - 8)));
  if (left > 12) s3 = f32x4.add(s3, f32x4.mul(load4(a + 48, left - 12), load4(b + 48, left - 12)));
  return tree(s0, s1, s2, s3);
}

/** The largest of `count` elements, NaN if there is one, +0 above −0; −∞ if there are none. */
export function maxLanes(from: usize, count: i32): f32 {
  const lowest = f32x4.splat(-Infinity);
  let m0 = lowest;
  let m1 = lowest;
  let m2 = lowest;
  let m3 = lowest;
  const blocks = at(from, count & ~15);
  for (; from < blocks; from += 64) {
    m0 = f32x4.max(m0, v128.load(from));
    m1 = f32x4.max(m1, v128.load(from, 16));
    m2 = f32x4.max(m2, v128.load(from, 32));
    m3 = f32x4.max(m3, v128.load(from, 48));
  }
  let largest = f32x4.max(f32x4.max(m0, m1), f32x4.max(m2, m3));
  let left = count & 15;
  for (; left >= 4; left -= 4, from += 16) largest = f32x4.max(largest, v128.load(from));
  for (; left > 0; left--, from += 4) largest = f32x4.max(largest, v128.load32_splat(from));
  largest = f32x4.max(largest, v128.shuffle<i32>(largest, largest, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.max(largest, v128.shuffle<i32>(largest, largest, 1, 0, 3, 2)), 0);
}

/** Copies `bytes` bytes; short runs without the call that a bulk copy costs. */
export function copyBytes(to: usize, from: usize, bytes: usize): void {
  if (bytes > 256) {
    memory.copy(to, from, bytes);
    return;
  }
  const end = to + bytes;
  for (; to + 16 <= end; to += 16, from += 16) v128.store(to, v128.load(from));
  for (; to + 4 <= end; to += 4, from += 4) store<u32>(to, load<u32>(from));
  for (; to < end; to++, from++) store<u8>(to, load<u8>(from));
}

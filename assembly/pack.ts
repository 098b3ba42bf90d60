/**
 * Packing: a block of a matrix copied in the order in which the micro-kernel reads it.
 *
 * B goes into panels of 16 columns: those of k side by side, then those of k + 1, and so on; the last panel is filled
 * up with zeros. A transposed block of A is turned, so that the steps of k are neighbours; any other is read where it
 * lies. `stride` is the distance of the matrix's rows in memory. Elements of B are f32, bf16 or f16 and come out as f32,
 * which is exact.
 */
import { at } from './lanes';

/** Element types. */
export const F32 = 0;
export const BF16 = 1;
export const F16 = 2;
/** Read through `nf4.ts`. */
export const NF4 = 3;

/** Columns of a panel, and its bytes for each step of k. */
const WIDTH = 16;
export const PANEL_STRIDE: usize = 64;

/** Steps of k that are copied at once: their rows in memory stay in the cache until all panels have their part. */
const STRIP = 8;

@inline
export function sizeOf(type: i32): usize {
  return type == F32 ? 4 : 2;
}

/** The numbers 2^112, 2^16 and ∞. A literal in a loop would be built anew each time. */
const NUMBERS: usize = memory.data<u32>([0x77800000, 0x47800000, 0x7f800000]);

/** Four f16 in 32-bit lanes as f32. Scaling by 2^112 mends the exponent exactly; what is then 2^16 was ∞ or NaN. */
@inline
function fromF16(bits: v128): v128 {
  const magnitude = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), 13);
  const value = f32x4.mul(magnitude, v128.load32_splat(NUMBERS));
  const special = v128.and(f32x4.ge(value, v128.load32_splat(NUMBERS, 4)), v128.load32_splat(NUMBERS, 8));
  return v128.or(v128.or(value, special), i32x4.shl(i32x4.shr_u(bits, 15), 31));
}

@inline
function widen(type: i32, bits: v128): v128 {
  return type == BF16 ? i32x4.shl(bits, 16) : fromF16(bits);
}

/** The four elements at `from`. */
@inline
function four(type: i32, from: usize): v128 {
  if (type == F32) return v128.load(from);
  return widen(type, i32x4.extend_low_i16x8_u(v128.load64_zero(from)));
}

/** The element at `from`, in the first lane. */
@inline
function one(type: i32, from: usize): v128 {
  if (type == F32) return v128.load32_zero(from);
  return widen(type, i32x4.splat(load<u16>(from)));
}

/** A part of a panel, element by element: `width` of its columns exist. */
@inline
function packEdge(type: i32, width: i32, depth: i32, from: usize, across: usize, along: usize, to: usize): void {
  for (let k = 0; k < depth; k++, from += along, to += PANEL_STRIDE) {
    for (let j = 0; j < width; j++) v128.store32_lane(at(to, j), one(type, from + <usize>j * across), 0);
    for (let j = width; j < WIDTH; j++) store<f32>(at(to, j), 0);
  }
}

/** A block of B that is stored `[k, n]`: the rows of memory are the steps of k. */
@inline
function packRows(type: i32, columns: i32, depth: i32, from: usize, stride: usize, to: usize): void {
  const size = sizeOf(type);
  const whole = columns & ~(WIDTH - 1);
  for (let k = 0; k < depth; k += STRIP) {
    const steps = <usize>min(depth - k, STRIP);
    for (let j = 0; j < whole; j += WIDTH) {
      let source = from + <usize>k * stride + <usize>j * size;
      let target = at(to, j * depth + k * WIDTH);
      for (const end = target + steps * PANEL_STRIDE; target < end; target += PANEL_STRIDE, source += stride) {
        v128.store(target, four(type, source));
        v128.store(target, four(type, source + 4 * size), 16);
        v128.store(target, four(type, source + 8 * size), 32);
        v128.store(target, four(type, source + 12 * size), 48);
      }
    }
  }
  if (whole == columns) return;
  packEdge(type, columns - whole, depth, from + <usize>whole * size, size, stride, at(to, whole * depth));
}

/** Four rows of memory, four elements each, as the columns of a square whose rows lie `strideTo` apart. */
@inline
function turnSquare(type: i32, from: usize, stride: usize, to: usize, strideTo: usize): void {
  const r0 = four(type, from);
  const r1 = four(type, from + stride);
  const r2 = four(type, from + 2 * stride);
  const r3 = four(type, from + 3 * stride);
  const low01 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const low23 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const high01 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const high23 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<f64>(low01, low23, 0, 2));
  v128.store(to + strideTo, v128.shuffle<f64>(low01, low23, 1, 3));
  v128.store(to + 2 * strideTo, v128.shuffle<f64>(high01, high23, 0, 2));
  v128.store(to + 3 * strideTo, v128.shuffle<f64>(high01, high23, 1, 3));
}

/** A block of B that is stored `[n, k]`: the rows of memory are columns of the panels. */
@inline
function packColumns(type: i32, columns: i32, depth: i32, from: usize, stride: usize, to: usize): void {
  const size = sizeOf(type);
  const whole = columns & ~(WIDTH - 1);
  const squares = depth & ~3;
  for (let j = 0; j < whole; j += WIDTH) {
    let source = from + <usize>j * stride;
    let target = at(to, j * depth);
    const end = target + <usize>squares * PANEL_STRIDE;
    for (; target < end; target += 4 * PANEL_STRIDE, source += 4 * size) {
      turnSquare(type, source, stride, target, PANEL_STRIDE);
      turnSquare(type, source + 4 * stride, stride, target + 16, PANEL_STRIDE);
      turnSquare(type, source + 8 * stride, stride, target + 32, PANEL_STRIDE);
      turnSquare(type, source + 12 * stride, stride, target + 48, PANEL_STRIDE);
    }
    packEdge(type, WIDTH, depth - squares, source, stride, size, target);
  }
  if (whole == columns) return;
  packEdge(type, columns - whole, depth, from + <usize>whole * stride, stride, size, at(to, whole * depth));
}

/** A block of B of `columns` × `depth`. `transposed`: B is stored `[n, k]`. */
export function packB(
  type: i32, transposed: bool, columns: i32, depth: i32, from: usize, stride: usize, to: usize,
): void {
  if (transposed) {
    if (type == F32) packColumns(F32, columns, depth, from, stride, to);
    else if (type == BF16) packColumns(BF16, columns, depth, from, stride, to);
    else packColumns(F16, columns, depth, from, stride, to);
  } else {
    if (type == F32) packRows(F32, columns, depth, from, stride, to);
    else if (type == BF16) packRows(BF16, columns, depth, from, stride, to);
    else packRows(F16, columns, depth, from, stride, to);
  }
}

/** A block of A of `rows` × `depth` that is stored `[k, m]`, to rows that lie `strideTo` apart. */
export function turnA(rows: i32, depth: i32, from: usize, stride: usize, to: usize, strideTo: usize): void {
  const wholeRows = rows & ~3;
  const wholeDepth = depth & ~3;
  for (let k = 0; k < wholeDepth; k += 4) {
    const source = from + <usize>k * stride;
    const target = at(to, k);
    for (let i = 0; i < wholeRows; i += 4) {
      turnSquare(F32, at(source, i), stride, target + <usize>i * strideTo, strideTo);
    }
  }
  for (let k = 0; k < depth; k++) {
    for (let i = k < wholeDepth ? wholeRows : 0; i < rows; i++) {
      store<f32>(at(to, k) + <usize>i * strideTo, load<f32>(at(from, i) + <usize>k * stride));
    }
  }
}

/**
 * Between element types, and masks as bits. Rounding is to nearest, ties to even. The range is one of elements, but for
 * the masks, where it is one of words of 32 elements.
 */
import { at, load4, store4 } from './lanes';

/** Bit patterns, one a constant. */
const TABLE: usize = memory.data<u32>([
  0x77800000, // the number 2^112: the difference of the exponents' biases
  0x47800000, // the number 2^16: what ∞ and NaN of an f16 become before they are mended
  0x7f800000, // ∞
  0x38800000, // the number 2^−14, the smallest normal f16
  0x3f000000, // the number ½, whose last place is worth 2^−24, as that of a subnormal f16
  0xc8000fff, // −112 in the exponent field, and just below half of the last place that stays
  0x7c00, // ∞ and NaN of f16
  0x7e00,
  0x7fc0, // NaN of bf16
  0x7fff, // just below half of the last place that stays in a bf16
]);

@inline
function constant(i: usize): v128 {
  return v128.load32_splat(TABLE + (i << 2));
}

/** Four f16 patterns in 32-bit lanes to f32. The exponent's bias is mended by a product, which is exact. */
@inline
function fromF16(bits: v128): v128 {
  const magnitude = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), 13);
  const value = f32x4.mul(magnitude, constant(0));
  const special = v128.and(f32x4.ge(value, constant(1)), constant(2));
  return v128.or(v128.or(value, special), i32x4.shl(i32x4.shr_u(bits, 15), 31));
}

/** Four f32 to f16 patterns in 32-bit lanes. NaN becomes one pattern, without its sign. */
@inline
function toF16(x: v128): v128 {
  const a = f32x4.abs(x);
  const odd = v128.and(i32x4.shr_u(a, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(a, constant(5)), odd), 13);
  const half = constant(4);
  const subnormal = i32x4.sub(f32x4.add(a, half), half);
  const finite = v128.bitselect(subnormal, normal, f32x4.lt(a, constant(3)));
  const magnitude = v128.bitselect(constant(6), finite, f32x4.ge(a, constant(1)));
  const signed = v128.or(magnitude, i32x4.shl(i32x4.shr_u(x, 31), 15));
  return v128.bitselect(constant(7), signed, f32x4.ne(x, x));
}

/** Four f32 to bf16 patterns in 32-bit lanes: the upper half after adding half a last place, a tie going to even. */
@inline
function toBf16(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(x, constant(9)), odd), 16);
  return v128.bitselect(constant(8), rounded, f32x4.ne(x, x));
}

@inline
function half(base: usize, i: i32): usize {
  return base + ((<usize>i) << 1);
}

/** f16 to f32; exact. */
export function widenF16(begin: i32, end: i32, x: usize, out: usize): void {
  let i = begin;
  for (; i + 8 <= end; i += 8) {
    const bits = v128.load(half(x, i));
    v128.store(at(out, i), fromF16(i32x4.extend_low_i16x8_u(bits)));
    v128.store(at(out, i), fromF16(i32x4.extend_high_i16x8_u(bits)), 16);
  }
  for (; i < end; i++) v128.store32_lane(at(out, i), fromF16(i32x4.splat(load<u16>(half(x, i)))), 0);
}

/** bf16 to f32; exact. */
export function widenBf16(begin: i32, end: i32, x: usize, out: usize): void {
  const zero = i32x4.splat(0);
  let i = begin;
  for (; i + 8 <= end; i += 8) {
    const bits = v128.load(half(x, i));
    v128.store(at(out, i), v128.shuffle<i16>(zero, bits, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(at(out, i), v128.shuffle<i16>(zero, bits, 4, 12, 5, 13, 6, 14, 7, 15), 16);
  }
  for (; i < end; i++) store<u32>(at(out, i), load<u16>(half(x, i)) << 16);
}

/** f32 to f16. */
export function narrowF16(begin: i32, end: i32, x: usize, out: usize): void {
  let i = begin;
  for (; i + 8 <= end; i += 8) {
    const low = toF16(v128.load(at(x, i)));
    const high = toF16(v128.load(at(x, i), 16));
    v128.store(half(out, i), i16x8.narrow_i32x4_u(low, high));
  }
  for (; i < end; i++) v128.store16_lane(half(out, i), toF16(v128.load32_splat(at(x, i))), 0);
}

/** f32 to bf16. */
export function narrowBf16(begin: i32, end: i32, x: usize, out: usize): void {
  let i = begin;
  for (; i + 8 <= end; i += 8) {
    const low = toBf16(v128.load(at(x, i)));
    const high = toBf16(v128.load(at(x, i), 16));
    v128.store(half(out, i), i16x8.narrow_i32x4_u(low, high));
  }
  for (; i < end; i++) v128.store16_lane(half(out, i), toBf16(v128.load32_splat(at(x, i))), 0);
}

/** i32 to f32. */
export function intsToFloats(begin: i32, end: i32, x: usize, out: usize): void {
  for (let i = begin; i < end; i += 4) {
    store4(at(out, i), f32x4.convert_i32x4_s(load4(at(x, i), end - i)), end - i);
  }
}

/** u8 to f32; exact. */
export function bytesToFloats(begin: i32, end: i32, x: usize, out: usize): void {
  let i = begin;
  for (; i + 4 <= end; i += 4) {
    const wide = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(v128.load32_zero(x + <usize>i)));
    v128.store(at(out, i), f32x4.convert_i32x4_s(wide));
  }
  for (; i < end; i++) store<f32>(at(out, i), <f32>load<u8>(x + <usize>i));
}

/** x without its fraction, modulo 2^32: 0 for ∞ and NaN, and from 2^63 on, where all are multiples of 2^32. */
function wrapped(x: f32): i32 {
  return abs(x) < 9223372036854775808.0 ? <i32>(<i64>x) : 0;
}

/** f32 to i32, modulo 2^32. */
export function floatsToInts(begin: i32, end: i32, x: usize, out: usize): void {
  const limit = f32x4.splat(2147483648);
  let i = begin;
  for (; i + 4 <= end; i += 4) {
    const values = v128.load(at(x, i));
    if (i32x4.all_true(f32x4.lt(f32x4.abs(values), limit))) {
      v128.store(at(out, i), i32x4.trunc_sat_f32x4_s(values));
    } else {
      for (let j = i; j < i + 4; j++) store<i32>(at(out, j), wrapped(load<f32>(at(x, j))));
    }
  }
  for (; i < end; i++) store<i32>(at(out, i), wrapped(load<f32>(at(x, i))));
}

/** f32 to u8, modulo 2^8. */
export function floatsToBytes(begin: i32, end: i32, x: usize, out: usize): void {
  for (let i = begin; i < end; i++) store<u8>(out + <usize>i, wrapped(load<f32>(at(x, i))));
}

/** Words begin … end − 1 of the mask of `count` elements: bit i mod 32 of word ⌊i/32⌋ says whether x ≠ 0. */
export function packMask(begin: i32, end: i32, count: i32, x: usize, out: usize): void {
  const zero = i32x4.splat(0);
  for (let word = begin; word < end; word++) {
    const first = word << 5;
    const last = min(first + 32, count);
    let bits = 0;
    for (let i = first; i < last; i += 4) {
      bits |= i32x4.bitmask(f32x4.ne(load4(at(x, i), last - i), zero)) << (i - first);
    }
    store<i32>(at(out, word), bits);
  }
}

/** The elements of words begin … end − 1: 1 where the bit is set, else 0. */
export function unpackMask(begin: i32, end: i32, count: i32, bits: usize, out: usize): void {
  const one = f32x4.splat(1);
  const places = i32x4(1, 2, 4, 8);
  for (let word = begin; word < end; word++) {
    const first = word << 5;
    const last = min(first + 32, count);
    const value = load<i32>(at(bits, word));
    for (let i = first; i < last; i += 4) {
      const set = i32x4.eq(v128.and(i32x4.splat(value >> (i - first)), places), places);
      store4(at(out, i), v128.and(set, one), last - i);
    }
  }
}

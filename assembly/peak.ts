/**
 * The arithmetic limit of one core, to measure the products against: independent multiplications and additions that
 * stay in registers, as many as hide their latency.
 */
import { multiplyAdd } from './gemm-tile';

/** What is multiplied by, what is added, where it starts. A literal would be built anew in every round. */
const NUMBERS: usize = memory.data<f32>([0.9999999, 1.0000001, 0.5]);

/** s ← s·x + y for twelve vectors s, `repeats` times: 96 floating-point operations each. Returns a sum of them. */
export function peakMultiplyAdd(repeats: i32): f32 {
  const x = v128.load32_splat(NUMBERS);
  const y = v128.load32_splat(NUMBERS, 4);
  let s0 = v128.load32_splat(NUMBERS, 8);
  let s1 = s0;
  let s2 = s0;
  let s3 = s0;
  let s4 = s0;
  let s5 = s0;
  let s6 = s0;
  let s7 = s0;
  let s8 = s0;
  let s9 = s0;
  let s10 = s0;
  let s11 = s0;
  if (repeats > 0) {
    do {
      s0 = multiplyAdd(y, s0, x);
      s1 = multiplyAdd(y, s1, x);
      s2 = multiplyAdd(y, s2, x);
      s3 = multiplyAdd(y, s3, x);
      s4 = multiplyAdd(y, s4, x);
      s5 = multiplyAdd(y, s5, x);
      s6 = multiplyAdd(y, s6, x);
      s7 = multiplyAdd(y, s7, x);
      s8 = multiplyAdd(y, s8, x);
      s9 = multiplyAdd(y, s9, x);
      s10 = multiplyAdd(y, s10, x);
      s11 = multiplyAdd(y, s11, x);
    } while (--repeats != 0);
  }
  s0 = f32x4.add(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)), f32x4.add(f32x4.add(s4, s5), f32x4.add(s6, s7)));
  s0 = f32x4.add(s0, f32x4.add(f32x4.add(s8, s9), f32x4.add(s10, s11)));
  return f32x4.extract_lane(s0, 0);
}

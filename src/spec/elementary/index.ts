/**
 * The elementary functions of the specification, in f64 and in f32.
 *
 * Law: each value is a fixed function of its argument, made of + − × ÷, comparisons, `Math.floor`, `Math.abs` and
 * `Math.fround`, which IEEE 754 defines to the last bit, besides exact steps: reading an exponent, multiplying by a
 * power of two, integers. So every engine gives the same bits, which `Math.exp` and its like do not. NaN payloads are
 * outside.
 *
 * In f32, exp, log, tanh and erf are f32 arithmetic throughout, one rounding for each operation and no fused
 * multiply-add: SIMD kernels compute the same, lane by lane. pow, sin and cos in f32 are the f64 values rounded once;
 * they make tables on the host.
 */
import type { FloatType } from '../dtype.ts';
import { erf32, erf64 } from './erf.ts';
import { exp32, exp64 } from './exp.ts';
import { log32, log64 } from './log.ts';
import { pow32, pow64 } from './pow.ts';
import { cos32, cos64, sin32, sin64 } from './sin-cos.ts';
import { tanh32, tanh64 } from './tanh.ts';

/** Functions of the reals. Out of their domain they return NaN; they never throw. */
export interface Elementary {
  readonly exp: (x: number) => number;
  /** The natural logarithm. */
  readonly log: (x: number) => number;
  /** base^exponent, with the special cases of JavaScript's `**`. */
  readonly pow: (base: number, exponent: number) => number;
  readonly tanh: (x: number) => number;
  readonly erf: (x: number) => number;
  /** x in radians. */
  readonly sin: (x: number) => number;
  /** x in radians. */
  readonly cos: (x: number) => number;
}

/** f64 in, f64 out. */
export const elementary64: Elementary = {
  exp: exp64,
  log: log64,
  pow: pow64,
  tanh: tanh64,
  erf: erf64,
  sin: sin64,
  cos: cos64,
};

/** f32 numbers in, f32 numbers out. An argument that is no f32 number is outside the law. */
export const elementary32: Elementary = {
  exp: exp32,
  log: log32,
  pow: pow32,
  tanh: tanh32,
  erf: erf32,
  sin: sin32,
  cos: cos32,
};

/**
 * The largest error in units in the last place of the true result: 2^(e − 52) in f64 and 2^(e − 23) in f32 for a result
 * in [2^e, 2^(e+1)), and the smallest subnormal number where that is larger. Where the true result exceeds the largest
 * number by less than the bound, either it or ∞ may come out.
 *
 * Each bound is the next simple number above the largest error measured: over every f32 for exp, log, tanh and erf in
 * f32; over 1,800,000 arguments for each function in f64, besides the hard cases of the tests. In f32, pow, sin and cos
 * are rounded twice: half an ulp, and at most 2^−28 ulp for the error of the f64 value.
 */
export const ulpBound: Readonly<Record<FloatType, Readonly<Record<keyof Elementary, number>>>> = {
  f64: { exp: 1, log: 1, pow: 1, tanh: 2, erf: 2, sin: 1, cos: 1 },
  f32: { exp: 1, log: 1, pow: 0.51, tanh: 2, erf: 2, sin: 0.51, cos: 0.51 },
};

/**
 * The natural logarithm.
 *
 * x = 2^k · (1 + g) with 1 + g in (√½, √2]. With s = g/(2 + g), log(1 + g) = 2·artanh(s) = 2s + s·R(s²), where
 * R(z) = 2z/3 + 2z²/5 + …. Since 2s = g − s·g, and s·g = g²/2 − s·g²/2, this is g − (g²/2 − s·(g²/2 + R)):
 * g is exact, and what is taken from it is small.
 *
 * Laws: log(±0) = −∞, log(1) = +0, log(∞) = ∞, log(x) = NaN for x < 0 and for NaN.
 * The f32 function never decreases (checked for every f32).
 */
import { EXP32, LN2_HI, LN2_LO } from './exp.ts';
import { polynomial32, polynomial64 } from './polynomial.ts';
import { centredExponent, scale } from './scale.ts';

const f = Math.fround;

/** R(z)/z in f64: the series of artanh. With z ≤ 0.0295 the first relative term left out is z^11/23 < 7e−19. */
const Q64: readonly number[] = [2 / 3, 2 / 5, 2 / 7, 2 / 9, 2 / 11, 2 / 13, 2 / 15, 2 / 17, 2 / 19, 2 / 21];

const logOfPositive64 = (x: number): number => {
  const k = centredExponent(x);
  const g = scale(x, -k) - 1;
  const s = g / (2 + g);
  const z = s * s;
  const h = (g * g) / 2;
  return k * LN2_HI + (g - (h - (s * (h + z * polynomial64(Q64, z)) + k * LN2_LO)));
};

/** The value of log where it is not an ordinary number: at 0, below 0, at ∞ and for NaN. */
const logOfSpecial = (x: number): number => (x === 0 ? Number.NEGATIVE_INFINITY : x > 0 ? x : Number.NaN);

const isOrdinary = (x: number): boolean => x > 0 && x < Number.POSITIVE_INFINITY;

/** log(x) in f64. Error below 1 ulp; 0.81 measured. */
export const log64 = (x: number): number => (isOrdinary(x) ? logOfPositive64(x) : logOfSpecial(x));

/** The constants of `log32`, beside the two parts of ln2 in `EXP32`; all are f32 numbers. */
export const LOG32 = {
  /** R(z)/z for z ≤ 0.0295: minimax, relative error of log 2^−30.2 (scripts/derive-coefficients.py). */
  q: [0.6666677594184875, 0.3997758626937866, 0.29870694875717163],
} as const;

const { ln2Hi, ln2Lo } = EXP32;
const { q } = LOG32;

const logOfPositive32 = (x: number): number => {
  const k = centredExponent(x);
  const g = scale(x, -k) - 1;
  const s = f(g / f(2 + g));
  const z = f(s * s);
  const h = f(f(g * g) * 0.5);
  const r = f(z * polynomial32(q, z));
  const small = f(f(s * f(h + r)) + f(k * ln2Lo));
  return f(f(k * ln2Hi) + f(g - f(h - small)));
};

/**
 * log(x) for an f32 number x, in f32 arithmetic. Error below 1 ulp; 0.84 measured over every f32.
 *
 * A SIMD lane gives the same bits: it multiplies subnormal x by 2^24 first and takes 24 from k, reads k from the
 * exponent field (one more where the fraction exceeds √2), and selects the special values at the end. All of that is
 * exact.
 */
export const log32 = (x: number): number => (isOrdinary(x) ? logOfPositive32(x) : logOfSpecial(x));

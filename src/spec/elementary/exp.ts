/**
 * The exponential function.
 *
 * x = k·ln2 + r with |r| ≤ ln2/2, then exp(x) = 2^k · exp(r). ln2 is held in two parts, the first so short that k times
 * it is exact (Cody and Waite 1980); exp(r) = 1 + (r + r²·Q(r)) with a polynomial Q.
 *
 * Laws: exp(−∞) = 0, exp(±0) = 1, exp(∞) = ∞, NaN stays NaN. Overflow gives ∞, underflow a subnormal number or 0.
 * The f32 function never decreases (checked for every f32).
 */
import { polynomial32, polynomial64 } from './polynomial.ts';
import { scale } from './scale.ts';

const f = Math.fround;

/** 1/ln2. */
const LOG2E = 1.4426950408889634;
/** The first 42 bits of ln2: exact times an integer below 2^11. */
export const LN2_HI = 0.6931471805598903;
/** ln2 − LN2_HI. */
export const LN2_LO = 5.497923018708371e-14;

/**
 * Q(r) in f64: Taylor's coefficients 1/(n+2)!. The first term left out of exp(r) is r^14/14! < 4.2e−18,
 * or 0.04 units in the last place of a result above 0.7.
 */
const Q64: readonly number[] = [
  1 / 2,
  1 / 6,
  1 / 24,
  1 / 120,
  1 / 720,
  1 / 5040,
  1 / 40320,
  1 / 362880,
  1 / 3628800,
  1 / 39916800,
  1 / 479001600,
  1 / 6227020800,
];

/**
 * exp(hi + lo) in f64, for |lo| ≤ ulp(hi).
 * What r and 1 + r lose by rounding is kept (`rest`, `tail`), so almost all of the error is the last rounding.
 */
export const expOfSum = (hi: number, lo: number): number => {
  if (hi > 710) return Number.POSITIVE_INFINITY; // above ln(2^1024) = 709.78
  if (hi < -746) return 0; // below ln(2^−1075) = −745.13
  const k = Math.floor(hi * LOG2E + 0.5);
  const a = hi - k * LN2_HI;
  const b = k * LN2_LO - lo;
  const r = a - b;
  const rest = a - r - b;
  const head = 1 + r;
  const tail = 1 - head + r;
  return scale(head + (tail + (rest + r * r * polynomial64(Q64, r))), k);
};

/** exp(x) in f64. Error below 1 ulp; 0.75 measured. */
export const exp64 = (x: number): number => expOfSum(x, 0);

/** The constants of `exp32`; all are f32 numbers. */
export const EXP32 = {
  /** Arguments are clamped to [lowest, highest]: exp(−104) < 2^−150 rounds to 0, exp(89) > 2^128 to ∞. */
  lowest: -104,
  highest: 89,
  /** 1/ln2. */
  log2e: 1.4426950216293335,
  /** 1.5 · 2^23: adding and subtracting it rounds |t| < 2^22 to the nearest integer, ties to even. */
  magic: 12582912,
  /** The first 16 bits of ln2: exact times an integer up to 2^8. */
  ln2Hi: 0.693145751953125,
  /** ln2 − ln2Hi. */
  ln2Lo: 1.428606765330187e-6,
  /** Q(r) for |r| ≤ ln2/2: minimax, relative error of exp 2^−28.2 (scripts/derive-coefficients.py). */
  q: [0.4999999403953552, 0.16666516661643982, 0.04166810214519501, 0.00836919154971838, 0.001383887603878975],
} as const;

const { lowest, highest, log2e, magic, ln2Hi, ln2Lo, q } = EXP32;

/**
 * exp(x) for an f32 number x, in f32 arithmetic. Error below 1 ulp; 0.989 measured over every f32.
 *
 * A SIMD lane gives the same bits: `pmin(pmax(x, lowest), highest)` for the clamp, which keeps NaN; k from the low bits
 * of the magic sum; 2^⌊k/2⌋ and 2^(k−⌊k/2⌋) put into exponent fields, and two multiplications, of which only the last
 * can round. Here `scale` is exact, being f64, and `Math.fround` is that one rounding.
 */
export const exp32 = (x: number): number => {
  const above = x < lowest ? lowest : x;
  const clamped = highest < above ? highest : above;
  const k = f(f(f(clamped * log2e) + magic) - magic);
  const r = f(f(clamped - f(k * ln2Hi)) - f(k * ln2Lo));
  const s = f(r + f(f(r * r) * polynomial32(q, r)));
  return f(scale(f(1 + s), k));
};

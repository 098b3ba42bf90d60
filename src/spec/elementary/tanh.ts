/**
 * The hyperbolic tangent, from its values at a = |x|.
 *
 * Near 0 it is a minus a small correction, so that the relative error stays small; further out it is
 * 1 − 2/(exp(2a) + 1), which reaches 1 by itself when exp overflows.
 *
 * Laws: tanh(−x) = −tanh(x) bit for bit, tanh(±0) = ±0, tanh(±∞) = ±1, NaN stays NaN.
 * The f32 function never decreases (checked for every f32).
 */
import { exp32, exp64 } from './exp.ts';
import { polynomial32 } from './polynomial.ts';
import { withSignOf } from './scale.ts';

const f = Math.fround;

/** Where the two forms meet in f64. */
const BORDER64 = 0.75;

/**
 * Lambert's continued fraction tanh(a) = a/(1 + z/(3 + z/(5 + …))), z = a². With c = 3 + z/(5 + …) it equals
 * a − a·z/(c + z). Cut after 17, its relative error at a ≤ 0.75 is below 3e−19.
 */
const near64 = (a: number): number => {
  const z = a * a;
  let c = 17;
  for (let odd = 15; odd >= 3; odd -= 2) c = odd + z / c;
  return a - (a * z) / (c + z);
};

/** tanh(x) in f64. Error below 2 ulp; 1.01 measured. */
export const tanh64 = (x: number): number => {
  const a = Math.abs(x);
  return withSignOf(x, a < BORDER64 ? near64(a) : 1 - 2 / (exp64(2 * a) + 1));
};

/** The constants of `tanh32`; all are f32 numbers. */
export const TANH32 = {
  /** Where the two forms meet. */
  border: 0.625,
  /** Q of tanh(a) = a + a·z·Q(z), z = a²: minimax, relative error of tanh 2^−27.7 (scripts/derive-coefficients.py). */
  q: [-0.3333328068256378, 0.13331405818462372, -0.05373651534318924, 0.02062816731631756, -0.0056922961957752705],
} as const;

const { border, q } = TANH32;

/**
 * tanh(x) for an f32 number x, in f32 arithmetic. Error below 2 ulp; 1.34 measured over every f32.
 * A SIMD lane computes both forms, selects by a < border, and copies the sign bit of x.
 */
export const tanh32 = (x: number): number => {
  const a = Math.abs(x);
  const z = f(a * a);
  const near = f(a + f(f(a * z) * polynomial32(q, z)));
  const far = f(1 - f(2 / f(exp32(f(2 * a)) + 1)));
  return withSignOf(x, a < border ? near : far);
};

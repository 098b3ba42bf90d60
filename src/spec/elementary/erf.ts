/**
 * The error function 2/√π ∫₀ˣ exp(−t²) dt, from its values at a = |x|.
 *
 * Near 0 it is a + a·P(a²), so that the relative error stays small; further out it is 1 − erfc(a), where erfc is so
 * small that its own error hardly shows.
 *
 * Laws: erf(−x) = −erf(x) bit for bit, erf(±0) = ±0, erf(±∞) = ±1, NaN stays NaN.
 * Neither function is quite monotone: in f32, one unit in the last place is lost between 129 pairs of neighbours.
 */
import { exp32, exp64 } from './exp.ts';
import { polynomial32, polynomial64 } from './polynomial.ts';
import { withSignOf } from './scale.ts';

const f = Math.fround;

/** 2/√π, and what it exceeds 1 by. */
const TWO_OVER_ROOT_PI = 1.1283791670955126;
const TWO_OVER_ROOT_PI_LESS_1 = 0.1283791670955126;

/** Taylor's coefficients of erf(a)/a in powers of a²: (−1)ⁿ · 2/√π / (n! (2n+1)), for n = 1 … last. */
const taylor = (last: number): readonly number[] => {
  const table: number[] = [];
  let overFactorial = TWO_OVER_ROOT_PI;
  for (let n = 1; n <= last; n++) {
    overFactorial /= -n;
    table.push(overFactorial / (2 * n + 1));
  }
  return table;
};

/** erf(a)/a − 1 in powers of a², for a < 1. The first term left out is 1.13/(18! · 37) < 5e−18. */
const NEAR64: readonly number[] = [TWO_OVER_ROOT_PI_LESS_1, ...taylor(17)];

/**
 * exp(a²)·erfc(a) in powers of u = (a − 2)/(a + 3), for 1 ≤ a ≤ 6: minimax, absolute error of erf 2^−56.9
 * (scripts/derive-coefficients.py).
 */
const FAR64: readonly number[] = [
  0.25539567631050575, -0.533982309267448, 0.5110865058207053, -0.37642439962758684, 0.2039465603105829,
  -0.07128989010184639, 0.007769788577729203, 0.00595569149422512, -0.0023785710737926516, -0.0004929345083098268,
  0.0004249002106706068, 6.506868682575459e-5, -8.345745061836811e-5, -3.085168091261717e-5,
];

/** erf rounds to 1 from here on: erfc(6) < 2^−55. */
const ONE_FROM = 6;

const far64 = (a: number): number => 1 - exp64(-a * a) * polynomial64(FAR64, (a - 2) / (a + 3));

/** erf(x) in f64. Error below 2 ulp; 1.26 measured. */
export const erf64 = (x: number): number => {
  const a = Math.abs(x);
  return withSignOf(x, a < 1 ? a + a * polynomial64(NEAR64, a * a) : a < ONE_FROM ? far64(a) : 1);
};

/** The constants of `erf32`; all are f32 numbers. */
export const ERF32 = {
  /** Where the two forms meet: there the f32 result is most accurate. */
  border: 0.875,
  /** a is clamped to `highest` in the outer form: erfc(4) < 2^−25, so 1 − erfc(4) rounds to 1. */
  highest: 4,
  /**
   * P of erf(a) = a + a·P(a²), a ≤ border: minimax, relative error of erf 2^−26.05 (scripts/derive-coefficients.py).
   */
  near: [
    0.12837915122509003, -0.3761250376701355, 0.11281921714544296, -0.026770485565066338, 0.004998927935957909,
    -0.0006020490545779467,
  ],
  /** log(erfc(a)) in powers of a from border to 4: minimax, absolute error of erf 2^−28.9 (same script). */
  logErfc: [
    -0.00014421969535760581, -1.1278893947601318, -0.6368205547332764, -0.10425034910440445, 0.022381123155355453,
    -0.0030820220708847046, 0.00019990401051472872,
  ],
} as const;

const { border, highest, near, logErfc } = ERF32;

/**
 * erf(x) for an f32 number x, in f32 arithmetic: a + a·P(a²), or 1 − exp(log(erfc(a))). Error below 2 ulp; 1.26
 * measured over every f32. A SIMD lane computes both forms, selects by a < border, and copies the sign bit of x.
 */
export const erf32 = (x: number): number => {
  const a = Math.abs(x);
  const inner = f(a + f(a * polynomial32(near, f(a * a))));
  const outer = f(1 - exp32(polynomial32(logErfc, highest < a ? highest : a)));
  return withSignOf(x, a < border ? inner : outer);
};

/**
 * x^y = exp(y · log|x|), with the logarithm and the product in double-double, so that the error of the exponent stays
 * below 2^−58 even where the result is near the largest or smallest number.
 *
 * Law: the special cases are those of JavaScript's `**` (ECMA-262, Number::exponentiate), which differ from C in that
 * (±1)^±∞ and 1^NaN are NaN. Powers that an f64 holds exactly come out exactly.
 * For use on the host (schedules, tables), not in inner loops.
 */
import { add, type DoubleDouble, divide, fastTwoSum, multiply, twoProduct, twoSum } from './double-double.ts';
import { expOfSum, LN2_HI, LN2_LO } from './exp.ts';
import { polynomial64 } from './polynomial.ts';
import { centredExponent, isNegative, pow2, scale } from './scale.ts';

/** 1/3 and 1/5. The f64 nearest to 1/3 is (1 − 2^−54)/3, that nearest to 1/5 is (1 + 2^−54)/5. */
const THIRD: DoubleDouble = [1 / 3, pow2(-54) / 3];
const FIFTH: DoubleDouble = [1 / 5, -pow2(-54) / 5];

/** The series of artanh from s^7/7 on: 1/7, 1/9, … With z = s² ≤ 0.0295 the first term left out is z^13/27 < 2^−70. */
const FROM_SEVENTH: readonly number[] = [1 / 7, 1 / 9, 1 / 11, 1 / 13, 1 / 15, 1 / 17, 1 / 19, 1 / 21, 1 / 23, 1 / 25];

/**
 * log(x) for finite x > 0, relative error below 2^−68. As in log.ts, log(m) = 2·artanh(s) for s = (m − 1)/(m + 1);
 * artanh(s) = s + s·z·(1/3 + z·(1/5 + z·T(z))), where only T is small enough for plain f64.
 */
const logDoubleDouble = (x: number): DoubleDouble => {
  const k = centredExponent(x);
  const m = scale(x, -k);
  const s = divide(m - 1, twoSum(1, m));
  const z = multiply(s, s);
  const fifth = add(FIFTH, multiply(z, [polynomial64(FROM_SEVENTH, z[0]), 0]));
  const third = add(THIRD, multiply(z, fifth));
  const artanh = add(s, multiply(s, multiply(z, third)));
  const [hi, lo] = twoSum(k * LN2_HI, 2 * artanh[0]);
  return fastTwoSum(hi, lo + (2 * artanh[1] + k * LN2_LO));
};

/** a^y for finite a > 0, a ≠ 1, and finite y. */
const powOfOrdinary = (a: number, y: number): number => {
  const [logHi, logLo] = logDoubleDouble(a);
  const estimate = y * logHi;
  if (estimate > 710) return Number.POSITIVE_INFINITY;
  if (estimate < -746) return 0;
  const [hi, lo] = twoProduct(y, logHi);
  return expOfSum(hi, lo + y * logLo);
};

/** a^y for a ≥ 0 and y ≠ 0, neither of them NaN. */
const powOfMagnitude = (a: number, y: number): number => {
  const yIsInfinite = Math.abs(y) === Number.POSITIVE_INFINITY;
  if (a === 1) return yIsInfinite ? Number.NaN : 1;
  if (a > 0 && a < Number.POSITIVE_INFINITY && !yIsInfinite) return powOfOrdinary(a, y);
  return a > 1 === y > 0 ? Number.POSITIVE_INFINITY : 0;
};

/** True for ±∞ too. */
const isInteger = (y: number): boolean => Math.floor(y) === y;

const isOdd = (y: number): boolean => isInteger(y) && !isInteger(y / 2);

/** x^y in f64. Error below 1 ulp; 0.74 measured. */
export const pow64 = (x: number, y: number): number => {
  if (y === 0) return 1;
  if (Number.isNaN(x) || Number.isNaN(y)) return Number.NaN;
  const magnitude = powOfMagnitude(Math.abs(x), y);
  if (!isNegative(x)) return magnitude;
  if (isOdd(y)) return -magnitude;
  const defined = isInteger(y) || x === 0 || x === Number.NEGATIVE_INFINITY;
  return defined ? magnitude : Number.NaN;
};

/** x^y for f32 numbers x and y: the f64 value rounded to f32. */
export const pow32 = (x: number, y: number): number => Math.fround(pow64(x, y));

/**
 * Double-double numbers: an unevaluated sum hi + lo of two f64 with |lo| ≤ ulp(hi)/2, about 106 bits.
 *
 * Law: `twoSum` and `twoProduct` are exact: hi is the rounded result, and hi + lo the true one (as long as nothing
 * overflows and lo is no subnormal number). Sources: Knuth, TAOCP 2, §4.2.2 (sum); Dekker 1971 (product, fast sum).
 */
export type DoubleDouble = readonly [hi: number, lo: number];

/** a + b exactly, for |a| ≥ |b| or a = 0. */
export const fastTwoSum = (a: number, b: number): DoubleDouble => {
  const sum = a + b;
  return [sum, b - (sum - a)];
};

/** a + b exactly. */
export const twoSum = (a: number, b: number): DoubleDouble => {
  const sum = a + b;
  const bSeen = sum - a;
  return [sum, a - (sum - bSeen) + (b - bSeen)];
};

/** a rounded to 26 bits, for |a| < 2^996; a − upper(a) fits 26 bits too. */
const upper = (a: number): number => {
  const shifted = 134217729 * a; // 2^27 + 1
  return shifted - (shifted - a);
};

/** a · b exactly, for |a|, |b| < 2^996. */
export const twoProduct = (a: number, b: number): DoubleDouble => {
  const product = a * b;
  const aHi = upper(a);
  const bHi = upper(b);
  const aLo = a - aHi;
  const bLo = b - bHi;
  return [product, aLo * bLo - (product - aHi * bHi - aLo * bHi - aHi * bLo)];
};

/** a + b. The error is below 2^−100 |a + b| unless a and b nearly cancel. */
export const add = (a: DoubleDouble, b: DoubleDouble): DoubleDouble => {
  const [hi, lo] = twoSum(a[0], b[0]);
  return fastTwoSum(hi, lo + (a[1] + b[1]));
};

/** a · b. The error is below 2^−100 |a · b|. */
export const multiply = (a: DoubleDouble, b: DoubleDouble): DoubleDouble => {
  const [hi, lo] = twoProduct(a[0], b[0]);
  return fastTwoSum(hi, lo + (a[0] * b[1] + a[1] * b[0]));
};

/** a / b for an f64 a. The error is below 2^−100 |a / b|. */
export const divide = (a: number, b: DoubleDouble): DoubleDouble => {
  const quotient = a / b[0];
  const [hi, lo] = twoProduct(quotient, b[0]);
  return fastTwoSum(quotient, (a - hi - lo - quotient * b[1]) / b[0]);
};

/**
 * An angle modulo a quarter turn: x = n·π/2 + (hi + lo), with |hi + lo| ≤ π/4 up to rounding, and n modulo 4.
 *
 * Law: hi + lo has a relative error below 2^−66, however near x comes to a multiple of π/2; for an f64 that is never
 * nearer than 2^−62. `reduceQuickly` holds for |x| < 2^20, `reduceExactly` for every finite |x| ≥ 1.
 */
import { type DoubleDouble, fastTwoSum, multiply, twoSum } from './double-double.ts';
import { exponentOf, pow2, scale } from './scale.ts';

export interface Angle {
  /** n mod 4. */
  readonly quadrant: number;
  readonly hi: number;
  readonly lo: number;
}

/** 2/π, and π/2 in three parts of 33 bits and a fourth of 53: n times a 33-bit part is exact for |n| < 2^20. */
const TWO_OVER_PI = 0.6366197723675814;
const PART1 = 1.5707963267341256;
const PART2 = 6.077100506303966e-11;
const PART3 = 2.0222662487111665e-21;
const PART4 = 8.4784276603689e-32;

/**
 * The reduction after Cody and Waite for |x| < 2^20: n·π/2 is taken off part by part, and no bit is lost on the way.
 */
export const reduceQuickly = (x: number): Angle => {
  const n = Math.floor(x * TWO_OVER_PI + 0.5);
  const [a, aLost] = twoSum(x - n * PART1, -n * PART2);
  const [b, bLost] = twoSum(a, -n * PART3);
  const [hi, lo] = fastTwoSum(b, aLost + bLost - n * PART4);
  return { quadrant: n & 3, hi, lo };
};

/**
 * Bits after the point of 2/π: 1024 for the largest f64, 62 for the nearest miss of a multiple of π/2, 130 to spare.
 */
const FRACTION_BITS = 1216n;
/** Bits after the point of π; 64 more than needed. */
const PI_BITS = 1280n;

/** arctan(1/q) · 2^PI_BITS from its series, cut to an integer. */
const arctanOfInverse = (q: bigint): bigint => {
  let power = (1n << PI_BITS) / q;
  let sum = power;
  for (let odd = 3n; power !== 0n; odd += 2n) {
    power /= -q * q;
    sum += power / odd;
  }
  return sum;
};

/** 2/π · 2^FRACTION_BITS, where π = 16 arctan(1/5) − 4 arctan(1/239) (Machin 1706). */
const twoOverPiFixed = (): bigint => {
  const pi = 16n * arctanOfInverse(5n) - 4n * arctanOfInverse(239n);
  return (1n << (1n + FRACTION_BITS + PI_BITS)) / pi;
};

const TWO_OVER_PI_FIXED: bigint = twoOverPiFixed();
const HALF_PI: DoubleDouble = [1.5707963267948966, 6.123233995736766e-17];

/**
 * x · 2/π modulo 4, times 2^bits and cut to an integer: x is an integer times 2^e, and the rest is integer arithmetic.
 */
const quarterTurns = (x: number, bits: bigint): bigint => {
  const e = exponentOf(x) - 52;
  const integer = BigInt(scale(x, -e)) * TWO_OVER_PI_FIXED;
  const shift = BigInt(e) + bits - FRACTION_BITS;
  return BigInt.asUintN(Number(bits) + 2, shift < 0n ? integer >> -shift : integer << shift);
};

/** The reduction in integer arithmetic, with 200 bits after the point, for every finite |x| ≥ 1. Slower by far. */
export const reduceExactly = (x: number): Angle => {
  const bits = 200n;
  const turns = quarterTurns(x, bits);
  const n = (turns + (1n << (bits - 1n))) >> bits;
  const fraction = turns - (n << bits);
  const head = Number(fraction);
  const rest = Number(fraction - BigInt(head));
  const [hi, lo] = multiply([head * pow2(-200), rest * pow2(-200)], HALF_PI);
  return { quadrant: Number(n & 3n), hi, lo };
};

/** The reduction of every finite x. */
export const reduceAngle = (x: number): Angle => (Math.abs(x) < 1048576 ? reduceQuickly(x) : reduceExactly(x));

/**
 * The two 16-bit floating-point formats of storage: f16 (IEEE binary16) and bf16 (the upper half of an f32).
 *
 * Laws: `numberToF16(f16ToNumber(b)) === b` for every pattern b that is not NaN, and the same for bf16. A number is
 * rounded to the nearest value of the format, ties to even, in one step from the f64 that holds it: an f32 held in an
 * f64 is not rounded twice. Beyond the largest value by half a step or more it becomes ±∞. NaN stays NaN, as one
 * pattern.
 */
import { exponentOf, isNegative, pow2 } from './elementary/scale.ts';

interface Format {
  /** Bits of the fraction field. */
  readonly fraction: number;
  /** Exponent of the smallest normal number; subnormal numbers share it. */
  readonly lowest: number;
  /** Exponent of the largest number. */
  readonly highest: number;
  /** The patterns of +∞ and of NaN. */
  readonly infinity: number;
  readonly nan: number;
}

const F16: Format = { fraction: 10, lowest: -14, highest: 15, infinity: 0x7c00, nan: 0x7e00 };
const BF16: Format = { fraction: 7, lowest: -126, highest: 127, infinity: 0x7f80, nan: 0x7fc0 };

/** x rounded to an integer, ties to even, for 0 ≤ x < 2^51: above 2^52 an f64 has no fraction. */
const roundToEven = (x: number): number => x + 4503599627370496 - 4503599627370496;

/**
 * In units of the last place, a normal number of exponent e has 2^fraction units and more, which adds one to the
 * exponent field; a subnormal number has fewer and adds nothing; one that rounds up to the next power of two carries by
 * itself.
 */
const encodeMagnitude = (format: Format, x: number): number => {
  const e = Math.max(exponentOf(x), format.lowest);
  if (e > format.highest) return Number.isNaN(x) ? format.nan : format.infinity;
  const units = roundToEven(Math.abs(x) * pow2(format.fraction - e));
  return ((e - format.lowest) << format.fraction) + units;
};

const encode = (format: Format, x: number): number => (isNegative(x) ? 0x8000 : 0) + encodeMagnitude(format, x);

const decodeMagnitude = (format: Format, pattern: number): number => {
  if (pattern >= format.infinity) return pattern === format.infinity ? Number.POSITIVE_INFINITY : Number.NaN;
  const one = 1 << format.fraction;
  const field = pattern >> format.fraction;
  const units = field === 0 ? pattern : (pattern & (one - 1)) + one;
  return units * pow2(Math.max(field - 1, 0) + format.lowest - format.fraction);
};

const decode = (format: Format, bits: number): number => {
  const magnitude = decodeMagnitude(format, bits & 0x7fff);
  return bits & 0x8000 ? -magnitude : magnitude;
};

/** The value of an f16, given its 16 bits as an integer. */
export const f16ToNumber = (bits: number): number => decode(F16, bits);

/** The 16 bits of the f16 nearest to x. */
export const numberToF16 = (x: number): number => encode(F16, x);

/** The value of a bf16, given its 16 bits as an integer. */
export const bf16ToNumber = (bits: number): number => decode(BF16, bits);

/** The 16 bits of the bf16 nearest to x. */
export const numberToBf16 = (x: number): number => encode(BF16, x);

/**
 * Powers of two, binary exponents and signs: the exact part of every elementary function.
 *
 * Law: for finite x ≠ 0 and e = `exponentOf(x)`, m = `scale(x, -e)` has 1 ≤ |m| < 2, and `scale(m, e)` is x again.
 */
const SMALLEST = -1074;
const LARGEST = 1023;

const powersOfTwo = (): Float64Array => {
  const table = new Float64Array(LARGEST - SMALLEST + 1);
  let power = Number.MIN_VALUE;
  for (let i = 0; i < table.length; i++) {
    table[i] = power;
    power *= 2;
  }
  return table;
};

const POWERS: Float64Array = powersOfTwo();

/** 2^k for an integer k in [−1074, 1023]. */
export const pow2 = (k: number): number => POWERS[k - SMALLEST] as number;

/**
 * x · 2^k for an integer k in [−2046, 2046], in two multiplications by a power of two. The first is exact wherever
 * x · 2^⌊k/2⌋ is a normal number. So only the second one rounds, and only to a subnormal number or to ±∞.
 * Where x is NaN, k may be NaN too: it counts as 0, and the table is read inside its bounds.
 */
export const scale = (x: number, k: number): number => {
  const whole = k | 0;
  const half = whole >> 1;
  return x * pow2(half) * pow2(whole - half);
};

/** Scratch for looking at the bits of a number. Every use writes before it reads, so its state is never seen. */
const SCRATCH: DataView = new DataView(new ArrayBuffer(8));

/** The exponent field of an f64 without its bias: −1023 for 0 and subnormal numbers, 1024 for ±∞ and NaN. */
const exponentField = (x: number): number => {
  SCRATCH.setFloat64(0, x);
  return ((SCRATCH.getInt32(0) >> 20) & 0x7ff) - 1023;
};

/** ⌊log₂|x|⌋ for finite x ≠ 0, subnormal or not; 1024 for ±∞ and NaN; less than −1074 for ±0. */
export const exponentOf = (x: number): number => {
  const e = exponentField(x);
  return e === -1023 ? exponentField(x * pow2(54)) - 54 : e;
};

/**
 * The integer k for which x · 2^−k lies in (√½, √2], for finite x > 0.
 * The product is exact, in f32 too, and no f32 lies between √2 rounded to f32 and √2 rounded to f64.
 */
export const centredExponent = (x: number): number => {
  const e = exponentOf(x);
  return scale(x, -e) > Math.SQRT2 ? e + 1 : e;
};

/** Whether the sign bit is set; false for NaN. */
export const isNegative = (x: number): boolean => x < 0 || Object.is(x, -0);

/** An odd function from its values at |x|: y with the sign of x, and x itself where x is ±0 or NaN. y ≥ 0. */
export const withSignOf = (x: number, y: number): number => (x > 0 ? y : x < 0 ? -y : x);

/**
 * exp, log, tanh and erf of four lanes: the bits of src/spec/elementary's f32 functions, operation by operation.
 *
 * Nothing here is fused or reassociated. Constants are loaded from a table, as a splatted literal is rebuilt each time
 * it is used. NaN in, NaN out; its payload is not kept.
 */
/** The numbers of EXP32, LOG32, TANH32 and ERF32, and a few plain ones. */
const TABLE: usize = memory.data<f32>([
  // exp: lowest, highest, 1/ln2, 1.5·2^23, ln2 in two parts, Q from r^4 down to r^0
  -104, 89, 1.4426950216293335, 12582912, 0.693145751953125, 1.428606765330187e-6,
  0.001383887603878975, 0.00836919154971838, 0.04166810214519501, 0.16666516661643982, 0.4999999403953552,
  1, 0.5, 2, Infinity,
  // log: the smallest normal number and 2^24, the first number above √½, R from z^2 down to z^0
  1.1754943508222875e-38, 16777216, 0.7071068286895752, 0.29870694875717163, 0.3997758626937866, 0.6666677594184875,
  // tanh: border, Q from z^4 down to z^0
  0.625, -0.0056922961957752705, 0.02062816731631756, -0.05373651534318924, 0.13331405818462372, -0.3333328068256378,
  // erf: border, highest, P from z^5 down to z^0, log(erfc) from a^6 down to a^0
  0.875, 4, -0.0006020490545779467, 0.004998927935957909, -0.026770485565066338, 0.11281921714544296,
  -0.3761250376701355, 0.12837915122509003, 0.00019990401051472872, -0.0030820220708847046, 0.022381123155355453,
  -0.10425034910440445, -0.6368205547332764, -1.1278893947601318, -0.00014421969535760581,
]);

/** Bit patterns: the fraction field, and −24 for the exponent of a number that was subnormal. */
const PATTERNS: usize = memory.data<i32>([0x007fffff, -24]);

const LOWEST: usize = TABLE;
const HIGHEST: usize = TABLE + 4;
const LOG2E: usize = TABLE + 8;
const MAGIC: usize = TABLE + 12;
const LN2_HI: usize = TABLE + 16;
const LN2_LO: usize = TABLE + 20;
const EXP_Q: usize = TABLE + 24;
const ONE: usize = TABLE + 44;
const HALF: usize = TABLE + 48;
const TWO: usize = TABLE + 52;
const INFINITE: usize = TABLE + 56;
const SMALLEST_NORMAL: usize = TABLE + 60;
const TO_NORMAL: usize = TABLE + 64;
const LOG_BORDER: usize = TABLE + 68;
const LOG_Q: usize = TABLE + 72;
const TANH_BORDER: usize = TABLE + 84;
const TANH_Q: usize = TABLE + 88;
const ERF_BORDER: usize = TABLE + 108;
const ERF_HIGHEST: usize = TABLE + 112;
const ERF_NEAR: usize = TABLE + 116;
const ERF_FAR: usize = TABLE + 140;
const FRACTION: usize = PATTERNS;
const SUBNORMAL_SHIFT: usize = PATTERNS + 4;

/** The constant at an address, in every lane. */
@inline
function constant(address: usize): v128 {
  return v128.load32_splat(address);
}

/** One step of Horner's rule: c + z·sum, rounded twice. */
@inline
function horner(sum: v128, z: v128, coefficient: usize): v128 {
  return f32x4.add(f32x4.mul(sum, z), constant(coefficient));
}

/** The sign bit of x put on y, which has none. */
@inline
function withSignOf(x: v128, y: v128): v128 {
  return v128.or(y, v128.xor(x, f32x4.abs(x)));
}

/** exp: x = k·ln2 + r, exp(x) = 2^⌊k/2⌋ · 2^(k−⌊k/2⌋) · (1 + (r + r²·Q(r))). */
@inline
export function exp4(x: v128): v128 {
  const magic = constant(MAGIC);
  const clamped = f32x4.pmin(f32x4.pmax(x, constant(LOWEST)), constant(HIGHEST)); // in this order NaN stays
  const sum = f32x4.add(f32x4.mul(clamped, constant(LOG2E)), magic); // its low bits hold k
  const k = f32x4.sub(sum, magic);
  const r = f32x4.sub(
    f32x4.sub(clamped, f32x4.mul(k, constant(LN2_HI))),
    f32x4.mul(k, constant(LN2_LO)),
  );
  let q = horner(constant(EXP_Q), r, EXP_Q + 4);
  q = horner(q, r, EXP_Q + 8);
  q = horner(q, r, EXP_Q + 12);
  q = horner(q, r, EXP_Q + 16);
  const one = constant(ONE);
  const s = f32x4.add(r, f32x4.mul(f32x4.mul(r, r), q));
  const half = i32x4.shr_s(sum, 1); // low bits: ⌊k/2⌋, as the magic number's own bits are even and shifted out below
  const low = i32x4.add(i32x4.shl(half, 23), one);
  const high = i32x4.add(i32x4.shl(i32x4.sub(sum, half), 23), one);
  return f32x4.mul(f32x4.mul(f32x4.add(one, s), low), high);
}

/**
 * log: x = 2^k·(1 + g) with 1 + g in (√½, √2], s = g/(2 + g), and
 * k·ln2Hi + (g − (g²/2 − (s·(g²/2 + s²·R(s²)) + k·ln2Lo))).
 * Subnormal x is multiplied by 2^24 before. 0, negative numbers, ∞ and NaN are put in at the end.
 */
@inline
export function log4(x: v128): v128 {
  const zero = i32x4.splat(0);
  const one = constant(ONE);
  const subnormal = f32x4.lt(x, constant(SMALLEST_NORMAL));
  const normal = v128.bitselect(f32x4.mul(x, constant(TO_NORMAL)), x, subnormal);
  const border = constant(LOG_BORDER);
  const above = i32x4.sub(normal, border); // bits past those of √½: k in the exponent field
  const exponent = i32x4.add(i32x4.shr_s(above, 23), v128.and(subnormal, constant(SUBNORMAL_SHIFT)));
  const k = f32x4.convert_i32x4_s(exponent);
  const g = f32x4.sub(i32x4.add(v128.and(above, constant(FRACTION)), border), one);
  const s = f32x4.div(g, f32x4.add(constant(TWO), g));
  const z = f32x4.mul(s, s);
  const h = f32x4.mul(f32x4.mul(g, g), constant(HALF));
  const q = horner(horner(constant(LOG_Q), z, LOG_Q + 4), z, LOG_Q + 8);
  const r = f32x4.mul(z, q);
  const small = f32x4.add(f32x4.mul(s, f32x4.add(h, r)), f32x4.mul(k, constant(LN2_LO)));
  const sum = f32x4.add(f32x4.mul(k, constant(LN2_HI)), f32x4.sub(g, f32x4.sub(h, small)));
  const infinity = constant(INFINITE);
  const special = v128.bitselect(
    f32x4.neg(infinity),
    v128.or(x, v128.not(f32x4.gt(x, zero))), // x where it is ∞, else all ones, a NaN
    f32x4.eq(x, zero),
  );
  return v128.bitselect(sum, special, v128.and(f32x4.gt(x, zero), f32x4.lt(x, infinity)));
}

/** tanh: with a = |x|, a + a·z·Q(z) for z = a² below the border, else 1 − 2/(exp(2a) + 1); then the sign of x. */
@inline
export function tanh4(x: v128): v128 {
  const a = f32x4.abs(x);
  const z = f32x4.mul(a, a);
  let q = horner(constant(TANH_Q), z, TANH_Q + 4);
  q = horner(q, z, TANH_Q + 8);
  q = horner(q, z, TANH_Q + 12);
  q = horner(q, z, TANH_Q + 16);
  const near = f32x4.add(a, f32x4.mul(f32x4.mul(a, z), q));
  const one = constant(ONE);
  const two = constant(TWO);
  const far = f32x4.sub(one, f32x4.div(two, f32x4.add(exp4(f32x4.mul(two, a)), one)));
  return withSignOf(x, v128.bitselect(near, far, f32x4.lt(a, constant(TANH_BORDER))));
}

/** erf: with a = |x|, a + a·P(a²) below the border, else 1 − exp(log(erfc(a))); then the sign of x. */
@inline
export function erf4(x: v128): v128 {
  const a = f32x4.abs(x);
  const z = f32x4.mul(a, a);
  let p = horner(constant(ERF_NEAR), z, ERF_NEAR + 4);
  p = horner(p, z, ERF_NEAR + 8);
  p = horner(p, z, ERF_NEAR + 12);
  p = horner(p, z, ERF_NEAR + 16);
  p = horner(p, z, ERF_NEAR + 20);
  const near = f32x4.add(a, f32x4.mul(a, p));
  const b = f32x4.pmin(a, constant(ERF_HIGHEST)); // in this order NaN stays
  let l = horner(constant(ERF_FAR), b, ERF_FAR + 4);
  l = horner(l, b, ERF_FAR + 8);
  l = horner(l, b, ERF_FAR + 12);
  l = horner(l, b, ERF_FAR + 16);
  l = horner(l, b, ERF_FAR + 20);
  l = horner(l, b, ERF_FAR + 24);
  const far = f32x4.sub(constant(ONE), exp4(l));
  return withSignOf(x, v128.bitselect(near, far, f32x4.lt(a, constant(ERF_BORDER))));
}

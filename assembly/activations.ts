/**
 * Activations and their derivatives, with the operations of src/core/derived/activations.ts in their order, each
 * rounded once. The range is one of elements, but for ReLU, where it is one of mask words of 32 elements.
 */
import { erf4, exp4 } from './elementary';
import { at, load4, loadPart, store4, storePart } from './lanes';

/** √½, −½, 1/√(2π), ½, 1. */
const TABLE: usize = memory.data<f32>([0.7071067811865476, -0.5, 0.3989422804014327, 0.5, 1]);

@inline
function constant(i: usize): v128 {
  return v128.load32_splat(TABLE + (i << 2));
}

/** Φ(x) = (erf(x·√½) + 1)·½. */
@inline
function normalCdf(x: v128): v128 {
  return f32x4.mul(f32x4.add(erf4(f32x4.mul(x, constant(0))), constant(4)), constant(3));
}

/** 1 + e^(−x). */
@inline
function inverseLogistic(x: v128): v128 {
  return f32x4.add(exp4(f32x4.neg(x)), constant(4));
}

const GELU = 0;
const GELU_BACKWARD = 1;
const SILU = 2;
const SILU_BACKWARD = 3;
const TANH_BACKWARD = 4;

/** One formula on four lanes; `f` is a constant, so that one branch remains. A forward formula does not read dy. */
@inline
function formula(f: i32, x: v128, dy: v128): v128 {
  if (f == GELU) return f32x4.mul(x, normalCdf(x));
  if (f == GELU_BACKWARD) {
    const cdf = normalCdf(x);
    const density = f32x4.mul(exp4(f32x4.mul(f32x4.mul(x, x), constant(1))), constant(2));
    return f32x4.mul(dy, f32x4.add(cdf, f32x4.mul(x, density)));
  }
  if (f == SILU) return f32x4.div(x, inverseLogistic(x));
  const one = constant(4);
  if (f == SILU_BACKWARD) {
    const logistic = f32x4.div(one, inverseLogistic(x));
    const slope = f32x4.add(f32x4.mul(x, f32x4.sub(one, logistic)), one);
    return f32x4.mul(f32x4.mul(dy, logistic), slope);
  }
  return f32x4.mul(dy, f32x4.sub(one, f32x4.mul(x, x))); // x is the output of tanh
}

@inline
function overElements(f: i32, begin: i32, end: i32, x: usize, dy: usize, out: usize): void {
  let i = begin;
  for (; i + 4 <= end; i += 4) v128.store(at(out, i), formula(f, v128.load(at(x, i)), v128.load(at(dy, i))));
  const left = end - i;
  if (left > 0) storePart(at(out, i), formula(f, loadPart(at(x, i), left), loadPart(at(dy, i), left)), left);
}

/** y = x·Φ(x). */
export function gelu(begin: i32, end: i32, x: usize, y: usize): void {
  overElements(GELU, begin, end, x, x, y);
}

/** dx = dy·(Φ(x) + x·φ(x)), φ(x) = e^(−x²/2)/√(2π). */
export function geluBackward(begin: i32, end: i32, x: usize, dy: usize, dx: usize): void {
  overElements(GELU_BACKWARD, begin, end, x, dy, dx);
}

/** y = x/(1 + e^(−x)). */
export function silu(begin: i32, end: i32, x: usize, y: usize): void {
  overElements(SILU, begin, end, x, x, y);
}

/** dx = dy·σ·(1 + x·(1 − σ)), σ = 1/(1 + e^(−x)). */
export function siluBackward(begin: i32, end: i32, x: usize, dy: usize, dx: usize): void {
  overElements(SILU_BACKWARD, begin, end, x, dy, dx);
}

/** dx = dy·(1 − y²). */
export function tanhBackward(begin: i32, end: i32, y: usize, dy: usize, dx: usize): void {
  overElements(TANH_BACKWARD, begin, end, y, dy, dx);
}

/** y = max(x, 0) of `count` elements, and the bits of x > 0. */
export function relu(begin: i32, end: i32, count: i32, x: usize, y: usize, mask: usize): void {
  const zero = i32x4.splat(0);
  for (let word = begin; word < end; word++) {
    const first = word << 5;
    const last = min(first + 32, count);
    let bits = 0;
    for (let i = first; i < last; i += 4) {
      const values = load4(at(x, i), last - i);
      store4(at(y, i), f32x4.max(values, zero), last - i);
      bits |= i32x4.bitmask(f32x4.gt(values, zero)) << (i - first);
    }
    store<i32>(at(mask, word), bits);
  }
}

/** dy where the bit of the mask is set, else +0. */
export function reluBackward(begin: i32, end: i32, count: i32, mask: usize, dy: usize, dx: usize): void {
  const places = i32x4(1, 2, 4, 8);
  for (let word = begin; word < end; word++) {
    const first = word << 5;
    const last = min(first + 32, count);
    const bits = load<i32>(at(mask, word));
    for (let i = first; i < last; i += 4) {
      const set = i32x4.eq(v128.and(i32x4.splat(bits >> (i - first)), places), places);
      store4(at(dx, i), v128.and(load4(at(dy, i), last - i), set), last - i);
    }
  }
}

/** y = gate/(1 + e^(−gate))·up. */
export function swiglu(begin: i32, end: i32, gate: usize, up: usize, y: usize): void {
  for (let i = begin; i < end; i += 4) {
    const left = end - i;
    store4(at(y, i), f32x4.mul(formula(SILU, load4(at(gate, i), left), i32x4.splat(0)), load4(at(up, i), left)), left);
  }
}

/** dgate = dy·up·silu'(gate), dup = dy·silu(gate). */
export function swigluBackward(
  begin: i32, end: i32, gate: usize, up: usize, dy: usize, dgate: usize, dup: usize,
): void {
  for (let i = begin; i < end; i += 4) {
    const left = end - i;
    const g = load4(at(gate, i), left);
    const gradient = load4(at(dy, i), left);
    store4(at(dgate, i), formula(SILU_BACKWARD, g, f32x4.mul(gradient, load4(at(up, i), left))), left);
    store4(at(dup, i), f32x4.mul(gradient, formula(SILU, g, gradient)), left);
  }
}

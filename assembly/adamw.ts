/** One step of AdamW on one tensor, in one pass; the operations of src/core/derived/adamw.ts in their order. */
import { at, load4, store4 } from './lanes';

/**
 * m' = m·β₁ + g·(1 − β₁), v' = v·β₂ + g²·(1 − β₂), and Δθ = −η·((m'/c₁)/(√(v'/c₂) + ε) + λ·(θ − θ*)).
 * Without decay (`decays` = 0) θ and θ* are not read; a θ* at address 0 is not subtracted.
 * The range is one of elements.
 */
export function adamw(
  begin: i32, end: i32,
  gradient: usize, m: usize, v: usize, parameter: usize, target: usize,
  beta1: f32, oneLessBeta1: f32, beta2: f32, oneLessBeta2: f32, correction1: f32, correction2: f32, epsilon: f32,
  decays: i32, decay: f32, minusRate: f32,
  delta: usize, newM: usize, newV: usize,
): void {
  const b1 = f32x4.splat(beta1);
  const l1 = f32x4.splat(oneLessBeta1);
  const b2 = f32x4.splat(beta2);
  const l2 = f32x4.splat(oneLessBeta2);
  const c1 = f32x4.splat(correction1);
  const c2 = f32x4.splat(correction2);
  const eps = f32x4.splat(epsilon);
  const lambda = f32x4.splat(decay);
  const rate = f32x4.splat(minusRate);
  for (let i = begin; i < end; i += 4) {
    const left = end - i;
    const g = load4(at(gradient, i), left);
    const mean = f32x4.add(f32x4.mul(load4(at(m, i), left), b1), f32x4.mul(g, l1));
    const square = f32x4.add(f32x4.mul(load4(at(v, i), left), b2), f32x4.mul(f32x4.mul(g, g), l2));
    let total = f32x4.div(f32x4.div(mean, c1), f32x4.add(f32x4.sqrt(f32x4.div(square, c2)), eps));
    if (decays) {
      let distance = load4(at(parameter, i), left);
      if (target) distance = f32x4.sub(distance, load4(at(target, i), left));
      total = f32x4.add(total, f32x4.mul(distance, lambda));
    }
    store4(at(newM, i), mean, left);
    store4(at(newV, i), square, left);
    store4(at(delta, i), f32x4.mul(total, rate), left);
  }
}

/**
 * One step of AdamW (Loshchilov & Hutter 2019) on one tensor, with decay towards a target θ* rather than only to 0:
 *
 *   m ← β₁ m + (1 − β₁) g          v ← β₂ v + (1 − β₂) g²
 *   Δθ = −η·( (m/(1 − β₁ᵗ)) / (√(v/(1 − β₂ᵗ)) + ε) + λ·(θ − θ*) )
 *
 * All tensors have one shape. The coefficients are f64 numbers of the host, 1 − β and 1 − βᵗ too, rounded once each.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops, Release } from '../ops.ts';

/** First and second moment of the gradient. */
export interface Moments<T> {
  readonly m: T;
  readonly v: T;
}

export interface AdamwCoefficients {
  /** η */
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** λ */
  readonly decay: number;
  /** 1 − β₁ᵗ and 1 − β₂ᵗ. */
  readonly correction1: number;
  readonly correction2: number;
}

export interface AdamwKernels<T> {
  /**
   * Δθ and the new moments. Without a target the decay is towards 0; without decay θ is not read. With `release` the
   * caller gives the gradient and the old moments up.
   */
  readonly update: (
    gradient: T,
    moments: Moments<T>,
    parameter: T,
    target: T | null,
    coefficients: AdamwCoefficients,
    release?: Release<T>,
  ) => readonly [delta: T, moments: Moments<T>];
}

export const adamw = <T extends Spec>(o: Ops<T>): AdamwKernels<T> => ({
  update: (gradient, moments, parameter, target, c, release) => {
    const next = o.scope((): readonly [T, Moments<T>] => {
      const m = o.add(o.mul(moments.m, c.beta1), o.mul(gradient, 1 - c.beta1));
      const v = o.add(o.mul(moments.v, c.beta2), o.mul(o.mul(gradient, gradient), 1 - c.beta2));
      const direction = o.div(o.div(m, c.correction1), o.add(o.sqrt(o.div(v, c.correction2)), c.epsilon));
      const distance = target === null ? parameter : o.sub(parameter, target);
      const total = c.decay === 0 ? direction : o.add(direction, o.mul(distance, c.decay));
      return [o.mul(total, -c.learningRate), { m, v }];
    });
    for (const old of [gradient, moments.m, moments.v]) release?.(old);
    return next;
  },
});

/**
 * Activations and their derivatives, element by element. What each backward reads is what its layer keeps: ReLU its
 * sign mask (one bit an element), tanh its output, GELU and SiLU their input.
 *
 * Sources: GELU, Hendrycks & Gimpel 2016, the exact form x·Φ(x); SiLU, Elfwing et al. 2017. ReLU'(0) = 0.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';

export interface ReluKernels<T> {
  /** y = max(x, 0), and the packed mask x > 0. */
  readonly forward: (x: T) => readonly [y: T, mask: T];
  readonly backward: (mask: T, dy: T) => T;
}

/** An activation whose backward reads its input x. */
export interface ActivationKernels<T> {
  readonly forward: (x: T) => T;
  readonly backward: (x: T, dy: T) => T;
}

export interface TanhKernels<T> {
  readonly forward: (x: T) => T;
  /** Reads the output y. */
  readonly backward: (y: T, dy: T) => T;
}

export const relu = <T extends Spec>(o: Ops<T>): ReluKernels<T> => ({
  forward: (x) => [o.max(x, 0), o.packMask(o.greater(x, 0))],
  backward: (mask, dy) => o.where(o.unpackMask(mask, dy.shape), dy, 0),
});

/** dy·(1 − y²). */
export const tanh = <T extends Spec>(o: Ops<T>): TanhKernels<T> => ({
  forward: o.tanh,
  backward: (y, dy) => o.mul(dy, o.sub(1, o.mul(y, y))),
});

/** Φ(x) = ½·(1 + erf(x/√2)), the normal distribution function. */
const normalCdf = <T extends Spec>(o: Ops<T>, x: T): T => o.mul(o.add(o.erf(o.mul(x, Math.SQRT1_2)), 1), 0.5);

/** φ(x) = e^(−x²/2)/√(2π), its density. */
const normalDensity = <T extends Spec>(o: Ops<T>, x: T): T =>
  o.mul(o.exp(o.mul(o.mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));

/** y = x·Φ(x); dx = dy·(Φ(x) + x·φ(x)). */
export const gelu = <T extends Spec>(o: Ops<T>): ActivationKernels<T> => ({
  forward: (x) => o.mul(x, normalCdf(o, x)),
  backward: (x, dy) => o.mul(dy, o.add(normalCdf(o, x), o.mul(x, normalDensity(o, x)))),
});

/** 1 + e^(−x): the reciprocal of the logistic function σ. */
const inverseLogistic = <T extends Spec>(o: Ops<T>, x: T): T => o.add(o.exp(o.neg(x)), 1);

/** y = x·σ(x); dx = dy·σ(x)·(1 + x·(1 − σ(x))). */
export const silu = <T extends Spec>(o: Ops<T>): ActivationKernels<T> => ({
  forward: (x) => o.div(x, inverseLogistic(o, x)),
  backward: (x, dy) => {
    const logistic = o.div(1, inverseLogistic(o, x));
    return o.mul(o.mul(dy, logistic), o.add(o.mul(x, o.sub(1, logistic)), 1));
  },
});

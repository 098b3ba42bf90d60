/**
 * How far a result of f32 arithmetic may lie from the f64 value. The bounds of whole operations are not written by
 * hand: `core/error-bound.ts` carries them through every primitive, from the constants below.
 *
 * Model (Higham, Accuracy and Stability, chapters 2 and 3): fl(a ∘ b) = (a ∘ b)(1 + δ) + η, |δ| ≤ u, |η| ≤ 2⁻¹⁵⁰, where η
 * is 0 for sums; a sum of n terms in any order errs by at most γₙ Σ|xᵢ|, γₙ = n·u/(1 − n·u). No overflow is assumed.
 */
import { ulpBound } from './elementary/index.ts';

/** What a class of f32 implementations promises of its single operations. */
export interface Arithmetic {
  /** Half the distance from 1 to the next f32: rounding to nearest, 2⁻²⁴. */
  readonly roundoff: number;
  /** Absolute error of a product or quotient near 0: half the smallest subnormal, 2⁻¹⁵⁰. */
  readonly underflow: number;
  /** Largest errors in units of the last place; an ulp of y is at most 2·roundoff·|y|. */
  readonly ulps: {
    readonly div: number;
    readonly sqrt: number;
    readonly exp: number;
    readonly log: number;
    readonly tanh: number;
    readonly erf: number;
  };
}

/** The f64 values that bounds are taken around err by 2⁻⁵³ themselves; this factor covers both. */
const ORACLE_SLACK = 1 + 2 ** -20;

/**
 * IEEE f32 with correctly rounded + − × ÷ √, sums in any order, fused multiply-add allowed, and elementary functions
 * that are as good as this specification's or within 4 ulp, whichever is wider: what a careful implementation in
 * another language has.
 */
export const ieee: Arithmetic = {
  roundoff: 2 ** -24 * ORACLE_SLACK,
  underflow: 2 ** -150,
  ulps: {
    div: 0.5,
    sqrt: 0.5,
    exp: Math.max(4, ulpBound.f32.exp),
    log: Math.max(4, ulpBound.f32.log),
    tanh: Math.max(4, ulpBound.f32.tanh),
    erf: Math.max(4, ulpBound.f32.erf),
  },
};

/** γₙ = n·u/(1 − n·u): the relative error of n roundings in a row. Infinite when n·u reaches 1. */
export const gamma = (n: number, { roundoff: u }: Arithmetic): number =>
  n * u < 1 ? (n * u) / (1 - n * u) : Number.POSITIVE_INFINITY;

/**
 * `Ops` over numbers that carry a bound of their rounding error. Run any formula over it and each element of the result
 * comes with how far an f32 computation of it, in any order of summation, may lie from its f64 value. So the tolerance
 * of every derived operation is a theorem about its primitives and not a constant that somebody chose.
 *
 * Law: if |â − a| ≤ e elementwise for the operands, then it holds for the result, where â is computed in f32 arithmetic
 * of the given kind and a in f64. A mask whose condition lies within the error is uncertain: its error is 1.
 *
 * In the comments below a, b are values, e, f their errors, s the error that operands bring, before rounding.
 */

import { defect } from '../spec/errors.ts';
import { type HostTensor, type Shape, type Spec, sizeOf } from '../spec/tensor.ts';
import { type Arithmetic, gamma } from '../spec/tolerance.ts';
import type { Layout, Operand, Ops } from './ops.ts';

export interface Bounded<T> extends Spec {
  readonly value: T;
  /** Of the value's shape; for `i32` a float mask, 1 where the index is uncertain. */
  readonly error: T;
}

/**
 * The ops over bounded numbers, computed by f64 ops; releases nothing, for it is meant for small cases.
 *
 * @example
 * ```ts
 * import { errorBounds, ieee, kernels, orThrow } from 'paca-ts';
 * import { resolveBackend } from 'paca-ts/backends';
 *
 * const f64 = orThrow(await resolveBackend('reference-f64')).kernels;
 * const k = kernels(errorBounds(f64, ieee));
 * const a = k.full([1, 1000], 1);
 * const { error } = k.matmul(a, a, 'nt');
 * const bound = Number((await f64.toHost(error)).data[0]);
 * bound > 1000 * 1000 * 2 ** -24 && bound < 1.01 * 1000 * 1000 * 2 ** -24; // => true
 * ```
 */
export const errorBounds = <T extends Spec>(o: Ops<T>, arithmetic: Arithmetic): Ops<Bounded<T>> => {
  const { roundoff: u, underflow, ulps } = arithmetic;
  type B = Bounded<T>;

  const bounded = (value: T, error: T): B => ({ dtype: value.dtype, shape: value.shape, value, error });
  const abs = (x: T): T => o.max(x, o.neg(x));
  const zeros = (shape: Shape): T => o.full(shape, 0);
  const sum = (...terms: readonly T[]): T => terms.reduce((a, b) => o.add(a, b));

  /** A number is rounded once to f32. */
  const conversion = (x: number): number => (Number.isFinite(x) ? Math.abs(Math.fround(x) - x) : 0);
  const constant = (x: number): B => bounded(o.full([], x), o.full([], conversion(x)));
  /** Host values in f64 are rounded once, too; below the smallest normal by more than u·|x|. Other types are exact. */
  const rounding = (t: HostTensor): HostTensor =>
    t.dtype === 'f64'
      ? { ...t, data: t.data.map((x) => (Number.isFinite(x) ? Math.max(Math.abs(x) * u, conversion(x)) : 0)) }
      : { dtype: 'f32', shape: t.shape, data: new Float32Array(sizeOf(t.shape)) };
  const lift = (x: Operand<B>): B => (typeof x === 'number' ? constant(x) : x);

  /** s + relative·(|value| + s) + absolute: an error that gets one more rounding. */
  const rounded = (value: T, s: T, relative: number, absolute: number): B =>
    bounded(value, o.add(sum(s, o.mul(o.add(abs(value), s), relative)), absolute));
  /** A function that is right to so many ulps; an ulp of a subnormal number is 2·underflow. */
  const approximated = (value: T, s: T, ulp: number): B => rounded(value, s, 2 * ulp * u, 2 * ulp * underflow);

  const binary =
    (f: (a: B, b: B) => B) =>
    (a: Operand<B>, b: Operand<B>): B =>
      f(lift(a), lift(b));

  /** ab: s = |a|f + |b|e + ef. */
  const product = (a: B, b: B): T =>
    sum(o.mul(abs(a.value), b.error), o.mul(abs(b.value), a.error), o.mul(a.error, b.error));

  /** a/b: s = (e + |a/b|·f)/(|b| − f), infinite where b may be 0. */
  const quotient = (a: B, b: B): B => {
    const value = o.div(a.value, b.value);
    const least = o.sub(abs(b.value), b.error);
    const s = o.div(o.add(a.error, o.mul(abs(value), b.error)), least);
    const safe = o.where(o.greater(least, 0), s, Number.POSITIVE_INFINITY);
    return approximated(value, safe, ulps.div);
  };

  /** √a: |√â − √a| ≤ e/√a, and never more than √e. */
  const root = (a: B): B => {
    const value = o.sqrt(a.value);
    const s = o.where(o.greater(a.value, a.error), o.div(a.error, value), o.sqrt(a.error));
    return rounded(value, s, 2 * ulps.sqrt * u, 0);
  };

  /** log a: s = e/(a − e), infinite where a may be 0. */
  const logarithm = (a: B): B => {
    const least = o.sub(a.value, a.error);
    const s = o.where(o.greater(least, 0), o.div(a.error, least), Number.POSITIVE_INFINITY);
    return rounded(o.log(a.value), s, 2 * ulps.log * u, underflow);
  };

  /** eᵃ: s = eᵃ·e·eᵉ. */
  const exponential = (a: B): B => {
    const value = o.exp(a.value);
    return approximated(value, o.mul(value, o.mul(a.error, o.exp(a.error))), ulps.exp);
  };

  /** A function with a known Lipschitz constant. */
  const lipschitz =
    (f: (x: T) => T, constant: number, ulp: number) =>
    (a: B): B =>
      approximated(f(a.value), o.mul(a.error, constant), ulp);

  /** Whether an error is above 0, as 0 or 1. */
  const uncertain = (error: T): T => o.greater(error, 0);

  const greater = (a: B, b: B): B => {
    const value = o.greater(a.value, b.value);
    const error = o.add(a.error, b.error);
    const near = o.sub(1, o.greater(abs(o.sub(a.value, b.value)), error));
    return bounded(value, o.mul(near, uncertain(error)));
  };

  const where = (mask: B, x: Operand<B>, y: Operand<B>): B => {
    const [a, b] = [lift(x), lift(y)];
    const value = o.where(mask.value, a.value, b.value);
    const chosen = o.where(mask.value, a.error, b.error);
    const either = o.add(abs(o.sub(a.value, b.value)), o.add(a.error, b.error));
    return bounded(value, o.where(uncertain(mask.error), either, chosen));
  };

  const both =
    (f: (x: T) => T) =>
    (a: B): B =>
      bounded(f(a.value), f(a.error));

  const summed =
    (reduce: (x: T) => T, terms: (x: B) => number) =>
    (a: B): B => {
      const s = reduce(a.error);
      const magnitude = reduce(o.add(abs(a.value), a.error));
      return bounded(reduce(a.value), o.add(s, o.mul(magnitude, gamma(terms(a), arithmetic))));
    };

  const argmaxLast = (a: B): B => {
    const largest = o.reshape(o.maxLast(o.sub(a.value, a.error)), [...a.shape.slice(0, -1), 1]);
    const candidates = o.sumLast(o.sub(1, o.greater(largest, o.add(a.value, a.error))));
    const ties = o.greater(candidates, 1);
    return bounded(o.argmaxLast(a.value), o.mul(ties, uncertain(o.maxLast(a.error))));
  };

  /** s = |A|F + E|B| + EF, then K products and sums. */
  const matmul = (a: B, b: B, layout: Layout): B => {
    const times = (x: T, y: T): T => o.matmul(x, y, layout);
    const k = a.shape.at(layout === 'tn' ? -2 : -1) ?? 0;
    const [magnitudeA, magnitudeB] = [o.add(abs(a.value), a.error), o.add(abs(b.value), b.error)];
    const s = sum(times(abs(a.value), b.error), times(a.error, magnitudeB));
    const rounding = o.mul(times(magnitudeA, magnitudeB), gamma(k, arithmetic));
    return bounded(times(a.value, b.value), o.add(sum(s, rounding), k * underflow));
  };

  /** An uncertain index may pick any slice, and nothing is known of what that holds. */
  const gather = (a: B, indices: B, axis: number): B => {
    const pick = (x: T): T => o.gather(x, indices.value, axis);
    const along = o.reshape(indices.error, [-1, ...a.shape.slice(axis + 1).map(() => 1)]);
    return bounded(pick(a.value), o.where(along, Number.POSITIVE_INFINITY, pick(a.error)));
  };

  const scatterAdd = (x: B, indices: B, axis: number, source: B): B => {
    const add = (to: T, from: T): T => o.scatterAdd(to, indices.value, axis, from);
    const times = add(zeros(x.shape), o.full(source.shape, 1));
    const growth = o.div(o.mul(times, u), o.sub(1, o.mul(times, u)));
    const magnitude = add(o.add(abs(x.value), x.error), o.add(abs(source.value), source.error));
    const error = o.add(add(x.error, source.error), o.mul(magnitude, growth));
    const lost = o.maxLast(indices.error);
    return bounded(add(x.value, source.value), o.where(uncertain(lost), Number.POSITIVE_INFINITY, error));
  };

  const oneHot = (indices: B, depth: number): B => {
    const value = o.oneHot(indices.value, depth);
    return bounded(value, o.mul(o.reshape(indices.error, [...indices.shape, 1]), o.full(value.shape, 1)));
  };

  /** Widening is exact; rounding to a storage type happens to weights that are stored, never inside a formula. */
  const cast = (a: B, dtype: Spec['dtype']): B =>
    dtype === o.float ? bounded(o.cast(a.value, dtype), a.error) : defect(`no bound is stated for a cast to ${dtype}`);

  return {
    float: o.float,
    fromHost: (t) => bounded(o.fromHost(t), o.fromHost(rounding(t))),
    toHost: (a) => o.toHost(a.value),
    full: (shape, value) => {
      const one = constant(value);
      return bounded(o.full(shape, value), o.mul(o.full(shape, 1), one.error));
    },
    scope: (body) => body(),
    donate: () => {},
    memory: o.memory,
    resetPeak: o.resetPeak,
    add: binary((a, b) => rounded(o.add(a.value, b.value), o.add(a.error, b.error), u, 0)),
    sub: binary((a, b) => rounded(o.sub(a.value, b.value), o.add(a.error, b.error), u, 0)),
    mul: binary((a, b) => rounded(o.mul(a.value, b.value), product(a, b), u, underflow)),
    div: binary(quotient),
    max: binary((a, b) => bounded(o.max(a.value, b.value), o.max(a.error, b.error))),
    greater: binary(greater),
    where,
    neg: (a) => bounded(o.neg(a.value), a.error),
    sqrt: root,
    exp: exponential,
    log: logarithm,
    tanh: lipschitz(o.tanh, 1, ulps.tanh),
    erf: lipschitz(o.erf, 2 / Math.sqrt(Math.PI), ulps.erf),
    cast,
    packMask: (a) => bounded(o.packMask(a.value), o.packMask(uncertain(a.error))),
    unpackMask: (a, shape) => bounded(o.unpackMask(a.value, shape), o.unpackMask(a.error, shape)),
    reshape: (a, shape) => both((x) => o.reshape(x, shape))(a),
    transpose: (a, order) => both((x) => o.transpose(x, order))(a),
    sumLast: summed(o.sumLast, ({ shape }) => shape.at(-1) ?? 1),
    sumFirst: summed(o.sumFirst, ({ shape }) => shape[0] ?? 0),
    maxLast: both(o.maxLast),
    argmaxLast,
    matmul,
    gather,
    scatterAdd,
    oneHot,
    unfold: (a, window, outside) => bounded(o.unfold(a.value, window, outside), o.unfold(a.error, window, 0)),
    fold: (a, window, shape) => {
      const add = (x: T): T => o.fold(x, window, shape);
      const [kh, kw] = window.kernel;
      const growth = gamma(kh * kw, arithmetic);
      return bounded(add(a.value), o.add(add(a.error), o.mul(add(o.add(abs(a.value), a.error)), growth)));
    },
  };
};

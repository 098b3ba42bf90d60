/**
 * The law of `core/error-bound`, primitive by primitive: operands of f32 arithmetic that lie within their errors of
 * those of f64 arithmetic give results that do, whatever the errors are. So it holds for every formula over them.
 */
import { describe, expect, it } from 'vitest';
import { type Bounded, errorBounds } from '../../src/core/error-bound.ts';
import type { Layout, Ops, Window } from '../../src/core/ops.ts';
import { rngFromSeed, splitRng, uniforms } from '../../src/core/rng.ts';
import { type Shape, type Spec, sizeOf } from '../../src/spec/tensor.ts';
import { ieee } from '../../src/spec/tolerance.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { expectWithin, f32, f64, host, ints, normal, numbersOf, type R } from '../support/tensors.ts';

type B = Bounded<R>;
const bounds: Ops<B> = errorBounds(f64, ieee);

/** One operand, as f32 arithmetic has it, and as a number with a bound of its error. */
type Noisy = readonly [actual: R, carried: B];

/** Relative errors of operands: none, one rounding, and so large that signs and orders may change. */
const noises = [0, 2 ** -24, 1e-3, 0.5] as const;

/** Normals times 2^±8 as f32 has them; the f64 value lies up to `noise` from each, often as far as it may. */
const noisy = (seed: number, shape: Shape, noise: number, f: (x: number) => number = (x) => x): Noisy => {
  const draw = (name: string): Float64Array => uniforms(splitRng(rngFromSeed(seed), name), sizeOf(shape))[0];
  const [exponents, directions] = [draw('exponent'), draw('direction')];
  const actual = normal(seed, shape).data.map((x, i) => Math.fround(f(x * 2 ** Math.floor(exponents[i]! * 17 - 8))));
  const value = actual.map((x, i) => x + noise * x * Math.max(-1, Math.min(1, directions[i]! * 4 - 2)));
  const error = actual.map((x, i) => Math.max(noise * Math.abs(x), Math.abs(x - value[i]!)));
  return [
    f32.fromHost(host(shape, actual)),
    { dtype: 'f64', shape, value: f64.fromHost(host(shape, value)), error: f64.fromHost(host(shape, error)) },
  ];
};

/** Indices that both arithmetics have alike. */
const certain = (values: readonly number[]): Noisy => {
  const indices = ints([values.length], values);
  return [f32.fromHost(indices), bounds.fromHost(indices)];
};

type Formula = <T extends Spec>(o: Ops<T>, ...operands: readonly T[]) => T;

const expectSound = async (formula: Formula, ...operands: readonly Noisy[]): Promise<void> => {
  const actual = formula(f32, ...operands.map(([a]) => a));
  const { value, error } = formula(bounds, ...operands.map(([, b]) => b));
  const bound = await numbersOf(f64, error);
  // A bound of infinity says that nothing is known; then f32 arithmetic may give NaN.
  const known = bound.flatMap((e, i) => (e === Number.POSITIVE_INFINITY ? [] : [i]));
  const [a, v] = [await numbersOf(f32, actual), await numbersOf(f64, value)];
  expect(a.length).toBe(bound.length);
  const at = (numbers: readonly number[]): number[] => known.map((i) => numbers[i]!);
  expectWithin(at(a), at(v), at(bound));
};

const shape = fc.tuple(any.axis, any.axis);
const noise = fc.constantFrom(...noises);
const operand = fc.record({ seed: any.seed, noise });
const window: fc.Arbitrary<Window> = fc.record({
  kernel: fc.tuple(fc.constantFrom(1, 2, 3), fc.constantFrom(1, 2)),
  stride: fc.tuple(fc.constantFrom(1, 2), fc.constantFrom(1, 2)),
  padding: fc.tuple(fc.constantFrom(0, 1), fc.constantFrom(0, 1)),
  dilation: fc.constant<readonly [number, number]>([1, 1]),
});

/** A law about operands of one shape. */
const elementwise = (formula: Formula, count: number, f?: (x: number) => number) => (): Promise<void> =>
  fc.assert(
    fc.asyncProperty(shape, fc.array(operand, { minLength: count, maxLength: count }), (s, operands) =>
      expectSound(formula, ...operands.map((p, i) => noisy(p.seed + i, s, p.noise, f))),
    ),
    { numRuns: 60 },
  );

/** A law about one matrix, of up to 7 rows and 40 columns. */
const ofMatrix = (formula: Formula) => (): Promise<void> =>
  fc.assert(
    fc.asyncProperty(any.axis, fc.integer({ min: 1, max: 40 }), operand, (n, k, p) =>
      expectSound(formula, noisy(p.seed, [n, k], p.noise)),
    ),
  );

const sizes: Readonly<Record<Layout, (m: number, k: number, n: number) => readonly [Shape, Shape]>> = {
  nn: (m, k, n) => [
    [m, k],
    [k, n],
  ],
  nt: (m, k, n) => [
    [m, k],
    [n, k],
  ],
  tn: (m, k, n) => [
    [k, m],
    [k, n],
  ],
};

const products = (): Promise<void> =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom<Layout[]>('nn', 'nt', 'tn'),
      fc.tuple(any.axis, fc.integer({ min: 0, max: 40 }), any.axis),
      operand,
      operand,
      (layout, [m, k, n], p, q) => {
        const [a, b] = sizes[layout](m, k, n);
        return expectSound((o, x, y) => o.matmul(x!, y!, layout), noisy(p.seed, a, p.noise), noisy(q.seed, b, q.noise));
      },
    ),
    { numRuns: 60 },
  );

const scattered = (): Promise<void> =>
  fc.assert(
    fc.asyncProperty(any.axis, fc.array(fc.nat(4), { minLength: 1, maxLength: 9 }), operand, operand, (n, at, p, q) =>
      expectSound(
        (o, x, i, source) => o.scatterAdd(x!, i!, 1, source!),
        noisy(p.seed, [n, 5], p.noise),
        certain(at),
        noisy(q.seed, [n, at.length], q.noise),
      ),
    ),
  );

const windows = (formula: (window: Window) => Formula) => (): Promise<void> =>
  fc.assert(
    fc.asyncProperty(window, any.axis, operand, (w, n, p) =>
      expectSound(formula(w), noisy(p.seed, [n, 2, 3, 5], p.noise)),
    ),
  );

/** √ of a number that may be below 0 is NaN; the operands here are not that uncertain. */
const square = (x: number): number => x * x;
/** Within ±80, where eˣ neither overflows nor is 0 in f32. */
const moderate = (x: number): number => Math.max(-80, Math.min(80, x));

/** Every numeric operation of `Ops`. */
const laws: Partial<Record<keyof Ops<R>, () => Promise<void>>> = {
  add: elementwise((o, a, b) => o.add(a!, b!), 2),
  sub: elementwise((o, a, b) => o.sub(a!, b!), 2),
  mul: elementwise((o, a, b) => o.mul(o.mul(a!, b!), 0.1), 2),
  div: elementwise((o, a, b) => o.div(a!, b!), 2),
  max: elementwise((o, a, b) => o.max(a!, b!), 2),
  greater: elementwise((o, a, b) => o.greater(a!, b!), 2),
  where: elementwise((o, a, b, c) => o.where(o.greater(a!, b!), b!, c!), 3),
  neg: elementwise((o, a) => o.neg(a!), 1),
  sqrt: elementwise((o, a) => o.sqrt(a!), 1, square),
  exp: elementwise((o, a) => o.exp(a!), 1, moderate),
  log: elementwise((o, a) => o.log(a!), 1, square),
  tanh: elementwise((o, a) => o.tanh(a!), 1),
  erf: elementwise((o, a) => o.erf(a!), 1),
  cast: elementwise((o, a) => o.cast(a!, o.float), 1),
  full: elementwise((o, a) => o.add(a!, o.full(a!.shape, 1 / 3)), 1),
  fromHost: elementwise((o, a) => o.add(a!, o.fromHost(normal(7, a!.shape))), 1),
  packMask: elementwise((o, a, b) => o.where(o.unpackMask(o.packMask(o.greater(a!, b!)), a!.shape), a!, 0), 2),
  unpackMask: elementwise((o, a, b) => o.unpackMask(o.packMask(o.greater(a!, b!)), a!.shape), 2),
  reshape: ofMatrix((o, a) => o.reshape(a!, [-1])),
  transpose: ofMatrix((o, a) => o.transpose(a!, [1, 0])),
  sumLast: ofMatrix((o, a) => o.sumLast(a!)),
  sumFirst: ofMatrix((o, a) => o.sumFirst(a!)),
  maxLast: ofMatrix((o, a) => o.maxLast(a!)),
  argmaxLast: ofMatrix((o, a) => o.sumLast(o.mul(a!, o.oneHot(o.argmaxLast(a!), a!.shape[1]!)))),
  oneHot: ofMatrix((o, a) => o.oneHot(o.argmaxLast(a!), a!.shape[1]!)),
  gather: ofMatrix((o, a) => o.gather(o.transpose(a!, [1, 0]), o.argmaxLast(a!), 0)),
  matmul: products,
  scatterAdd: scattered,
  unfold: windows((w) => (o, a) => o.unfold(a!, w, 0.5)),
  fold: windows((w) => (o, a) => o.fold(o.unfold(a!, w, 0), w, a!.shape)),
};

describe('a result of noisy operands lies within its bound', () => {
  it.each(Object.entries(laws))('%s', (_, law) => law());

  it('is tried for every operation that computes', () => {
    const management = ['float', 'toHost', 'scope', 'donate', 'memory', 'resetPeak'];
    expect([...Object.keys(laws), ...management].sort()).toEqual(Object.keys(bounds).sort());
  });
});

describe('numbers close to 0', () => {
  const tiny = fc.tuple(
    fc.double({ min: 1e-46, max: 1e-36, noNaN: true }),
    fc.double({ min: 0.1, max: 10, noNaN: true }),
  );
  const one = (x: number): Noisy => [
    f32.fromHost(host([], [Math.fround(x)])),
    bounds.fromHost(host([], [Math.fround(x)])),
  ];
  const formulas: readonly [string, Formula][] = [
    ['products', (o, x, y) => o.mul(x!, y!)],
    ['quotients', (o, x, y) => o.div(x!, y!)],
    ['tanh', (o, x) => o.tanh(x!)],
    ['erf', (o, x) => o.erf(x!)],
    ['eˣ', (o, x, y) => o.exp(o.sub(o.mul(x!, 0), o.add(o.mul(y!, 1.7), 86)))],
    ['host values in f64', (o, x) => o.add(x!, o.fromHost(host([], [(2 / 3) * 1e-41])))],
  ];

  it.each(formulas)('%s', (_, formula) =>
    fc.assert(
      fc.asyncProperty(tiny, ([x, y]) => expectSound(formula, one(x), one(y))),
      { numRuns: 300 },
    ),
  );

  it('have room for functions that are wrong by 4 ulp', async () => {
    const x = bounds.fromHost(host([2], [-100, -0.5]));
    const ulp = [2 ** -149, 2 ** -24];
    const error = await numbersOf(f64, bounds.exp(x).error);
    for (const [i, e] of error.entries()) {
      expect(e).toBeGreaterThanOrEqual(4 * ulp[i]!);
      expect(e).toBeLessThan(8.1 * ulp[i]!);
    }
  });
});

describe('what is uncertain', () => {
  const number = (value: number, error: number): B => ({
    dtype: 'f64',
    shape: [1],
    value: f64.full([1], value),
    error: f64.full([1], error),
  });
  const errorOf = async ({ error }: B): Promise<number> => (await numbersOf(f64, error))[0]!;

  it.each([
    [1, 0, 1, 0, 0],
    [1, 0.1, 1, 0, 1],
    [1.2, 0.1, 1, 0.05, 0],
    [1.15, 0.1, 1, 0.05, 1],
    [1.1, 0.1, 1, 0.05, 1],
    [1, 0.05, 1.1, 0.1, 1],
    [1, 0.05, 2, 0.1, 0],
  ])('is %d ± %d > %d ± %d: %d', async (a, e, b, f, expected) => {
    expect(await errorOf(bounds.greater(number(a, e), number(b, f)))).toBe(expected);
  });

  it('is what an uncertain mask picks: either value, with its error', async () => {
    const [a, b] = [number(3, 0.25), number(1, 0.5)];
    expect(await errorOf(bounds.where(number(1, 0), a, b))).toBe(0.25);
    expect(await errorOf(bounds.where(number(0, 0), a, b))).toBe(0.5);
    expect(await errorOf(bounds.where(number(1, 1), a, b))).toBe(2 + 0.25 + 0.5);
  });

  it('is the place of a maximum, where another comes close', async () => {
    const place = async (errors: readonly number[]): Promise<number> => {
      const x: B = {
        dtype: 'f64',
        shape: [3],
        value: f64.fromHost(host([3], [1, 4, 3.9])),
        error: f64.fromHost(host([3], errors)),
      };
      return errorOf(bounds.argmaxLast(x));
    };
    expect(await place([0, 0, 0])).toBe(0);
    expect(await place([0.01, 0.01, 0.01])).toBe(0);
    expect(await place([0, 0.06, 0.06])).toBe(1);
    expect(await place([2.9, 0.01, 0.01])).toBe(0);
  });

  it('is all that an uncertain index picks or adds to', async () => {
    const index: B = { dtype: 'i32', shape: [1], value: f64.fromHost(ints([1], [0])), error: f64.full([1], 1) };
    const x = bounds.full([2, 3], 1);
    const picked = bounds.gather(x, index, 1);
    expect(picked.shape).toEqual([2, 1]);
    expect(await numbersOf(f64, picked.error)).toEqual([Infinity, Infinity]);
    const added = bounds.scatterAdd(x, index, 1, bounds.full([2, 1], 1));
    expect(await numbersOf(f64, added.error)).toEqual(Array(6).fill(Infinity));
  });

  it.each<[string, B]>([
    ['a quotient by what may be 0', bounds.div(number(1, 0), number(0.5, 0.5))],
    ['a logarithm of what may be 0', bounds.log(number(0.5, 0.5))],
  ])('is %s, infinitely', async (_, result) => {
    expect(await errorOf(result)).toBe(Infinity);
  });
});

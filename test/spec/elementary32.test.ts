/**
 * The f32 elementary functions, against the f64 ones over a dense sweep of all f32 numbers, and their special values.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EXP32 } from '../../src/spec/elementary/exp.ts';
import { type Elementary, elementary32, elementary64, ulpBound } from '../../src/spec/elementary/index.ts';
import { bitsOfF32, f32OfBits, ulp32 } from './ulp.ts';

const inf = Number.POSITIVE_INFINITY;
const LARGEST = f32OfBits(0x7f7fffff);
type Unary = Exclude<keyof Elementary, 'pow'>;

/** Calls `visit` with about 400,000 f32 numbers from `from` outwards to `to`, both of one sign, by their bits. */
const sweep = (from: number, to: number, visit: (x: number) => void): void => {
  const [first, last] = [bitsOfF32(from), bitsOfF32(to)];
  const stride = Math.max(Math.floor((last - first) / 400_000), 1);
  for (let bits = first; bits <= last; bits += stride) visit(f32OfBits(bits));
};

/** The largest error of an f32 function in ulp, against the f64 one. Throws at a result that is no f32 number. */
const worstOver = (name: Unary, from: number, to: number): number => {
  const [f32, f64] = [elementary32[name], elementary64[name]];
  let worst = 0;
  sweep(from, to, (x) => {
    const [got, exact] = [f32(x), f64(x)];
    if (got !== Math.fround(got)) throw new Error(`${name}(${x}) = ${got} is no f32`);
    worst = Math.max(worst, Math.abs(got - exact) / ulp32(exact));
  });
  return worst;
};

describe('error against f64', () => {
  const ranges: readonly (readonly [Unary, number, number])[] = [
    ['exp', 0, 88.72283172607422],
    ['exp', -0, -110],
    ['log', f32OfBits(1), LARGEST],
    ['log', 0.5, 2],
    ['tanh', f32OfBits(1), LARGEST],
    ['tanh', 0.25, 4],
    ['erf', f32OfBits(1), LARGEST],
    ['erf', 0.25, 4],
    ['sin', 0.25, LARGEST],
    ['cos', 0.25, 1e6],
  ];
  // The f64 function itself is off by up to 2 ulp of f64, 2^-28 ulp of f32.
  test.each(ranges)('%s from %d to %d', (name, from, to) => {
    expect(worstOver(name, from, to)).toBeLessThanOrEqual(ulpBound.f32[name] + 2 ** -28);
  });

  test('pow', () => {
    const f32 = (min: number, max: number) => fc.float({ min, max, noNaN: true });
    fc.assert(
      fc.property(f32(0, 1000), f32(-20, 20), (x, y) => {
        const exact = elementary64.pow(x, y);
        fc.pre(exact <= LARGEST);
        return Math.abs(elementary32.pow(x, y) - exact) <= ulpBound.f32.pow * ulp32(exact);
      }),
    );
  });
});

describe('order and symmetry', () => {
  const increasing: readonly (readonly [Unary, number, number])[] = [
    ['exp', 0, 100],
    ['log', f32OfBits(1), LARGEST],
    ['tanh', 0, 20],
  ];
  test.each(increasing)('%s never decreases between neighbours', (name, from, to) => {
    const f = elementary32[name];
    sweep(from, to, (x) => {
      const next = f32OfBits(bitsOfF32(x) + 1);
      if (f(x) > f(next)) throw new Error(`${name}(${x}) > ${name}(${next})`);
    });
  });

  test.each(['tanh', 'erf', 'sin'] as const)('%s is odd, bit for bit', (name) => {
    const f = elementary32[name];
    fc.assert(fc.property(fc.float({ noNaN: true }), (x) => Object.is(f(-x), -f(x))));
  });
});

describe('special values', () => {
  const cases: { readonly [name in Unary]: readonly (readonly [number, number])[] } = {
    exp: [
      [0, 1],
      [-0, 1],
      [inf, inf],
      [-inf, 0],
      [LARGEST, inf],
      [-LARGEST, 0],
      [88.72283935546875, inf],
      [88.72283172607422, 0xffff84 * 2 ** 104],
      [-103.97208404541016, 0],
      [-103.97207641601562, 2 ** -149],
      [f32OfBits(1), 1],
    ],
    log: [
      [0, -inf],
      [-0, -inf],
      [1, 0],
      [inf, inf],
      [-1, Number.NaN],
      [-inf, Number.NaN],
      [f32OfBits(0x80000001), Number.NaN],
    ],
    tanh: [
      [0, 0],
      [-0, -0],
      [inf, 1],
      [-inf, -1],
      [LARGEST, 1],
      [f32OfBits(1), f32OfBits(1)],
    ],
    erf: [
      [0, 0],
      [-0, -0],
      [inf, 1],
      [-inf, -1],
      [LARGEST, 1],
      [f32OfBits(1), f32OfBits(1)],
    ],
    sin: [
      [-0, -0],
      [inf, Number.NaN],
    ],
    cos: [
      [0, 1],
      [inf, Number.NaN],
    ],
  };
  for (const [name, rows] of Object.entries(cases)) {
    const f = elementary32[name as Unary];
    test.each([...rows, [Number.NaN, Number.NaN] as const])(`${name}(%d) is %d`, (x, y) => expect(f(x)).toBe(y));
  }
});

test('the constants are f32 numbers, and k · ln2Hi is exact', () => {
  const { q, ...scalars } = EXP32;
  for (const c of [...q, ...Object.values(scalars)]) expect(Math.fround(c)).toBe(c);
  for (let k = -150; k <= 128; k++) expect(Math.fround(k * EXP32.ln2Hi)).toBe(k * EXP32.ln2Hi);
});

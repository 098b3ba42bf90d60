/** The f64 elementary functions: exact values, special values, and the identities that they must keep. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Elementary, elementary64, ulpBound } from '../../src/spec/elementary/index.ts';
import fixture from './elementary-fixture.json' with { type: 'json' };
import { ulp64 } from './ulp.ts';

const { exp, log, pow, tanh, erf, sin, cos } = elementary64;
const names = Object.keys(elementary64) as readonly (keyof Elementary)[];
const between = (min: number, max: number) => fc.double({ min, max, noNaN: true });
const any = fc.double({ noNaN: true });

describe('against exact values', () => {
  test.each(names)('%s keeps its stated bound', (name) => {
    const rows: readonly (readonly number[])[] = fixture[name];
    const f = elementary64[name] as (...args: readonly number[]) => number;
    expect(rows.length).toBeGreaterThan(100);
    for (const row of rows) {
      const args = row.slice(0, -2);
      const [rounded = Number.NaN, distance = Number.NaN] = row.slice(-2);
      const error = Math.abs((f(...args) - rounded) / ulp64(rounded) - distance);
      expect(error, `${name}(${args.join(', ')}) is off by ${error} ulp`).toBeLessThanOrEqual(ulpBound.f64[name]);
    }
  });

  test.each(names)('%s agrees with the engine roughly, where the engine is not exact', (name) => {
    if (name === 'erf') return;
    const f = elementary64[name] as (...args: readonly number[]) => number;
    const engine = Math[name] as (...args: readonly number[]) => number;
    const check = (x: number, y: number): void => {
      const args = name === 'pow' ? [x, y] : [x];
      const [got, expected] = [f(...args), engine(...args)];
      if (Number.isNaN(expected) || Math.abs(expected) === Number.POSITIVE_INFINITY) expect(got).toBe(expected);
      else expect(Math.abs(got - expected)).toBeLessThanOrEqual(4 * ulp64(expected));
    };
    fc.assert(fc.property(any, any, check));
    fc.assert(fc.property(between(-30, 30), between(-30, 30), check));
    fc.assert(fc.property(between(0.5, 2), between(-900, 900), check));
  });
});

describe('special values', () => {
  const inf = Number.POSITIVE_INFINITY;
  const cases: { readonly [name in Exclude<keyof Elementary, 'pow'>]: readonly (readonly [number, number])[] } = {
    exp: [
      [0, 1],
      [-0, 1],
      [inf, inf],
      [-inf, 0],
      [709.782712893384, 1.7976931348622732e308],
      [709.7827128933841, inf],
      [1e308, inf],
      [-745.1332191019411, 5e-324],
      [-745.1332191019412, 0],
      [-1e308, 0],
    ],
    log: [
      [0, -inf],
      [-0, -inf],
      [1, 0],
      [inf, inf],
      [-5e-324, Number.NaN],
      [-1, Number.NaN],
      [-inf, Number.NaN],
    ],
    tanh: [
      [0, 0],
      [-0, -0],
      [5e-324, 5e-324],
      [inf, 1],
      [-inf, -1],
      [1e308, 1],
    ],
    erf: [
      [0, 0],
      [-0, -0],
      [5e-324, 5e-324],
      [inf, 1],
      [-inf, -1],
      [1e308, 1],
    ],
    sin: [
      [0, 0],
      [-0, -0],
      [5e-324, 5e-324],
      [inf, Number.NaN],
      [-inf, Number.NaN],
    ],
    cos: [
      [0, 1],
      [-0, 1],
      [5e-324, 1],
      [inf, Number.NaN],
      [-inf, Number.NaN],
    ],
  };
  for (const [name, rows] of Object.entries(cases)) {
    const f = elementary64[name as keyof typeof cases];
    test.each([...rows, [Number.NaN, Number.NaN] as const])(`${name}(%d) is %d`, (x, y) => expect(f(x)).toBe(y));
  }

  test('pow has the special cases of **', () => {
    const halves = [
      0,
      0.5,
      1,
      1.5,
      2,
      3,
      2 ** 52 + 0.5,
      2 ** 53,
      2 ** 53 + 2,
      1e308,
      inf,
      5e-324,
      1 - 2 ** -53,
      1 + 2 ** -52,
    ];
    const values = [...halves, ...halves.map((x) => -x), Number.NaN];
    for (const x of values) {
      for (const y of values) {
        const [got, expected] = [pow(x, y), x ** y];
        const exact =
          Number.isNaN(expected) || expected === 0 || Math.abs(expected) === inf || Math.abs(expected) === 1;
        if (exact) expect(got, `${x} ** ${y}`).toBe(expected);
        else expect(Math.abs(got / expected - 1), `${x} ** ${y}`).toBeLessThan(1e-15);
      }
    }
  });
});

describe('identities', () => {
  const eps = 2 ** -52;

  test('exp(a) · exp(−a) = 1 within both errors', () => {
    fc.assert(fc.property(between(-700, 700), (a) => Math.abs(exp(a) * exp(-a) - 1) <= 3 * eps));
  });

  test('log(exp(x)) = x within the spacing of exp and the error of log', () => {
    fc.assert(fc.property(between(-700, 700), (x) => Math.abs(log(exp(x)) - x) <= 1.01 * eps + ulp64(x)));
  });

  test('log(x · y) = log(x) + log(y) within the errors', () => {
    fc.assert(
      fc.property(between(1e-150, 1e150), between(1e-150, 1e150), (x, y) => {
        const [a, b, c] = [log(x), log(y), log(x * y)];
        return Math.abs(a + b - c) <= ulp64(a) + ulp64(b) + 2 * ulp64(c) + eps;
      }),
    );
  });

  test('sin² + cos² = 1 for every finite angle', () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        (x) => Math.abs(sin(x) ** 2 + cos(x) ** 2 - 1) <= 3 * eps,
      ),
    );
  });

  test('sin, tanh and erf are odd and cos is even, bit for bit', () => {
    fc.assert(
      fc.property(any, (x) => {
        expect(sin(-x)).toBe(-sin(x));
        expect(tanh(-x)).toBe(-tanh(x));
        expect(erf(-x)).toBe(-erf(x));
        expect(cos(-x)).toBe(cos(x));
      }),
    );
  });

  test('exp, log, tanh and erf increase where their arguments are some ulp apart', () => {
    const apart = (x: number): number => x + 8 * ulp64(x);
    fc.assert(fc.property(between(-740, 709), (x) => exp(x) <= exp(apart(x))));
    fc.assert(fc.property(between(5e-324, 1e308), (x) => log(x) <= log(apart(x))));
    fc.assert(fc.property(between(-30, 30), (x) => tanh(x) <= tanh(apart(x)) && erf(x) <= erf(apart(x))));
  });

  test('powers that an f64 holds are exact', () => {
    fc.assert(
      fc.property(fc.integer({ min: -1000, max: 1000 }), fc.integer({ min: 0, max: 60 }), (base, n) => {
        const power = BigInt(base) ** BigInt(n);
        fc.pre(BigInt(Number(power)) === power && (power < 2n ** 53n || power > -(2n ** 53n)));
        expect(pow(base, n)).toBe(Number(power));
      }),
    );
    for (let k = -1074; k < 1024; k++) expect(pow(2, k)).toBe(2 ** k);
  });

  test('x^1 = x and x^−1 = 1/x to an ulp', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (x) => {
        expect(pow(x, 1)).toBe(x);
        const inverse = 1 / x;
        if (Number.isFinite(inverse)) expect(Math.abs(pow(x, -1) - inverse)).toBeLessThanOrEqual(ulp64(inverse));
      }),
    );
  });
});

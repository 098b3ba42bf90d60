/** The exact parts below the elementary functions: scaling, double-double numbers, the reduction of angles. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { reduceExactly, reduceQuickly } from '../../src/spec/elementary/angle.ts';
import { divide, fastTwoSum, multiply, twoProduct, twoSum } from '../../src/spec/elementary/double-double.ts';
import { polynomial32, polynomial64 } from '../../src/spec/elementary/polynomial.ts';
import { centredExponent, exponentOf, pow2, scale } from '../../src/spec/elementary/scale.ts';

const finite = fc.double({ noNaN: true, noDefaultInfinity: true }).filter((x) => x !== 0);
const integer = fc.maxSafeInteger();

describe('scale', () => {
  test('pow2 is 2^k over the whole range', () => {
    for (let k = -1074; k < 1024; k++) expect(pow2(k)).toBe(2 ** k);
  });

  test('x = m · 2^e with 1 ≤ |m| < 2, there and back', () => {
    fc.assert(
      fc.property(finite, (x) => {
        const e = exponentOf(x);
        const m = scale(x, -e);
        return Math.abs(m) >= 1 && Math.abs(m) < 2 && scale(m, e) === x;
      }),
    );
  });

  test('the centred exponent brings x between √½ and √2', () => {
    fc.assert(
      fc.property(fc.double({ min: 5e-324, max: Number.MAX_VALUE, noNaN: true }), (x) => {
        const m = scale(x, -centredExponent(x));
        return m > Math.SQRT1_2 && m <= Math.SQRT2;
      }),
    );
  });

  test('a subnormal result is rounded once, to even', () => {
    expect(scale(1.5, -1074)).toBe(2 * 5e-324);
    expect(scale(1.25, -1073)).toBe(2 * 5e-324);
    expect(scale(1, -1075)).toBe(0);
    expect(scale(1 + 2 ** -52, -1075)).toBe(5e-324);
    expect(scale(1, 1024)).toBe(Number.POSITIVE_INFINITY);
    expect(scale(1 - 2 ** -53, 1024)).toBe(Number.MAX_VALUE);
  });

  test('the exponents of 0, ∞ and NaN', () => {
    expect(exponentOf(0)).toBeLessThan(-1074);
    expect(exponentOf(Number.NEGATIVE_INFINITY)).toBe(1024);
    expect(exponentOf(Number.NaN)).toBe(1024);
  });
});

describe('double-double', () => {
  test('sums and products are exact', () => {
    fc.assert(
      fc.property(integer, integer, (a, b) => {
        const [s, sLo] = twoSum(a, b);
        expect(BigInt(s) + BigInt(sLo)).toBe(BigInt(a) + BigInt(b));
        const [p, pLo] = twoProduct(a, b);
        expect(BigInt(p) + BigInt(pLo)).toBe(BigInt(a) * BigInt(b));
        const [large, small] = Math.abs(a) < Math.abs(b) ? [b, a] : [a, b];
        expect(fastTwoSum(large, small)).toEqual([s, sLo]);
      }),
    );
  });

  test('(a / b) · b = a to 100 bits', () => {
    fc.assert(
      fc.property(
        integer,
        integer.filter((b) => b !== 0),
        fc.double({ min: -0.5, max: 0.5, noNaN: true }),
        (a, b, fraction) => {
          const divisor = twoSum(b, fraction);
          const [hi, lo] = multiply(divide(a, divisor), divisor);
          return Math.abs(hi - a + lo) <= Math.abs(a) * 2 ** -99;
        },
      ),
    );
  });
});

test('polynomials take one rounding for each multiply and add', () => {
  const f = Math.fround;
  const z = f(0.1);
  expect(polynomial64([1, 2, 3], 0.1)).toBe(1 + 0.1 * (2 + 0.1 * 3));
  expect(polynomial32([1, 2, 3], z)).toBe(f(1 + f(z * f(2 + f(z * 3)))));
  expect(polynomial64([7], 5)).toBe(7);
});

describe('angles', () => {
  const angle = fc.oneof(
    fc.double({ min: 1, max: 1048575, noNaN: true }),
    fc.double({ min: -1048575, max: -1, noNaN: true }),
    fc
      .integer({ min: -667000, max: 667000 })
      .filter((n) => n !== 0)
      .map((n) => (n * Math.PI) / 2),
  );

  test('both reductions agree to 2^−66', () => {
    fc.assert(
      fc.property(angle, (x) => {
        const [quick, exact] = [reduceQuickly(x), reduceExactly(x)];
        expect(quick.quadrant).toBe(exact.quadrant);
        expect(Math.abs(quick.hi - exact.hi + (quick.lo - exact.lo))).toBeLessThanOrEqual(
          Math.abs(exact.hi) * 2 ** -66,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test('the rest is at most an eighth of a turn', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 1, max: Number.MAX_VALUE, noNaN: true }),
        (x) => Math.abs(reduceExactly(x).hi) <= Math.PI / 4,
      ),
    );
  });

  test('2/π is right to its last bits: the largest number, and the one nearest to a multiple of π/2', () => {
    // 6381956970095103 · 2^797 misses a multiple of π/2 by 4.7e−19, the closest of all f64 (Kahan).
    const closest = reduceExactly(6381956970095103 * 2 ** 797);
    expect(closest.hi).toBe(4.687165924254628e-19);
    const largest = reduceExactly(Number.MAX_VALUE);
    expect(largest.quadrant).toBe(2);
    expect(largest.hi).toBe(-0.004961975150787273);
  });
});

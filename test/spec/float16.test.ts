/** The 16-bit formats: every pattern, every tie between neighbours, and rounding in one step. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../../src/spec/float16.ts';
import { bitsOfF32, f32OfBits } from './ulp.ts';

const inf = Number.POSITIVE_INFINITY;

const formats = [
  { name: 'f16', decode: f16ToNumber, encode: numberToF16, infinity: 0x7c00, nan: 0x7e00, step: 2 ** -11 },
  { name: 'bf16', decode: bf16ToNumber, encode: numberToBf16, infinity: 0x7f80, nan: 0x7fc0, step: 2 ** -8 },
] as const;

describe.each(formats)('$name', ({ decode, encode, infinity, nan, step }) => {
  test('all 65536 patterns come back, NaN as one pattern', () => {
    for (let bits = 0; bits < 0x10000; bits++) {
      const isNaNPattern = (bits & 0x7fff) > infinity;
      if (Number.isNaN(decode(bits)) !== isNaNPattern) throw new Error(`pattern ${bits} decodes to ${decode(bits)}`);
      if (encode(decode(bits)) !== (isNaNPattern ? nan : bits)) throw new Error(`pattern ${bits} does not come back`);
    }
  });

  test('values increase with their patterns, and the sign bit negates', () => {
    for (let bits = 0; bits < infinity; bits++) {
      if (!(decode(bits) < decode(bits + 1))) throw new Error(`pattern ${bits} is out of order`);
      if (!Object.is(decode(bits | 0x8000), -decode(bits))) throw new Error(`pattern ${bits} does not negate`);
    }
  });

  test('the middle between two neighbours goes to the even one, and a hair to either side to the nearer', () => {
    for (let bits = 0; bits < infinity - 1; bits++) {
      const middle = (decode(bits) + decode(bits + 1)) / 2;
      const got = [encode(middle * (1 - 2 ** -50)), encode(middle), encode(middle * (1 + 2 ** -50)), encode(-middle)];
      const even = bits + (bits & 1);
      const expected = [bits, even, bits + 1, even | 0x8000];
      if (got.join() !== expected.join()) throw new Error(`between ${bits} and its successor: ${got}, not ${expected}`);
    }
  });

  test('half a step beyond the largest value is infinite, less is not', () => {
    const largest = decode(infinity - 1);
    const limit = largest + (largest - decode(infinity - 2)) / 2;
    expect([encode(limit), encode(-limit)]).toEqual([infinity, infinity | 0x8000]);
    expect(encode(limit * (1 - 2 ** -53))).toBe(infinity - 1);
    expect([encode(inf), encode(-inf), encode(Number.MAX_VALUE)]).toEqual([infinity, infinity | 0x8000, infinity]);
  });

  test('zeros and the tiniest numbers', () => {
    expect([encode(0), encode(-0), encode(5e-324), encode(-5e-324)]).toEqual([0, 0x8000, 0, 0x8000]);
    expect(decode(0)).toBe(0);
    expect(decode(0x8000)).toBe(-0);
    expect([decode(infinity), decode(infinity | 0x8000)]).toEqual([inf, -inf]);
    expect(encode(Number.NaN)).toBe(nan);
  });

  test('a f64 is rounded once: just above a tie it goes up, though rounding to f32 first would lose that', () => {
    const one = encode(1);
    expect(encode(1 + step)).toBe(one);
    expect(encode(1 + step + 2 ** -40)).toBe(one + 1);
    expect(encode(Math.fround(1 + step + 2 ** -40))).toBe(one);
  });
});

test('known values', () => {
  expect([1, -2, 65504, 2 ** -24, 1 / 3, 0.1].map(numberToF16)).toEqual([0x3c00, 0xc000, 0x7bff, 1, 0x3555, 0x2e66]);
  expect([1, -2, 3.140625, 2 ** -133, 1 / 3].map(numberToBf16)).toEqual([0x3f80, 0xc000, 0x4049, 1, 0x3eab]);
});

test('bf16 is the upper half of an f32, rounded by adding to its bits', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 0xffffffff }), (bits) => {
      const x = f32OfBits(bits);
      fc.pre(!Number.isNaN(x));
      const rounded = ((bitsOfF32(x) + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
      return numberToBf16(x) === rounded && bf16ToNumber(rounded) === f32OfBits((rounded << 16) >>> 0);
    }),
    { numRuns: 1000 },
  );
});

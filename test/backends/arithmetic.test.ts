/** The element-wise operations and casts of the reference against their definition, with every special value. */
import { describe, expect, it } from 'vitest';
import type { Operand } from '../../src/core/ops.ts';
import { type Shape, sizeOf } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { f32, f64, host, type K, normal, numbersOf, type R } from '../support/tensors.ts';

const special = [
  0,
  -0,
  1,
  -1,
  0.1,
  1e-45,
  -1e-45,
  1e-38,
  3e38,
  -3e38,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
];

/** Every special value against every other. */
const lefts = special.flatMap((a) => special.map(() => a));
const rights = special.flatMap(() => special);

const backends: readonly (readonly [string, K, (x: number) => number])[] = [
  ['f32', f32, Math.fround],
  ['f64', f64, (x) => x],
];

type Binary = readonly [name: 'add' | 'sub' | 'mul' | 'div' | 'max' | 'greater', f: (a: number, b: number) => number];

/** The larger, by the rules of IEEE 754-2019 maximum: NaN wins, and +0 is above −0. */
const maximum = (a: number, b: number): number => {
  if (Number.isNaN(a) || Number.isNaN(b)) return Number.NaN;
  if (a === 0 && b === 0) return Object.is(a, -0) ? b : a;
  return a > b ? a : b;
};

const binaries: readonly Binary[] = [
  ['add', (a, b) => a + b],
  ['sub', (a, b) => a - b],
  ['mul', (a, b) => a * b],
  ['div', (a, b) => a / b],
  ['max', maximum],
  ['greater', (a, b) => Number(a > b)],
];

/** All index tuples of a shape, last axis fastest. */
const places = (shape: Shape): number[][] =>
  shape.reduce<number[][]>(
    (heads, length) => heads.flatMap((head) => Array.from({ length }, (_, i) => [...head, i])),
    [[]],
  );

/** Where a place of the broadcast result lies in an operand of this shape. */
const position = (shape: Shape, place: readonly number[]): number => {
  const own = place.slice(place.length - shape.length);
  return shape.reduce((index, length, axis) => index * length + (length === 1 ? 0 : own[axis]!), 0);
};

const broadcastPair: fc.Arbitrary<{ a: Shape; b: Shape; result: Shape }> = fc
  .array(fc.tuple(fc.constantFrom(1, 2, 3), fc.constantFrom('both', 'left', 'right')), { maxLength: 3 })
  .chain((axes) =>
    fc.tuple(fc.nat(axes.length), fc.nat(axes.length)).map(([dropA, dropB]) => {
      const full = (side: string): Shape => axes.map(([length, who]) => (who === 'both' || who === side ? length : 1));
      const a = full('left').slice(dropA);
      const b = full('right').slice(dropB);
      const rank = Math.max(a.length, b.length);
      const at = (s: Shape, i: number): number => s[s.length - rank + i] ?? 1;
      return { a, b, result: Array.from({ length: rank }, (_, i) => Math.max(at(a, i), at(b, i))) };
    }),
  );

describe.each(backends)('%s', (_, k, round) => {
  it.each(binaries)('%s rounds once, on all special values', async (name, f) => {
    const [a, b] = [lefts.map(round), rights.map(round)];
    const result = k[name](k.fromHost(host([a.length], a)), k.fromHost(host([b.length], b)));
    expect(await numbersOf(k, result)).toEqual(a.map((x, i) => round(f(x, b[i]!))));
  });

  it('neg flips the sign of zero and of NaN-free values, sqrt is exact', async () => {
    const values = special.map(round);
    const x = k.fromHost(host([values.length], values));
    expect(await numbersOf(k, k.neg(x))).toEqual(values.map((v) => -v));
    expect(await numbersOf(k, k.sqrt(x))).toEqual(values.map((v) => round(Math.sqrt(v))));
  });

  it('where takes a where the mask is not 0, and the other value has no influence', async () => {
    const mask = k.fromHost(host([5], [1, 0, -0, Number.NaN, 2]));
    const a = k.fromHost(host([5], [1, Number.NaN, Number.POSITIVE_INFINITY, 4, -0]));
    const b = k.fromHost(host([5], [Number.NaN, -0, 3, Number.NaN, Number.NaN]));
    expect(await numbersOf(k, k.where(mask, a, b))).toEqual([1, -0, 3, 4, -0]);
    expect(await numbersOf(k, k.where(mask, 7, b))).toEqual([7, -0, 3, 7, 7]);
  });

  it('a number operand is rounded once to the float type', async () => {
    expect(await numbersOf(k, k.add(k.full([1], 0), 0.1))).toEqual([round(0.1)]);
    expect(await numbersOf(k, k.mul(0.1, k.full([1], 3)))).toEqual([round(round(0.1) * 3)]);
    expect(await numbersOf(k, k.full([2], 0.1))).toEqual([round(0.1), round(0.1)]);
  });

  it('broadcasts as NumPy does', () =>
    fc.assert(
      fc.asyncProperty(broadcastPair, any.seed, async ({ a, b, result }, seed) => {
        const [x, y] = [normal(seed, a), normal(seed + 1, b)];
        const sum = k.add(k.fromHost(x), k.fromHost(y));
        expect(sum.shape).toEqual(result);
        const at = (values: Float64Array, shape: Shape, place: number[]): number =>
          round(values[position(shape, place)]!);
        expect(await numbersOf(k, sum)).toEqual(
          places(result).map((place) => round(at(x.data, a, place) + at(y.data, b, place))),
        );
      }),
    ));
});

describe('shapes that do not broadcast', () => {
  it.each<[Shape, Operand<Shape>]>([
    [[2], [3]],
    [[2, 3], [2]],
  ])('[%j] and [%j] are a defect', (a, b) => {
    expect(() => f32.add(f32.full(a, 0), f32.full(b as Shape, 0))).toThrow('do not broadcast');
  });
});

describe('cast', () => {
  const cast = async (values: readonly number[], dtype: 'f16' | 'bf16' | 'i32' | 'u8'): Promise<number[]> => {
    const stored = f32.cast(f32.fromHost(host([values.length], values)), dtype);
    expect(stored.dtype).toBe(dtype);
    return numbersOf(f32, f32.cast(stored, 'f32'));
  };

  it('rounds to the nearest, ties to even', async () => {
    expect(await cast([1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20], 'bf16')).toEqual([
      1,
      1,
      1 + 2 ** -6,
      1 + 2 ** -7,
    ]);
    expect(await cast([1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65519, 65520], 'f16')).toEqual([
      1,
      1,
      1 + 2 ** -9,
      65504,
      Number.POSITIVE_INFINITY,
    ]);
  });

  it('keeps zero signs, infinities and NaN', async () => {
    const values = [0, -0, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
    expect(await cast(values, 'f16')).toEqual(values);
    expect(await cast(values, 'bf16')).toEqual(values);
  });

  it('widening is exact: any 16-bit value comes back as it was', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom('f16' as const, 'bf16' as const),
        fc.uint16Array({ maxLength: 20 }),
        async (dtype, bits) => {
          const nan = dtype === 'f16' ? 0x7c00 : 0x7f80;
          const data = bits.filter((b) => (b & 0x7fff) <= nan);
          const stored = f32.fromHost({ dtype, shape: [data.length], data });
          expect(await numbersOf(f32, f32.cast(f32.cast(stored, 'f32'), dtype))).toEqual([...data]);
        },
      ),
    ));

  it('makes whole numbers of floats and back', async () => {
    expect(await cast([3, -7, 0], 'i32')).toEqual([3, -7, 0]);
    expect(await cast([3, 255], 'u8')).toEqual([3, 255]);
  });

  it('does not read what it was not made for', () => {
    const wide = f32.fromHost({ dtype: 'i64', shape: [1], data: BigInt64Array.of(1n) });
    expect(() => f32.cast(wide, 'f32')).toThrow('cast from i64');
  });
});

describe('packMask', () => {
  it('is undone by unpackMask, at every length around the word', () =>
    fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 100 }), async (mask) => {
        const values = mask.map(Number);
        const packed = f32.packMask(f32.fromHost(host([values.length], values)));
        expect(packed.shape).toEqual([Math.ceil(values.length / 32)]);
        expect(await numbersOf(f32, f32.unpackMask(packed, [values.length]))).toEqual(values);
      }),
    ));

  it('puts element i at bit i mod 32 of word ⌊i/32⌋', async () => {
    const ones = [0, 5, 31, 32, 40];
    const mask: R = f32.fromHost(
      host(
        [41],
        Array.from({ length: 41 }, (_, i) => Number(ones.includes(i))),
      ),
    );
    expect(await numbersOf(f32, f32.packMask(mask))).toEqual([(1 | (1 << 5) | (1 << 31)) >> 0, 1 | (1 << 8)]);
  });

  it('of a mask of several axes keeps their order', async () => {
    const mask = f32.fromHost(host([2, 2], [0, 1, 1, 0]));
    const back = f32.unpackMask(f32.packMask(mask), [2, 2]);
    expect(sizeOf(back.shape)).toBe(4);
    expect(await numbersOf(f32, back)).toEqual([0, 1, 1, 0]);
  });
});

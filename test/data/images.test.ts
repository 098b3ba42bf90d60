/**
 * Transforms of images: their laws, and a few pixels worked out by hand.
 */
import * as fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import {
  downsample,
  type FloatImages,
  type Images,
  invert,
  mnistNormalisation,
  normalise,
  rotate,
} from '../../src/data/images.ts';
import { orThrow } from '../../src/spec/errors.ts';

/** Bytes of 1 to 3 images, sizes between 1 and 8. */
const imagesOf = (height: fc.Arbitrary<number>, width: fc.Arbitrary<number>): fc.Arbitrary<Images> =>
  fc
    .tuple(fc.integer({ min: 1, max: 3 }), height, width)
    .chain(([count, h, w]) =>
      fc
        .uint8Array({ minLength: count * h * w, maxLength: count * h * w })
        .map((data) => ({ count, height: h, width: w, data: Uint8Array.from(data) })),
    );
const size = fc.integer({ min: 1, max: 8 });
const anyImages = imagesOf(size, size);
const evenImages = imagesOf(
  size.map((n) => 2 * n),
  size.map((n) => 2 * n),
);

const image = (rows: readonly (readonly number[])[]): Images => ({
  count: 1,
  height: rows.length,
  width: rows[0]?.length ?? 0,
  data: Uint8Array.from(rows.flat()),
});
const rowsOf = ({ height, width, data }: Images): number[][] =>
  Array.from({ length: height }, (_, y) => Array.from(data.subarray(y * width, (y + 1) * width)));
const sum = (data: ArrayLike<number>): number => Array.from(data).reduce((a, b) => a + b, 0);
const turned = (images: Images, degrees: number): FloatImages => orThrow(rotate(images, degrees));

describe('rotate', () => {
  it('by 0° and by full turns is the identity', () => {
    fc.assert(
      fc.property(anyImages, fc.integer({ min: -5, max: 5 }), (images, turns) => {
        expect(turned(images, 360 * turns)).toEqual({ ...images, data: Float32Array.from(images.data) });
      }),
    );
  });

  it('by 90° moves the top right corner to the top left', () => {
    const before = image([
      [1, 2, 3],
      [4, 5, 6],
      [7, 8, 9],
    ]);
    expect(rowsOf(turned(before, 90))).toEqual([
      [3, 6, 9],
      [2, 5, 8],
      [1, 4, 7],
    ]);
    expect(rowsOf(turned(before, -90))).toEqual([
      [7, 4, 1],
      [8, 5, 2],
      [9, 6, 3],
    ]);
  });

  it('by quarter turns of a square image adds up', () => {
    const square = size.chain((n) => imagesOf(fc.constant(n), fc.constant(n)));
    fc.assert(
      fc.property(square, fc.integer({ min: -4, max: 4 }), fc.integer({ min: -4, max: 4 }), (images, a, b) => {
        expect(turned(turned(images, 90 * a), 90 * b)).toEqual(turned(images, 90 * (a + b)));
      }),
    );
  });

  it('by 180° reverses every image', () => {
    fc.assert(
      fc.property(anyImages, (images) => {
        const { count, height, width, data } = images;
        const pixels = height * width;
        const reversed = Array.from({ length: count }, (_, i) => [
          ...data.subarray(i * pixels, (i + 1) * pixels),
        ]).flatMap((one) => one.reverse());
        expect(Array.from(turned(images, 180).data)).toEqual(reversed);
      }),
    );
  });

  it('never leaves the range of the old greys and paper', () => {
    fc.assert(
      fc.property(anyImages, fc.double({ min: -1000, max: 1000, noNaN: true }), (images, degrees) => {
        const top = Math.max(0, ...images.data);
        expect(turned(images, degrees).data.every((v) => v >= 0 && v <= top)).toBe(true);
      }),
    );
  });

  it('agrees with bilinear interpolation written another way, at 30°', () => {
    const before = image([
      [0, 10, 20, 5],
      [40, 200, 60, 7],
      [70, 80, 90, 9],
      [1, 2, 3, 4],
    ]);
    const cos = Math.sqrt(3) / 2;
    const sin = 1 / 2;
    const grey = (y: number, x: number): number => before.data[y * 4 + x] as number;
    const tent = (d: number): number => Math.max(0, 1 - Math.abs(d));
    const expected = (y: number, x: number): number => {
      const sx = 1.5 + cos * (x - 1.5) - sin * (y - 1.5);
      const sy = 1.5 + sin * (x - 1.5) + cos * (y - 1.5);
      return sum(Array.from({ length: 16 }, (_, k) => grey(k >> 2, k & 3) * tent(sy - (k >> 2)) * tent(sx - (k & 3))));
    };
    const got = turned(before, 30).data;
    for (let y = 0; y < 4; y++) for (let x = 0; x < 4; x++) expect(got[y * 4 + x]).toBeCloseTo(expected(y, x), 4);
  });

  it('rejects an angle that is none', () => {
    expect(rotate(image([[1]]), Number.NaN)).toMatchObject({ left: { tag: 'ConfigError', where: 'rotate' } });
    expect(E.isLeft(rotate(image([[1]]), Number.POSITIVE_INFINITY))).toBe(true);
  });
});

describe('invert', () => {
  it('undoes itself and is no identity', () => {
    fc.assert(
      fc.property(anyImages, (images) => {
        expect(Array.from(invert(invert(images)).data)).toEqual(Array.from(images.data));
        expect(sum(invert(images).data) + sum(images.data)).toBe(255 * images.data.length);
      }),
    );
  });
});

describe('downsample', () => {
  it('keeps the mean, exactly', () => {
    fc.assert(
      fc.property(evenImages, (images) => {
        const half = orThrow(downsample(images));
        expect([half.count, 2 * half.height, 2 * half.width]).toEqual([images.count, images.height, images.width]);
        expect(4 * sum(half.data)).toBe(sum(images.data));
      }),
    );
  });

  it('averages 2 × 2 neighbours', () => {
    const before = image([
      [1, 2, 10, 20],
      [3, 5, 30, 41],
    ]);
    expect(rowsOf(orThrow(downsample(before)))).toEqual([[2.75, 25.25]]);
  });

  it('rejects odd sizes', () => {
    expect(downsample(image([[1, 2]]))).toMatchObject({ left: { tag: 'ShapeError', came: '1 × 2' } });
  });
});

describe('normalise', () => {
  it('maps paper and ink as stated', () => {
    const { data } = orThrow(normalise(image([[0, 255, 51]]), { mean: 0.2, scale: 0.5 }));
    expect(Array.from(data)).toEqual([-0.4, 1.6, 0].map(Math.fround));
  });

  it('rejects a scale that does not scale', () => {
    for (const scale of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(E.isLeft(normalise(image([[1]]), { ...mnistNormalisation, scale }))).toBe(true);
  });
});

it('no transform writes its input', () => {
  fc.assert(
    fc.property(evenImages, fc.double({ min: -90, max: 90, noNaN: true }), (images, degrees) => {
      const before = Uint8Array.from(images.data);
      invert(images);
      rotate(images, degrees);
      downsample(images);
      normalise(images, mnistNormalisation);
      expect(images.data).toEqual(before);
    }),
  );
});

/**
 * Pure transforms of grey images. Grey runs from 0 (paper) to 255 (ink), in bytes or in floats; `normalise` alone leaves
 * that scale. Each output pixel is computed in f64 and rounded once to f32; the input is never written.
 *
 * Laws: `rotate` by 0° is the identity, and by a quarter turn it only permutes the pixels of a square image; `invert`
 * undoes itself on bytes; `downsample` keeps the mean.
 */
import * as E from 'fp-ts/lib/Either.js';
import { elementary64 } from '../spec/elementary/index.ts';
import { fail, type Result } from '../spec/errors.ts';

/** `count` images of one size, row-major: pixel (y, x) of image i is `data[(i * height + y) * width + x]`. */
export interface Images {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly data: Uint8Array | Float32Array;
}

export interface FloatImages extends Images {
  readonly data: Float32Array;
}

/** What `normalise` subtracts and divides by, both on the scale 0 … 1. */
export interface Normalisation {
  readonly mean: number;
  readonly scale: number;
}

/** Mean and standard deviation of the pixels of MNIST's training images, to four digits. */
export const mnistNormalisation: Normalisation = { mean: 0.1307, scale: 0.3081 };

/** Each pixel from its old grey. */
const mapPixels = (images: Images, f: (grey: number) => number): FloatImages => ({
  ...images,
  data: new Float32Array(images.data).map((grey) => f(grey)),
});

/** Each pixel from its place; `read` gives the old grey at a place of the same image, and paper (0) outside it. */
const build = (
  images: Images,
  height: number,
  width: number,
  pixel: (read: (y: number, x: number) => number, y: number, x: number) => number,
): FloatImages => {
  const data = new Float32Array(images.count * height * width);
  for (let i = 0; i < images.count; i++) {
    const start = i * images.height * images.width;
    const read = (y: number, x: number): number =>
      y < 0 || y >= images.height || x < 0 || x >= images.width
        ? 0
        : (images.data[start + y * images.width + x] as number);
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++) data[(i * height + y) * width + x] = pixel(read, y, x);
  }
  return { count: images.count, height, width, data };
};

/** The negative: ink on paper becomes paper on ink, 255 − grey. */
export const invert = (images: Images): FloatImages => mapPixels(images, (grey) => 255 - grey);

/** (grey / 255 − mean) / scale. A scale that is not above 0 is a `ConfigError`. */
export const normalise = (images: Images, { mean, scale }: Normalisation): Result<FloatImages> =>
  Number.isFinite(mean) && Number.isFinite(scale) && scale > 0
    ? E.right(mapPixels(images, (grey) => (grey / 255 - mean) / scale))
    : fail('ConfigError', 'a finite mean and a scale above 0', `mean ${mean}, scale ${scale}`, 'normalise');

/** Half the height and width: each pixel is the mean of 2 × 2. An odd height or width is a `ShapeError`. */
export const downsample = (images: Images): Result<FloatImages> =>
  images.height % 2 === 0 && images.width % 2 === 0
    ? E.right(
        build(
          images,
          images.height / 2,
          images.width / 2,
          (read, y, x) =>
            (read(2 * y, 2 * x) + read(2 * y, 2 * x + 1) + read(2 * y + 1, 2 * x) + read(2 * y + 1, 2 * x + 1)) / 4,
        ),
      )
    : fail('ShapeError', 'an even height and width', `${images.height} × ${images.width}`, 'downsample');

/** Cosine and sine of an angle in degrees; exact at multiples of 90°, where the radians of a float never are. */
const cosSin = (degrees: number): readonly [cos: number, sin: number] => {
  const quarters = Math.round(degrees / 90);
  const radians = ((degrees - 90 * quarters) * Math.PI) / 180;
  const c = elementary64.cos(radians);
  const s = elementary64.sin(radians);
  const turns: readonly (readonly [number, number])[] = [
    [c, s],
    [-s, c],
    [-c, -s],
    [s, -c],
  ];
  return turns[((quarters % 4) + 4) % 4] as readonly [number, number];
};

/** The grey between four pixels, by distance along x and then along y. */
const bilinear = (read: (y: number, x: number) => number, y: number, x: number): number => {
  const y0 = Math.floor(y);
  const x0 = Math.floor(x);
  const right = x - x0;
  const down = y - y0;
  const above = (1 - right) * read(y0, x0) + right * read(y0, x0 + 1);
  const below = (1 - right) * read(y0 + 1, x0) + right * read(y0 + 1, x0 + 1);
  return (1 - down) * above + down * below;
};

/**
 * Turns each image about its centre, counter-clockwise as it is seen, by bilinear interpolation. What comes from outside
 * the image is paper (0). An angle that is not finite is a `ConfigError`.
 */
export const rotate = (images: Images, degrees: number): Result<FloatImages> => {
  if (!Number.isFinite(degrees)) return fail('ConfigError', 'a finite angle in degrees', String(degrees), 'rotate');
  const [cos, sin] = cosSin(degrees);
  const cy = (images.height - 1) / 2;
  const cx = (images.width - 1) / 2;
  const pixel = (read: (y: number, x: number) => number, y: number, x: number): number =>
    bilinear(read, cy + sin * (x - cx) + cos * (y - cy), cx + cos * (x - cx) - sin * (y - cy));
  return E.right(build(images, images.height, images.width, pixel));
};

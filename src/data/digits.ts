/**
 * Handwritten digits as a task of adaptation: a model learns upright digits (the source), then digits that are turned or
 * inverted (the target). The digits that train the source, train the target and validate are disjoint; the test digits
 * are the file's own.
 *
 * Laws: equal (digits, config) give equal bits; no digit of the training file has two roles; each role holds as many
 * digits of one class as of another, to within one, where the file does.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { permutation, type Rng, rngFromSeed, splitRng } from '../core/rng.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensor, type HostTensorOf, showSpec, sizeOf } from '../spec/tensor.ts';
import type { Examples } from './examples.ts';
import {
  downsample,
  type Images,
  invert,
  mnistNormalisation,
  type Normalisation,
  normalise,
  rotate,
} from './images.ts';

// model

export interface LabelledImages {
  readonly images: Images;
  readonly labels: Int32Array;
}

/** The content of the digits file. */
export interface Digits {
  readonly train: LabelledImages;
  readonly test: LabelledImages;
}

/** How the target differs from the source. Degrees turn counter-clockwise. */
export type Shift =
  | { readonly kind: 'none' }
  | { readonly kind: 'rotate'; readonly degrees: number }
  | { readonly kind: 'invert' };

export interface DigitsConfig {
  /** Height and width of the inputs: 28 as they are, 14 by 2 × 2 means. */
  readonly size: 28 | 14;
  readonly shift: Shift;
  /** Digits that train the source, train the target, and validate both; together at most the file's training digits. */
  readonly sourceTrain: number;
  readonly targetTrain: number;
  readonly validation: number;
  /** Any safe integer: which digit gets which role. */
  readonly seed: number;
  readonly normalisation: Normalisation;
}

/** One domain; the three sets share no digit. */
export interface Domain {
  readonly train: Examples;
  readonly validation: Examples;
  readonly test: Examples;
}

export interface DigitsTask {
  readonly classes: number;
  readonly features: number;
  readonly source: Domain;
  readonly target: Domain;
}

/** 14 × 14, turned by 45°; 3,500 digits train the source, 1,000 the target, 500 validate. */
export const defaultDigits: DigitsConfig = {
  size: 14,
  shift: { kind: 'rotate', degrees: 45 },
  sourceTrain: 3500,
  targetTrain: 1000,
  validation: 500,
  seed: 0,
  normalisation: mnistNormalisation,
};

const classes = 10;
const side = 28;

// the file

const byteTensor = (tensors: Readonly<Record<string, HostTensor>>, name: string): Result<HostTensorOf<'u8'>> => {
  const tensor = tensors[name];
  if (tensor === undefined) return fail('DataError', 'a tensor of this name', 'none', name);
  if (tensor.dtype !== 'u8') return fail('DataError', 'bytes', showSpec(tensor), name);
  const count = sizeOf(tensor.shape);
  return tensor.data.length === count
    ? E.right(tensor)
    : fail('DataError', `${count} bytes`, String(tensor.data.length), name);
};

const imagesOf = (tensor: HostTensorOf<'u8'>, name: string): Result<Images> => {
  const [count = 0, height, width] = tensor.shape;
  return tensor.shape.length === 3 && count > 0 && height === side && width === side
    ? E.right({ count, height, width, data: tensor.data })
    : fail('ShapeError', `u8[n, ${side}, ${side}]`, showSpec(tensor), name);
};

const labelsOf = (tensor: HostTensorOf<'u8'>, count: number, name: string): Result<Int32Array> => {
  if (tensor.shape.length !== 1 || tensor.data.length !== count)
    return fail('ShapeError', `u8[${count}]`, showSpec(tensor), name);
  const bad = tensor.data.findIndex((label) => label >= classes);
  return bad < 0
    ? E.right(Int32Array.from(tensor.data))
    : fail('DataError', `labels of 0 … ${classes - 1}`, String(tensor.data[bad]), `${name}[${bad}]`);
};

const setOf = (tensors: Readonly<Record<string, HostTensor>>, name: 'train' | 'test'): Result<LabelledImages> =>
  pipe(
    E.Do,
    E.bind('images', () =>
      pipe(
        byteTensor(tensors, `${name}_images`),
        E.chain((t) => imagesOf(t, `${name}_images`)),
      ),
    ),
    E.bind('labels', ({ images }) =>
      pipe(
        byteTensor(tensors, `${name}_labels`),
        E.chain((t) => labelsOf(t, images.count, `${name}_labels`)),
      ),
    ),
  );

/**
 * The digits from the four tensors of the file: `train_images`, `test_images` u8[n, 28, 28], `train_labels`,
 * `test_labels` u8[n]. A tensor that is missing, of another shape or with a label above 9 is a `left`.
 */
export const digitsFromTensors = (tensors: Readonly<Record<string, HostTensor>>): Result<Digits> =>
  pipe(
    E.Do,
    E.bind('train', () => setOf(tensors, 'train')),
    E.bind('test', () => setOf(tensors, 'test')),
  );

// choosing digits

const takeImages = ({ images, labels }: LabelledImages, indices: Int32Array): LabelledImages => {
  const size = images.height * images.width;
  const data = new Uint8Array(indices.length * size);
  indices.forEach((from, to) => {
    data.set(images.data.subarray(from * size, (from + 1) * size), to * size);
  });
  return { images: { ...images, count: indices.length, data }, labels: indices.map((i) => labels[i] as number) };
};

/** A random order in which the classes take turns as long as they last, so that every part of it is balanced. */
const balancedOrder = (labels: Int32Array, rng: Rng): Int32Array => {
  const seen = new Array<number>(classes).fill(0);
  const shuffled = permutation(rng, labels.length)[0];
  const ranked = Array.from(shuffled, (index) => {
    const label = labels[index] as number;
    const round = seen[label] as number;
    seen[label] = round + 1;
    return { index, place: round * classes + label };
  });
  return Int32Array.from(
    ranked.sort((a, b) => a.place - b.place),
    ({ index }) => index,
  );
};

const splitDigits = (
  train: LabelledImages,
  config: DigitsConfig,
): Result<readonly [LabelledImages, LabelledImages, LabelledImages]> => {
  const { validation, sourceTrain, targetTrain, seed } = config;
  const counts = Object.entries({ validation, sourceTrain, targetTrain });
  const bad = counts.find(([, n]) => !Number.isSafeInteger(n) || n < 1);
  if (bad !== undefined) return fail('ConfigError', 'a count of 1 or more', String(bad[1]), bad[0]);
  const total = validation + sourceTrain + targetTrain;
  if (total > train.images.count)
    return fail(
      'ConfigError',
      `at most ${train.images.count} digits`,
      String(total),
      'validation + sourceTrain + targetTrain',
    );
  if (!Number.isSafeInteger(seed)) return fail('ConfigError', 'a safe integer', String(seed), 'seed');
  const order = balancedOrder(train.labels, splitRng(rngFromSeed(seed), 'digits'));
  const part = (from: number, count: number): LabelledImages => takeImages(train, order.subarray(from, from + count));
  return E.right([part(0, validation), part(validation, sourceTrain), part(validation + sourceTrain, targetTrain)]);
};

// the task

const applyShift = (images: Images, shift: Shift): Result<Images> => {
  switch (shift.kind) {
    case 'none':
      return E.right(images);
    case 'rotate':
      return rotate(images, shift.degrees);
    case 'invert':
      return E.right(invert(images));
  }
};

/** Shifted, then made smaller, then normalised. */
const examplesOf = ({ images, labels }: LabelledImages, shift: Shift, config: DigitsConfig): Result<Examples> =>
  pipe(
    applyShift(images, shift),
    E.chain((shifted) => (config.size === side ? E.right(shifted) : downsample(shifted))),
    E.chain((sized) => normalise(sized, config.normalisation)),
    E.map(({ count, height, width, data }) => ({ count, features: height * width, inputs: data, labels })),
  );

const domain = (
  train: LabelledImages,
  validation: LabelledImages,
  test: LabelledImages,
  shift: Shift,
  config: DigitsConfig,
): Result<Domain> =>
  pipe(
    E.Do,
    E.bind('train', () => examplesOf(train, shift, config)),
    E.bind('validation', () => examplesOf(validation, shift, config)),
    E.bind('test', () => examplesOf(test, shift, config)),
  );

/** Both domains. A wrong count, seed, angle or normalisation is a `ConfigError`. */
export const digitsTask = (digits: Digits, config: DigitsConfig): Result<DigitsTask> =>
  pipe(
    splitDigits(digits.train, config),
    E.chain(([validation, sourceTrain, targetTrain]) =>
      pipe(
        E.Do,
        E.bind('source', () => domain(sourceTrain, validation, digits.test, { kind: 'none' }, config)),
        E.bind('target', () => domain(targetTrain, validation, digits.test, config.shift, config)),
      ),
    ),
    E.map(({ source, target }) => ({ classes, features: source.train.features, source, target })),
  );

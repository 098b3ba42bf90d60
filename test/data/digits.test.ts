/**
 * The digits: what the committed file holds, and how a task is made of it.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import * as fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import {
  type DigitsConfig,
  type Domain,
  defaultDigits,
  digitsFromTensors,
  digitsTask,
  type Shift,
} from '../../src/data/digits.ts';
import { type Examples, takeExamples } from '../../src/data/examples.ts';
import { decodeSafetensors, encodeSafetensors } from '../../src/io/safetensors.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';

const folder = new URL('../../demo/digits/', import.meta.url);
const packed = readFileSync(new URL('digits.bin.gz', folder));
const bytes = Uint8Array.from(gunzipSync(packed));
const file = orThrow(decodeSafetensors(bytes, 'digits.bin.gz'));
const digits = orThrow(digitsFromTensors(file.tensors));

const countByClass = (labels: Int32Array): number[] =>
  Array.from({ length: 10 }, (_, label) => labels.filter((l) => l === label).length);
const tenTimes = (n: number): number[] => new Array<number>(10).fill(n);

/** Each row as text, to compare and count images. */
const rowKeys = (data: Uint8Array | Float32Array, size: number): string[] =>
  Array.from({ length: data.length / size }, (_, i) => data.subarray(i * size, (i + 1) * size).join());

const sha256 = (...parts: readonly (Uint8Array | Float32Array | Int32Array)[]): string =>
  parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');
/** A large set by its digest: quick to compare. */
const digestOf = ({ inputs, labels }: Examples): string => sha256(inputs, labels);
const digestsOf = ({ train, validation, test }: Domain): string[] => [train, validation, test].map(digestOf);

describe('the committed file', () => {
  it('is small', () => {
    expect(packed.length).toBeLessThanOrEqual(1_000_000);
  });

  it('has the digest and the size that its README states', () => {
    const readme = readFileSync(new URL('README.md', folder), 'utf8');
    expect(readme).toContain(sha256(bytes));
    expect(readme).toContain(`${packed.length.toLocaleString('en')} bytes`);
  });

  it('is a canonical safetensors file', () => {
    expect(sha256(encodeSafetensors(file.tensors, file.metadata))).toBe(sha256(bytes));
  });

  it('carries its licence', () => {
    const licence = readFileSync(new URL('LICENSE-mnist.txt', folder), 'utf8');
    expect(licence).toContain('The MIT License (MIT)');
    expect(licence).toContain('Copyright (c) 2015 Juan Cazala');
  });

  it('holds 5,000 and 2,000 digits, as many of each class, in any first ten', () => {
    expect(countByClass(digits.train.labels)).toEqual(tenTimes(500));
    expect(countByClass(digits.test.labels)).toEqual(tenTimes(200));
    expect(countByClass(digits.train.labels.subarray(0, 30))).toEqual(tenTimes(3));
    expect(digits.train.images).toMatchObject({ count: 5000, height: 28, width: 28 });
  });

  it('holds no image twice, within a set or across', () => {
    const keys = [digits.train, digits.test].flatMap(({ images }) => rowKeys(images.data, 784));
    expect(new Set(keys).size).toBe(7000);
  });

  it('is ink in 16 levels on a paper border', () => {
    const { data } = digits.train.images;
    expect([...new Set(data)].sort((a, b) => a - b)).toEqual(Array.from({ length: 16 }, (_, i) => 17 * i));
    const mean = Float32Array.from(data).reduce((a, b) => a + b, 0) / data.length / 255;
    expect(mean).toBeGreaterThan(0.12);
    expect(mean).toBeLessThan(0.14);
  });

  it('shows its labels: the nearest mean image of a class names most test digits', () => {
    const { images, labels } = digits.train;
    const means = Array.from({ length: 10 }, () => new Float64Array(784));
    labels.forEach((label, i) => {
      const mean = means[label] as Float64Array;
      for (let p = 0; p < 784; p++) mean[p] = (mean[p] as number) + (images.data[i * 784 + p] as number) / 500;
    });
    const distance = (mean: Float64Array, start: number): number =>
      mean.reduce((sum, m, p) => sum + (m - (digits.test.images.data[start + p] as number)) ** 2, 0);
    const right = digits.test.labels.filter((label, i) => {
      const distances = means.map((mean) => distance(mean, i * 784));
      return distances.indexOf(Math.min(...distances)) === label;
    });
    expect(right.length / 2000).toBeGreaterThan(0.75);
  });
});

describe('digitsFromTensors', () => {
  const change = (name: string, tensor: HostTensor | undefined) => {
    const { [name]: _, ...others } = file.tensors;
    return digitsFromTensors(tensor === undefined ? others : { ...others, [name]: tensor });
  };
  const u8 = (shape: readonly number[], data: Uint8Array): HostTensor => ({ dtype: 'u8', shape, data });

  it('names a missing tensor', () => {
    expect(change('test_labels', undefined)).toMatchObject({ left: { tag: 'DataError', where: 'test_labels' } });
  });

  it('rejects other types, shapes and labels', () => {
    const labels = new Uint8Array(5000);
    labels[3] = 10;
    const cases: readonly (readonly [string, HostTensor, string])[] = [
      ['train_labels', { dtype: 'i32', shape: [5000], data: new Int32Array(5000) }, 'DataError'],
      ['train_labels', u8([4999], new Uint8Array(4999)), 'ShapeError'],
      ['train_labels', u8([5000], labels), 'DataError'],
      ['train_images', u8([5000, 784], new Uint8Array(5000 * 784)), 'ShapeError'],
      ['train_images', u8([5000, 28, 28], new Uint8Array(5)), 'DataError'],
      ['train_images', u8([0, 28, 28], new Uint8Array(0)), 'ShapeError'],
    ];
    for (const [name, tensor, tag] of cases) expect(change(name, tensor)).toMatchObject({ left: { tag } });
  });

  it('says which label is wrong', () => {
    const labels = new Uint8Array(5000);
    labels[3] = 10;
    const where = 'train_labels[3]';
    expect(change('train_labels', u8([5000], labels))).toMatchObject({ left: { came: '10', where } });
  });
});

describe('digitsTask', () => {
  const small: DigitsConfig = { ...defaultDigits, sourceTrain: 60, targetTrain: 30, validation: 20 };
  const withShift = (shift: Shift) => orThrow(digitsTask(digits, { ...small, shift }));
  const keysOf = ({ inputs, features }: Examples): string[] => rowKeys(inputs, features);

  it('gives each set its size and its features', () => {
    const { source, target, features, classes } = withShift({ kind: 'rotate', degrees: 45 });
    expect([features, classes]).toEqual([196, 10]);
    const sets = [source.train, source.validation, source.test, target.train, target.validation, target.test];
    expect(sets.map((s) => s.count)).toEqual([60, 20, 2000, 30, 20, 2000]);
    for (const { count, inputs, labels } of sets) expect([inputs.length, labels.length]).toEqual([count * 196, count]);
    expect(orThrow(digitsTask(digits, { ...small, size: 28 })).features).toBe(784);
  });

  it('gives no digit two roles', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (seed) => {
        const { source, target } = orThrow(digitsTask(digits, { ...small, size: 28, shift: { kind: 'none' }, seed }));
        const keys = [source.train, source.validation, source.test, target.train].flatMap(keysOf);
        expect(new Set(keys).size).toBe(60 + 20 + 2000 + 30);
      }),
      { numRuns: 5 },
    );
  });

  it('balances every role', () => {
    const { source, target } = withShift({ kind: 'invert' });
    const counts = [source.train, target.train, target.validation].map((s) => countByClass(s.labels));
    expect(counts).toEqual([6, 3, 2].map(tenTimes));
  });

  it('depends on the seed and on nothing else', () => {
    const config: DigitsConfig = { ...small, shift: { kind: 'invert' } };
    const task = orThrow(digitsTask(digits, config));
    const again = orThrow(digitsTask(digits, config));
    expect([again.source, again.target].map(digestsOf)).toEqual([task.source, task.target].map(digestsOf));
    const other = orThrow(digitsTask(digits, { ...config, seed: 1 }));
    expect(digestOf(other.source.train)).not.toBe(digestOf(task.source.train));
    expect(digestOf(other.source.test)).toBe(digestOf(task.source.test));
  });

  it('keeps the validation digits when the training counts change', () => {
    const wider = orThrow(digitsTask(digits, { ...small, sourceTrain: 90, targetTrain: 50 }));
    expect(digestOf(wider.source.validation)).toBe(digestOf(withShift(small.shift).source.validation));
  });

  it('shifts the target only, and leaves labels alone', () => {
    const none = withShift({ kind: 'none' });
    const inverted = withShift({ kind: 'invert' });
    expect(digestOf(none.target.test)).toBe(digestOf(none.source.test));
    expect(digestsOf(inverted.source)).toEqual(digestsOf(none.source));
    expect(inverted.target.train.labels).toEqual(none.target.train.labels);
    const { mean, scale } = small.normalisation;
    const paperAndInk = (1 - 2 * mean) / scale;
    const misfit = inverted.target.test.inputs.map((v, i) => v + (none.target.test.inputs[i] as number) - paperAndInk);
    expect(misfit.every((d) => Math.abs(d) < 1e-5)).toBe(true);
  });

  it('turns the target: half a turn reverses each image', () => {
    const half = withShift({ kind: 'rotate', degrees: 180 }).target.test.inputs.subarray(0, 196);
    expect(half).toEqual(withShift({ kind: 'none' }).target.test.inputs.slice(0, 196).reverse());
  });

  it.each([
    [{ validation: 0 }, 'validation'],
    [{ sourceTrain: 1.5 }, 'sourceTrain'],
    [{ targetTrain: 4921 }, 'validation + sourceTrain + targetTrain'],
    [{ seed: 0.5 }, 'seed'],
    [{ shift: { kind: 'rotate', degrees: Number.NaN } }, 'rotate'],
    [{ normalisation: { mean: 0, scale: 0 } }, 'normalise'],
  ] satisfies [Partial<DigitsConfig>, string][])('rejects %o', (wrong, where) => {
    expect(digitsTask(digits, { ...small, ...wrong })).toMatchObject({ left: { tag: 'ConfigError', where } });
  });

  it('uses all 5,000 digits by default', () => {
    expect(E.isRight(digitsTask(digits, { ...small, targetTrain: 4920 }))).toBe(true);
    const { sourceTrain, targetTrain, validation } = defaultDigits;
    expect(sourceTrain + targetTrain + validation).toBe(5000);
  });
});

describe('takeExamples', () => {
  const set: Examples = {
    count: 3,
    features: 2,
    inputs: Float32Array.of(1, 2, 3, 4, 5, 6),
    labels: Int32Array.of(7, 8, 9),
  };

  it('takes rows and labels together, in the order asked for', () => {
    expect(takeExamples(set, Int32Array.of(2, 0))).toEqual({
      count: 2,
      features: 2,
      inputs: Float32Array.of(5, 6, 1, 2),
      labels: Int32Array.of(9, 7),
    });
    expect(takeExamples(set, Int32Array.of(0, 1, 2))).toEqual(set);
  });
});

/** NF4 against bitsandbytes, byte for byte: codes, packing, absmax, double quantisation, and what they decode to. */
import { readFileSync } from 'node:fs';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { decodeSafetensors } from '../../src/io/safetensors.ts';
import { quantisationError, quantise } from '../../src/quant/quantise.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { absmaxMap, decodeNf4, NF4_BLOCK, type Nf4Type, nf4Layout, nf4Levels } from '../../src/spec/nf4.ts';
import { bytesOf, type HostTensorOf, sizeOf } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';

const file = 'weights.safetensors';
const { tensors } = orThrow(decodeSafetensors(readFileSync(new URL(`../fixtures/nf4/${file}`, import.meta.url)), file));
const names = [...new Set(Object.keys(tensors).map((key) => key.split('.')[0]!))].filter((name) => name !== 'map');

const weightOf = (name: string): HostTensorOf<'f32'> => tensors[`${name}.weight`] as HostTensorOf<'f32'>;

const quantised = (weight: HostTensorOf<'f32'>, dtype: Nf4Type): HostTensorOf<Nf4Type> =>
  orThrow(quantise(weight, dtype, 'w')) as HostTensorOf<Nf4Type>;

const bytesAt = (data: Uint8Array, from: number, length: number): number[] => [...data.subarray(from, from + length)];
const bytesOfFloats = (key: string): number[] => [
  ...new Uint8Array((tensors[key]!.data as Float32Array).slice().buffer),
];

const bitsOf = (x: ArrayLike<number>): number[] => [...new Uint32Array(Float32Array.from(x).buffer)];

it('has the map of bitsandbytes', () => {
  expect(bitsOf(absmaxMap)).toEqual(bitsOf(tensors.map!.data as Float32Array));
});

describe.each(names)('the weight %s', (name) => {
  const weight = weightOf(name);
  const count = sizeOf(weight.shape);

  it('has the bytes of bitsandbytes, with double quantisation', () => {
    const { data } = quantised(weight, 'nf4');
    const { blocks, groups, absmaxAt, nestedAt, offsetAt, bytes } = nf4Layout('nf4', count);
    expect(data.length).toBe(bytes);
    expect(bytesAt(data, 0, Math.ceil(count / 2))).toEqual([...(tensors[`${name}.packed`]!.data as Uint8Array)]);
    expect(bytesAt(data, offsetAt, 4)).toEqual(bytesOfFloats(`${name}.offset`));
    expect(bytesAt(data, nestedAt, 4 * groups)).toEqual(bytesOfFloats(`${name}.nested_absmax`));
    expect(bytesAt(data, absmaxAt, blocks)).toEqual([...(tensors[`${name}.absmax`]!.data as Uint8Array)]);
  });

  it('has the bytes of bitsandbytes, without', () => {
    const { data } = quantised(weight, 'nf4-single');
    const { blocks, absmaxAt } = nf4Layout('nf4-single', count);
    expect(bytesAt(data, 0, Math.ceil(count / 2))).toEqual([...(tensors[`${name}.packed`]!.data as Uint8Array)]);
    expect(bytesAt(data, absmaxAt, 4 * blocks)).toEqual(bytesOfFloats(`${name}.single.absmax`));
  });

  it('decodes to the values of bitsandbytes', () => {
    const double = decodeNf4('nf4', count, quantised(weight, 'nf4').data);
    expect(bitsOf(double)).toEqual(bitsOf(tensors[`${name}.values`]!.data as Float32Array));
    const expected = tensors[`${name}.single.values`];
    if (expected === undefined) return;
    const single = decodeNf4('nf4-single', count, quantised(weight, 'nf4-single').data);
    expect(bitsOf(single)).toEqual(bitsOf(expected.data as Float32Array));
  });
});

describe('NF4', () => {
  it('takes 4.127 bits a weight', () => {
    const bits = (8 * bytesOf({ dtype: 'nf4', shape: [4096, 4096] })) / 4096 ** 2;
    expect(bits).toBeLessThan(4.1271);
    expect((8 * bytesOf({ dtype: 'nf4', shape: [128, 256] })) / (128 * 256)).toBeLessThan(4.13);
  });

  it('without double quantisation gives each number the nearest level, within half the widest gap of its absmax', () =>
    fc.assert(
      fc.property(
        fc.array(
          fc.integer({ min: -8192, max: 8192 }).map((x) => x / 1024),
          { minLength: 1, maxLength: 200 },
        ),
        (w) => {
          const weight: HostTensorOf<'f32'> = { dtype: 'f32', shape: [w.length], data: Float32Array.from(w) };
          const values = decodeNf4('nf4-single', w.length, quantised(weight, 'nf4-single').data);
          weight.data.forEach((x, i) => {
            const block = weight.data.subarray(i - (i % NF4_BLOCK), i - (i % NF4_BLOCK) + NF4_BLOCK);
            const most = Math.max(...block.map(Math.abs));
            const best = Math.min(...nf4Levels.map((level) => Math.abs(level * most - x)));
            expect(Math.abs(values[i]! - x)).toBeLessThanOrEqual(best + 4 * 2 ** -23 * most);
          });
        },
      ),
    ));

  it('tells its error', () => {
    const weight = weightOf('plain');
    const error = quantisationError(weight, quantised(weight, 'nf4'));
    const values = tensors['plain.values']!.data as Float32Array;
    const relative = (from: number, to: number): number => {
      const norm = (x: Float32Array): number => Math.hypot(...x.subarray(from, to));
      return norm(values.map((v, i) => v - weight.data[i]!)) / norm(weight.data);
    };
    const starts = Array.from({ length: Math.ceil(values.length / NF4_BLOCK) }, (_, i) => i * NF4_BLOCK);
    expect(error.largest).toBe(Math.max(...values.map((v, i) => Math.abs(v - weight.data[i]!))));
    expect(error.relative).toBeCloseTo(relative(0, values.length), 6);
    expect(error.worstBlock).toBeCloseTo(Math.max(...starts.map((from) => relative(from, from + NF4_BLOCK))), 6);
    expect(error.worstBlock).toBeGreaterThan(error.relative);
  });

  it('of a weight of zeros makes no error', () => {
    const weight = { dtype: 'f32', shape: [65], data: new Float32Array(65) } as const;
    expect(quantisationError(weight, quantised(weight, 'nf4'))).toEqual({ largest: 0, relative: 0, worstBlock: 0 });
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses %d', (x) => {
    expect(E.isLeft(quantise({ dtype: 'f32', shape: [2], data: Float32Array.of(1, x) }, 'nf4', 'w'))).toBe(true);
  });
});

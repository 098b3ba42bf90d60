/** The format: against the Python library's own bytes, by hand, and as a round trip over random tensors. */
import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { swapBytes } from '../../src/io/little-endian.ts';
import { decodeSafetensors, encodeSafetensors } from '../../src/io/safetensors.ts';
import { headerEnd, readHeader } from '../../src/io/safetensors-header.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { anyMetadata, anyTensors, contentOf, fileOf } from './tensors.ts';

const fixture = (): Promise<Uint8Array> => readFile(new URL('./fixture-python.safetensors', import.meta.url));

describe('a file from the Python library', () => {
  test('has the values that Python wrote', async () => {
    const { tensors, metadata } = orThrow(decodeSafetensors(await fixture(), 'fixture'));
    const shown = Object.entries(tensors).map(([name, t]) => [name, t.dtype, t.shape, t.data]);
    expect(shown).toEqual([
      ['9', 'f32', [1, 1, 2], new Float32Array([Number.NaN, 2 ** -149])],
      ['10', 'f32', [2], new Float32Array([1.5, -0])],
      ['positions', 'i64', [2], new BigInt64Array([2n ** 53n + 1n, -(2n ** 63n)])],
      ['empty', 'f64', [0, 5], new Float64Array(0)],
      ['loss', 'f64', [], new Float64Array([0.1])],
      ['labels', 'i32', [2, 2], new Int32Array([0, -1, 2147483647, -2147483648])],
      ['weight', 'bf16', [2, 3], new Uint16Array([0x3f80, 0xbf80, 0x4000, 0x7f80, 0x0001, 0x7fc0])],
      ['bias', 'f16', [3], new Uint16Array([0x3c00, 0xbc00, 0x0001])],
      ['__proto__', 'u8', [3], new Uint8Array([0, 127, 255])],
      ['quote"\\\n\u0001', 'u8', [1], new Uint8Array([7])],
      ['\ue000', 'u8', [1], new Uint8Array([1])],
      ['\u{1f600}', 'u8', [1], new Uint8Array([2])],
    ]);
    expect(metadata).toEqual({ format: 'pt' });
  });

  test('is written again byte for byte', async () => {
    const bytes = new Uint8Array(await fixture());
    const { tensors, metadata } = orThrow(decodeSafetensors(bytes, 'fixture'));
    expect(encodeSafetensors(tensors, metadata)).toEqual(bytes);
  });

  test('shows where each tensor lies, from its header alone', async () => {
    const bytes = await fixture();
    const end = orThrow(headerEnd(bytes.subarray(0, 8), bytes.length, 'fixture'));
    const { entries } = orThrow(readHeader(bytes.subarray(0, end), bytes.length, 'fixture'));
    expect(entries[0]).toEqual({ name: 'positions', dtype: 'i64', shape: [2], begin: end, end: end + 16 });
    expect(entries.at(-1)).toEqual({
      name: '\u{1f600}',
      dtype: 'u8',
      shape: [1],
      begin: bytes.length - 1,
      end: bytes.length,
    });
    expect(entries.slice(1).map(({ begin }) => begin)).toEqual(entries.slice(0, -1).map((entry) => entry.end));
  });
});

describe('encodeSafetensors', () => {
  test('a file written by hand', () => {
    const tensors = {
      b: { dtype: 'u8', shape: [1], data: new Uint8Array([9]) },
      a: { dtype: 'f32', shape: [1, 2], data: new Float32Array([1, -2]) },
    } as const;
    const header =
      '{"__metadata__":{"k":"v","é":"\\n"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},' +
      '"b":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}} ';
    const data = [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 9];
    expect(new TextEncoder().encode(header).length % 8).toBe(0);
    expect(encodeSafetensors(tensors, { é: '\n', k: 'v' })).toEqual(fileOf(header, data));
  });

  test('no tensors: the Python library writes the same', () => {
    expect(encodeSafetensors({})).toEqual(fileOf('{}      '));
  });

  test('does not depend on the order of keys', () => {
    const reversed = <A>(record: Readonly<Record<string, A>>): Readonly<Record<string, A>> =>
      Object.fromEntries(Object.entries(record).reverse());
    fc.assert(
      fc.property(anyTensors, anyMetadata, (tensors, metadata) => {
        expect(encodeSafetensors(reversed(tensors), reversed(metadata))).toEqual(encodeSafetensors(tensors, metadata));
      }),
    );
  });

  test('aligns each tensor to its element', () => {
    fc.assert(
      fc.property(anyTensors, (tensors) => {
        const bytes = encodeSafetensors(tensors);
        for (const { name, begin } of orThrow(readHeader(bytes, bytes.length, '')).entries)
          expect(begin % (tensors[name]?.data.BYTES_PER_ELEMENT ?? 0)).toBe(0);
      }),
    );
  });

  test('writes the window that an array is, not the buffer behind it', () => {
    const data = new Float32Array([1, 2, 3, 4]).subarray(1, 3);
    const { tensors } = orThrow(decodeSafetensors(encodeSafetensors({ x: { dtype: 'f32', shape: [2], data } }), ''));
    expect(tensors.x?.data).toEqual(new Float32Array([2, 3]));
  });

  test('stops on what callers exclude', () => {
    const u8 = { dtype: 'u8', shape: [2], data: new Uint8Array(2) } as const;
    expect(() => encodeSafetensors({ __metadata__: u8 })).toThrow('may not be named __metadata__');
    expect(() => encodeSafetensors({ x: { ...u8, shape: [3] } })).toThrow('tensor x: 2 elements for u8[3]');
    expect(() => encodeSafetensors({ '\ud800': u8 })).toThrow('lone surrogate');
    expect(() => encodeSafetensors({}, { k: '\udc00' })).toThrow('lone surrogate');
  });
});

describe('decodeSafetensors', () => {
  test('gives back every bit', () => {
    fc.assert(
      fc.property(anyTensors, anyMetadata, (tensors, metadata) => {
        const decoded = orThrow(decodeSafetensors(encodeSafetensors(tensors, metadata), ''));
        expect(contentOf(decoded.tensors)).toEqual(contentOf(tensors));
        expect(new Map(Object.entries(decoded.metadata))).toEqual(new Map(Object.entries(metadata)));
      }),
      { numRuns: 500 },
    );
  });

  test('reads at any alignment of the file in memory, and of the tensors in the file', () => {
    const header =
      '{"f":{"dtype":"F64","shape":[1],"data_offsets":[1,9]},"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
    const file = fileOf(header, [7, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    for (let shift = 0; shift < 8; shift++) {
      const memory = new Uint8Array(file.length + 8);
      memory.set(file, shift);
      const { tensors } = orThrow(decodeSafetensors(memory.subarray(shift, shift + file.length), ''));
      expect(tensors.f?.data).toEqual(new Float64Array([1]));
      expect(tensors.u?.data).toEqual(new Uint8Array([7]));
    }
  });

  test('copies: later changes of the bytes do not show', () => {
    const bytes = encodeSafetensors({ x: { dtype: 'u8', shape: [1], data: new Uint8Array([5]) } });
    const { tensors } = orThrow(decodeSafetensors(bytes, ''));
    bytes.fill(0);
    expect(tensors.x?.data).toEqual(new Uint8Array([5]));
  });

  test('its records answer to no inherited name', () => {
    const { tensors, metadata } = orThrow(decodeSafetensors(encodeSafetensors({}), ''));
    for (const name of ['__proto__', 'constructor', 'toString'])
      expect([tensors[name], metadata[name]]).toEqual([undefined, undefined]);
  });

  test('takes unknown fields and white space behind the header, as the Python library does', () => {
    const header = '{"x":{"dtype":"U8","shape":[1],"more":[{"a":1},{"a":1}],"data_offsets":[0,1]}}\n\t ';
    expect(orThrow(decodeSafetensors(fileOf(header, [3]), '')).tensors.x?.data).toEqual(new Uint8Array([3]));
  });
});

test('swapBytes, which big-endian hosts need', () => {
  const bytes = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
  expect([...swapBytes(bytes, 1)]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  expect([...swapBytes(bytes, 2)]).toEqual([2, 1, 4, 3, 6, 5, 8, 7]);
  expect([...swapBytes(bytes, 4)]).toEqual([4, 3, 2, 1, 8, 7, 6, 5]);
  expect([...swapBytes(bytes, 8)]).toEqual([8, 7, 6, 5, 4, 3, 2, 1]);
});

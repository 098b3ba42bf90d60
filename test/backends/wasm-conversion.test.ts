/** Casts between all element types, and masks as bits, as the reference does them. */
import { describe, expect, it } from 'vitest';
import { f16ToNumber, numberToBf16, numberToF16 } from '../../src/spec/float16.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import {
  agree,
  agreeOnDefect,
  exports,
  fc,
  floats,
  integers,
  length,
  memory,
  rows,
  seed,
  special,
} from './wasm-kit.ts';

const numeric = ['f32', 'f16', 'bf16', 'i32', 'u8', 'f64'] as const;

/** Every pattern of 16 bits. */
const patterns = (dtype: 'f16' | 'bf16'): HostTensor => ({
  dtype,
  shape: [65536],
  data: Uint16Array.from({ length: 65536 }, (_, i) => i),
});

describe('cast', () => {
  it.each(numeric)('of any f32 to %s', async (to) => {
    await fc.assert(
      fc.asyncProperty(rows, seed, (shape, s) => agree([floats(s, shape, [64, 128])], (k, x) => k.cast(x!, to))),
      { numRuns: 100 },
    );
    await agree([{ dtype: 'f32', shape: [special.length], data: Float32Array.from(special) }], (k, x) =>
      k.cast(x!, to),
    );
  });

  it.each(numeric)('of every f16 and bf16 to %s', async (to) => {
    await agree([patterns('f16'), patterns('bf16')], (k, x, y) => [k.cast(x!, to), k.cast(y!, to)]);
  });

  it.each(numeric)('of integers to %s', async (to) => {
    await fc.assert(
      fc.asyncProperty(length, seed, (n, s) =>
        agree([integers(s, [n], -(2 ** 31), 2 ** 31), integers(s, [n], 0, 256)], (k, x, y) => [
          k.cast(x!, to),
          k.cast(k.cast(y!, 'u8'), to),
        ]),
      ),
      { numRuns: 60 },
    );
  });

  it('on both sides of every f16 and bf16, and halfway to the next', () => {
    const values = memory.create('f32', [8]);
    const bits = memory.create('f16', [8]);
    const [from, to] = [memory.pointerOf(values), memory.pointerOf(bits)];
    const check = (kernel: 'narrowF16' | 'narrowBf16', pattern: number, spec: (x: number) => number): void => {
      const numbers = new Float32Array(memory.bytes().buffer, from, 8);
      const words = new Uint32Array(memory.bytes().buffer, from, 8);
      words.set([-2, -1, 0, 1, 2, 3, -3, 4].map((step) => (pattern + step) >>> 0));
      exports[kernel](0, 8, from, to);
      const actual = Array.from(new Uint16Array(memory.bytes().buffer, to, 8));
      if (actual.some((x, i) => x !== spec(numbers[i]!))) expect(actual).toEqual(Array.from(numbers, spec));
    };
    const pattern = new Uint32Array(1);
    const number = new Float32Array(pattern.buffer);
    for (let i = 0; i < 65536; i++) {
      number[0] = f16ToNumber(i);
      check('narrowF16', pattern[0]!, numberToF16);
      check('narrowF16', pattern[0]! + 0x1000, numberToF16);
      check('narrowBf16', i * 65536, numberToBf16);
      check('narrowBf16', i * 65536 + 0x8000, numberToBf16);
    }
  });

  it('has the reference’s defect for i64', () => {
    const longs: HostTensor = { dtype: 'i64', shape: [1], data: BigInt64Array.of(1n) };
    agreeOnDefect([longs], (k, x) => k.cast(x!, 'f32'));
    agreeOnDefect([floats(1, [1])], (k, x) => k.cast(x!, 'i64'));
  });
});

describe('the host', () => {
  it('gets back what it gave, f64 rounded', async () => {
    const f64: HostTensor = { dtype: 'f64', shape: [3], data: Float64Array.of(0.1, 1e-50, -1e300) };
    const longs: HostTensor = { dtype: 'i64', shape: [2], data: BigInt64Array.of(-1n, 2n ** 62n) };
    await agree([f64, longs, floats(1, []), patterns('f16'), integers(1, [0], 0, 1)], (_, ...x) => x);
  });

  it('has the reference’s defect for a wrong number of elements', () => {
    agreeOnDefect([], (k) => k.fromHost({ dtype: 'f32', shape: [3], data: Float32Array.of(1) }));
  });
});

describe('masks', () => {
  it('pack and unpack', async () => {
    await fc.assert(
      fc.asyncProperty(rows, seed, (shape, s) =>
        agree([floats(s, shape, [160, 0])], (k, x) => {
          const bits = k.packMask(x!);
          return [bits, k.unpackMask(bits, shape)];
        }),
      ),
      { numRuns: 150 },
    );
  });
});

/** exp, log, tanh and erf in SIMD lanes have the bits of the specification's f32 functions. */
import { describe, expect, it } from 'vitest';
import { elementary32 } from '../../src/spec/elementary/index.ts';
import { exports, f32OfBits, memory, special } from './wasm-kit.ts';

const BLOCK = 1 << 15;
const input = memory.create('f32', [BLOCK]);
const output = memory.create('f32', [BLOCK]);
const [from, to] = [memory.pointerOf(input), memory.pointerOf(output)];

/** The first number of a block at which kernel and specification differ, or null. */
const firstDifference = (name: 'exp' | 'log' | 'tanh' | 'erf', numbers: Float32Array): number | null => {
  new Float32Array(memory.bytes().buffer, from, numbers.length).set(numbers);
  exports[name](0, numbers.length, from, to);
  const actual = new Float32Array(memory.bytes().buffer, to, numbers.length);
  const index = numbers.findIndex((x, i) => !Object.is(actual[i], elementary32[name](x)));
  return index < 0 ? null : numbers[index]!;
};

describe.each(['exp', 'log', 'tanh', 'erf'] as const)('%s', (name) => {
  it('every 2111th pattern of bits', () => {
    for (let start = 0; start < 2 ** 32; start += BLOCK * 2111) {
      const count = Math.min(BLOCK, Math.ceil((2 ** 32 - start) / 2111));
      const numbers = Float32Array.from({ length: count }, (_, i) => f32OfBits(start + i * 2111));
      expect(firstDifference(name, numbers)).toBeNull();
    }
  });

  it('special numbers, at every place of an array of any length', () => {
    for (let count = 1; count <= special.length; count++) {
      expect(firstDifference(name, Float32Array.from(special.slice(-count)))).toBeNull();
    }
  });

  it('where its formulas meet', () => {
    const borders = [-104, 89, 0.625, 0.875, 4, Math.SQRT2, Math.SQRT1_2, 1, 2 ** -126, 87.33, 88.72, -87.33, -103.97];
    const around = borders.flatMap((x) => {
      const pattern = new Uint32Array(Float32Array.of(x).buffer)[0]!;
      return Array.from({ length: 400 }, (_, i) => f32OfBits((pattern + i - 200) >>> 0));
    });
    expect(firstDifference(name, Float32Array.from([...around, ...around.map((x) => -x)]))).toBeNull();
  });
});

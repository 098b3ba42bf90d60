/** Sums and maxima have the reference's bits: its order of adding, its NaN and its signed zeros. */
import { describe, it } from 'vitest';
import { agree, fc, floats, length, mix, rows, seed } from './wasm-kit.ts';

describe('over the last axis', () => {
  it.each(['sumLast', 'maxLast', 'argmaxLast'] as const)('%s', async (name) => {
    await fc.assert(
      fc.asyncProperty(rows, seed, mix, (shape, s, m) => agree([floats(s, shape, m)], (k, x) => k[name](x!))),
      { numRuns: 150 },
    );
  });

  it.each(['sumLast', 'maxLast', 'argmaxLast'] as const)('%s of a scalar, and of empty rows', async (name) => {
    await agree([floats(1, []), floats(2, [3, 0])], (k, x, y) => [k[name](x!), k[name](y!)]);
  });

  it('the first of several maxima, +0 and −0 being equal', async () => {
    const few = fc.array(fc.constantFrom(0, -0, -1, Number.NaN, Number.NEGATIVE_INFINITY), {
      minLength: 1,
      maxLength: 9,
    });
    await fc.assert(
      fc.asyncProperty(few, (values) =>
        agree([{ dtype: 'f32', shape: [values.length], data: Float32Array.from(values) }], (k, x) => [
          k.maxLast(x!),
          k.argmaxLast(x!),
        ]),
      ),
      { numRuns: 200 },
    );
  });
});

describe('over the first axis', () => {
  it('sumFirst', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 11 }), length, seed, mix, (n, k, s, m) =>
        agree([floats(s, [n, k], m), floats(s, [n], m), floats(s, [n, 2, k], m)], (o, x, y, z) => [
          o.sumFirst(x!),
          o.sumFirst(y!),
          o.sumFirst(z!),
        ]),
      ),
      { numRuns: 60 },
    );
  });

  it('sumFirst of wide rows, and of a scalar', async () => {
    await agree([floats(1, [6, 2050]), floats(2, [])], (k, x, y) => [k.sumFirst(x!), k.sumFirst(y!)]);
  });
});

/** Element-wise operations over broadcast shapes have the reference's bits. */
import { describe, expect, it } from 'vitest';
import { axesOf } from '../../backends/wasm/broadcast.ts';
import type { Shape } from '../../src/spec/tensor.ts';
import { agree, agreeOnDefect, fc, floats, length, mix, rows, seed, shortLength } from './wasm-kit.ts';

const operations = ['add', 'sub', 'mul', 'div', 'max', 'greater'] as const;
const functions = ['neg', 'sqrt', 'exp', 'log', 'tanh', 'erf'] as const;

/** Two or three shapes that broadcast together: each axis is stretched or not, and leading axes may be absent. */
const together = (count: number): fc.Arbitrary<readonly Shape[]> =>
  fc.array(shortLength, { maxLength: 4 }).chain((shape) =>
    fc.array(
      fc
        .tuple(fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }), fc.nat(shape.length))
        .map(([stretched, absent]) => shape.map((d, i) => (stretched[i] ? 1 : d)).slice(absent)),
      { minLength: count, maxLength: count },
    ),
  );

/** The forms that have loops of their own: equal shapes, a row, a column, a scalar tensor. */
const common: fc.Arbitrary<readonly Shape[]> = fc
  .tuple(shortLength, length)
  .chain(([n, k]) => fc.shuffledSubarray([[n, k], [n, k], [k], [n, 1], []] as Shape[], { minLength: 2, maxLength: 2 }));

describe('two operands', () => {
  it.each(operations)('%s, in the common forms', async (name) => {
    await fc.assert(
      fc.asyncProperty(common, seed, mix, ([a, b], s, m) =>
        agree([floats(s, a!, m), floats(s + 1, b!, m)], (k, x, y) => k[name](x!, y!)),
      ),
      { numRuns: 60 },
    );
  });

  it.each(operations)('%s, over any shapes', async (name) => {
    await fc.assert(
      fc.asyncProperty(together(2), seed, mix, ([a, b], s, m) =>
        agree([floats(s, a!, m), floats(s + 1, b!, m)], (k, x, y) => k[name](x!, y!)),
      ),
      { numRuns: 60 },
    );
  });

  it.each(operations)('%s, with a number', async (name) => {
    const numbers = fc.constantFrom(0, -0, 0.1, -3, 1e-60, 1e60, Number.NaN, Number.POSITIVE_INFINITY);
    await fc.assert(
      fc.asyncProperty(rows, numbers, numbers, seed, (shape, a, b, s) =>
        agree([floats(s, shape)], (k, x) => [k[name](x!, a), k[name](b, x!), k[name](a, b)]),
      ),
    );
  });

  it('has the reference’s defect where shapes do not broadcast', () => {
    agreeOnDefect([floats(1, [2, 3]), floats(2, [4])], (k, a, b) => k.add(a!, b!));
  });
});

describe('where', () => {
  it('over any shapes, tensors and numbers', async () => {
    await fc.assert(
      fc.asyncProperty(together(3), seed, ([mask, a, b], s) =>
        agree([floats(s, mask!, [128, 0]), floats(s + 1, a!), floats(s + 2, b!)], (k, m, x, y) => [
          k.where(m!, x!, y!),
          k.where(m!, x!, -0),
          k.where(m!, 0.1, y!),
          k.where(m!, 1, 2),
        ]),
      ),
      { numRuns: 60 },
    );
  });
});

describe('one operand', () => {
  it.each(functions)('%s', async (name) => {
    await fc.assert(fc.asyncProperty(rows, seed, (shape, s) => agree([floats(s, shape)], (k, x) => k[name](x!))));
  });

  it('full', async () => {
    await fc.assert(fc.asyncProperty(rows, fc.double(), (shape, value) => agree([], (k) => k.full(shape, value))));
  });
});

describe('the axes of a broadcast', () => {
  it('are as few as the strides allow', () => {
    expect(axesOf([2, 3, 4], [[2, 3, 4], []])).toEqual([{ length: 24, strides: [1, 0] }]);
    expect(axesOf([2, 3, 4], [[2, 3, 4], [4]])).toEqual([
      { length: 6, strides: [4, 0] },
      { length: 4, strides: [1, 1] },
    ]);
    expect(
      axesOf(
        [2, 3, 4],
        [
          [2, 3, 4],
          [2, 1, 1],
        ],
      ),
    ).toEqual([
      { length: 2, strides: [12, 1] },
      { length: 12, strides: [1, 0] },
    ]);
  });
});

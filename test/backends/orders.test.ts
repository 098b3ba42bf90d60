/** Sums, products, and rearrangements of the reference against their definition, in the order that `core/ops` declares. */
import { describe, expect, it } from 'vitest';
import { type Layout, outputLength, type Window } from '../../src/core/ops.ts';
import type { Shape } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { f64, host, ints, f32 as k, normal, normal32, numbersOf, type R } from '../support/tensors.ts';

const fl = Math.fround;
const tensor = (shape: Shape, values: readonly number[]): R => k.fromHost(host(shape, values));

/** Sixteen partial sums, element i to sum i mod 16; then sum j takes sum j + 8, j + 4, j + 2, j + 1: written out. */
const lanes = (x: readonly number[]): number => {
  const s = Array.from({ length: 16 }, (_, lane) => x.filter((_, i) => i % 16 === lane).reduce((a, b) => fl(a + b), 0));
  const pairs = (values: readonly number[]): number[] => {
    const half = values.length / 2;
    return values.slice(0, half).map((v, j) => fl(v + values[j + half]!));
  };
  return pairs(pairs(pairs(pairs(s))))[0]!;
};

describe('sumLast', () => {
  it('adds in the lane order', () =>
    fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 70 }), any.seed, async (width, seed) => {
        const x = normal32(seed, [3, width]);
        const rows = [0, 1, 2].map((r) => [...x.data.slice(r * width, (r + 1) * width)]);
        expect(await numbersOf(k, k.sumLast(k.fromHost(x)))).toEqual(rows.map(lanes));
      }),
    ));

  it('shows its order on values that round', async () => {
    const big = 2 ** 24;
    const at = (entries: Readonly<Record<number, number>>, length: number): R =>
      tensor(
        [length],
        Array.from({ length }, (_, i) => entries[i] ?? 0),
      );
    const sum = async (x: R): Promise<number> => (await numbersOf(k, k.sumLast(x)))[0]!;
    expect(await sum(at({ 0: big, 1: 1, 2: -big }, 3))).toBe(1);
    expect(await sum(at({ 0: big, 16: 1, 32: -big }, 33))).toBe(0);
    expect(await sum(at({ 0: big, 8: 1, 4: -big }, 16))).toBe(0);
    expect(await sum(at({ 0: big, 8: -big, 4: 1 }, 16))).toBe(1);
  });

  it('of nothing is +0, and a sum of −0 is +0', async () => {
    expect(await numbersOf(k, k.sumLast(k.full([2, 0], 1)))).toEqual([0, 0]);
    expect(await numbersOf(k, k.sumLast(tensor([2], [-0, -0])))).toEqual([0]);
  });
});

describe('sumFirst', () => {
  it('adds row after row from +0', () =>
    fc.assert(
      fc.asyncProperty(any.axis, any.axis, any.seed, async (n, width, seed) => {
        const x = normal32(seed, [n, width]);
        const expected = Array.from({ length: width }, (_, j) =>
          Array.from({ length: n }, (_, i) => x.data[i * width + j]!).reduce((a, b) => fl(a + b), 0),
        );
        expect(await numbersOf(k, k.sumFirst(k.fromHost(x)))).toEqual(expected);
      }),
    ));

  it('shows its order', async () => {
    expect(await numbersOf(k, k.sumFirst(tensor([3, 1], [2 ** 24, 1, -(2 ** 24)])))).toEqual([0]);
    expect(await numbersOf(k, k.sumFirst(tensor([3, 1], [2 ** 24, -(2 ** 24), 1])))).toEqual([1]);
  });
});

describe('matmul', () => {
  const transposed = (values: readonly number[], rows: number, columns: number): number[] =>
    Array.from({ length: columns * rows }, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);

  it.each<Layout>(['nn', 'nt', 'tn'])(
    '%s takes products in the order of k, and rounds each product and each sum',
    (layout) =>
      fc.assert(
        fc.asyncProperty(any.axis, any.axis, any.axis, any.seed, async (m, n, depth, seed) => {
          const a = [...normal32(seed, [m, depth]).data];
          const b = [...normal32(seed + 1, [depth, n]).data];
          const left = layout === 'tn' ? tensor([depth, m], transposed(a, m, depth)) : tensor([m, depth], a);
          const right = layout === 'nt' ? tensor([n, depth], transposed(b, depth, n)) : tensor([depth, n], b);
          const expected = Array.from({ length: m * n }, (_, place) => {
            const [i, j] = [Math.floor(place / n), place % n];
            let sum = 0;
            for (let t = 0; t < depth; t++) sum = fl(sum + fl(a[i * depth + t]! * b[t * n + j]!));
            return sum;
          });
          const result = k.matmul(left, right, layout);
          expect(result.shape).toEqual([m, n]);
          expect(await numbersOf(k, result)).toEqual(expected);
        }),
      ),
  );

  it('never fuses a product with its sum', async () => {
    const x = fl(1 + 2 ** -12);
    const [value] = await numbersOf(k, k.matmul(tensor([1, 2], [-fl(x * x), x]), tensor([2, 1], [1, x]), 'nn'));
    expect(value).toBe(0);
  });

  it('multiplies batches one by one, and one matrix with every batch', async () => {
    const a = k.fromHost(normal(1, [2, 3, 4]));
    const b = k.fromHost(normal(2, [2, 4, 5]));
    const one = k.fromHost(normal(3, [4, 5]));
    const batch = (x: R, i: number): R => k.reshape(k.gather(x, k.fromHost(ints([1], [i])), 0), x.shape.slice(1));
    for (const i of [0, 1]) {
      const both = batch(k.matmul(a, b, 'nn'), i);
      expect(await numbersOf(k, both)).toEqual(await numbersOf(k, k.matmul(batch(a, i), batch(b, i), 'nn')));
      const shared = batch(k.matmul(a, one, 'nn'), i);
      expect(await numbersOf(k, shared)).toEqual(await numbersOf(k, k.matmul(batch(a, i), one, 'nn')));
    }
  });

  it('over nothing is +0; NaN and ∞·0 are NaN', async () => {
    expect(await numbersOf(k, k.matmul(k.full([1, 0], 1), k.full([0, 2], 1), 'nn'))).toEqual([0, 0]);
    expect(
      await numbersOf(k, k.matmul(tensor([1, 2], [Number.POSITIVE_INFINITY, 1]), tensor([2, 1], [0, 1]), 'nn')),
    ).toEqual([Number.NaN]);
    expect(await numbersOf(k, k.matmul(tensor([1, 1], [-0]), tensor([1, 1], [1]), 'nn'))).toEqual([0]);
  });

  it('of operands that do not fit is a defect', () => {
    expect(() => k.matmul(k.full([2, 3], 0), k.full([2, 3], 0), 'nn')).toThrow(
      'matmul nn: f32[2, 3] and f32[2, 3] do not fit',
    );
    expect(() => k.matmul(k.full([2, 2, 3], 0), k.full([3, 3, 3], 0), 'nn')).toThrow('batch axes');
  });
});

describe('maxLast and argmaxLast', () => {
  it('give the maximum and its first position; a NaN counts as the largest', async () => {
    const x = tensor([5, 3], [1, 3, 3, -0, 0, -0, 2, Number.NaN, 5, -Infinity, -Infinity, -Infinity, 7, 1, 7]);
    expect(await numbersOf(k, k.maxLast(x))).toEqual([3, 0, Number.NaN, -Infinity, 7]);
    const position = k.argmaxLast(x);
    expect(position.dtype).toBe('i32');
    expect(await numbersOf(k, position)).toEqual([1, 0, 1, 0, 0]);
    for (const backend of [k, f64])
      expect(await numbersOf(backend, backend.maxLast(backend.full([1, 0], 0)))).toEqual([-Infinity]);
  });
});

describe('rearranging', () => {
  it('transpose: axis i of the result is axis order[i] of x', () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom([0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]),
        fc.tuple(any.axis, any.axis, any.axis),
        async (order, shape) => {
          const size = shape[0] * shape[1] * shape[2];
          const result = k.transpose(
            tensor(
              shape,
              Array.from({ length: size }, (_, i) => i),
            ),
            order,
          );
          expect(result.shape).toEqual(order.map((axis) => shape[axis]));
          const [, b, c] = result.shape as [number, number, number];
          const expected = Array.from({ length: size }, (_, i) => {
            const place = [Math.floor(i / (b * c)), Math.floor(i / c) % b, i % c];
            const source = [0, 0, 0];
            order.forEach((axis, at) => {
              source[axis] = place[at]!;
            });
            return (source[0]! * shape[1] + source[1]!) * shape[2] + source[2]!;
          });
          expect(await numbersOf(k, result)).toEqual(expected);
        },
      ),
    ));

  it('oneHot is 1 at the index, and a row of zeros outside', async () => {
    const result = k.oneHot(k.fromHost(ints([2, 2], [0, 2, -100, 3])), 3);
    expect(result.shape).toEqual([2, 2, 3]);
    expect(await numbersOf(k, result)).toEqual([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  });

  it('reshape fills in −1, and refuses what does not fit', () => {
    expect(k.reshape(k.full([2, 6], 0), [3, -1]).shape).toEqual([3, 4]);
    expect(k.reshape(k.full([0, 6], 0), [0, -1]).shape).toEqual([0, 0]);
    expect(() => k.reshape(k.full([2, 6], 0), [5, -1])).toThrow('reshape of f32[2, 6] to [5,-1]');
  });

  it('gather and scatterAdd refuse an index outside', () => {
    const outside = k.fromHost(ints([1], [3]));
    expect(() => k.gather(k.full([3], 0), outside, 0)).toThrow('index 3 outside 0 … 2');
    expect(() => k.scatterAdd(k.full([3], 0), outside, 0, k.full([1], 0))).toThrow('index 3 outside 0 … 2');
    expect(() => k.gather(k.full([3], 0), k.fromHost(ints([1], [-1])), 0)).toThrow('index -1 outside');
    expect(() => k.scatterAdd(k.full([3], 0), outside, 0, k.full([2], 0))).toThrow('scatterAdd of f32[2] into f32[3]');
  });
});

describe('unfold and fold', () => {
  const windows = any.anyConvolution.map((c) => ({ c, window: c as Window }));

  it('unfold puts pixel (i·s − p + k·d) of each channel under each place of the window', () =>
    fc.assert(
      fc.asyncProperty(windows, any.seed, async ({ c, window }, seed) => {
        const image = normal32(seed, [2, c.in, c.height, c.width]);
        const [oh, ow] = [outputLength(c.height, window, 0), outputLength(c.width, window, 1)];
        const expected: number[] = [];
        for (let channel = 0; channel < c.in; channel++)
          for (let ki = 0; ki < window.kernel[0]; ki++)
            for (let kj = 0; kj < window.kernel[1]; kj++)
              for (let n = 0; n < 2; n++)
                for (let i = 0; i < oh; i++)
                  for (let j = 0; j < ow; j++) {
                    const row = i * window.stride[0] - window.padding[0] + ki * window.dilation[0];
                    const column = j * window.stride[1] - window.padding[1] + kj * window.dilation[1];
                    const inside = row >= 0 && row < c.height && column >= 0 && column < c.width;
                    expected.push(
                      inside ? image.data[((n * c.in + channel) * c.height + row) * c.width + column]! : -9,
                    );
                  }
        const result = k.unfold(k.fromHost(image), window, -9);
        expect(result.shape).toEqual([c.in, window.kernel[0] * window.kernel[1], 2 * oh * ow]);
        expect(await numbersOf(k, result)).toEqual(expected);
      }),
    ));

  it('fold adds window offset after window offset', async () => {
    const padded: Window = { kernel: [1, 3], stride: [1, 1], padding: [0, 1], dilation: [1, 1] };
    expect(await numbersOf(k, k.fold(tensor([1, 3, 1], [5, 7, 9]), padded, [1, 1, 1, 1]))).toEqual([7]);
    const overlapping: Window = { ...padded, padding: [0, 0], kernel: [1, 2] };
    const sums = k.fold(tensor([1, 2, 2], [2 ** 24, 1, -(2 ** 24), 3]), overlapping, [1, 1, 1, 3]);
    expect(await numbersOf(k, sums)).toEqual([2 ** 24, fl(1 - 2 ** 24), 3]);
    expect(() => k.fold(tensor([1, 2, 2], [1, 2, 3, 4]), overlapping, [1, 1, 1, 4])).toThrow('fold of');
  });
});

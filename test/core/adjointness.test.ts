/**
 * Every linear forward and backward pair: ⟨f(x), y⟩ = ⟨x, fᵀ(y)⟩, and f is linear. The numbers are small integers, on which
 * f64 rounds nothing and f32 neither, so the equality is exact: there is no tolerance to hide an index that is wrong.
 */
import { describe, expect, it } from 'vitest';
import { adjoint, linearMap } from '../../src/core/laws.ts';
import type { Window } from '../../src/core/ops.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { geometryOf, imageSize } from '../../src/layers/conv2d.ts';
import { dropout } from '../../src/layers/dropout.ts';
import { type Shape, sizeOf } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { f32, f64, ints, type K, labels, type R, whole } from '../support/tensors.ts';

/** A linear map and its transpose, the shapes of x and y, and what their values are multiples of. */
interface LinearPair {
  readonly f: (x: R) => R;
  readonly transposed: (y: R) => R;
  readonly x: Shape;
  readonly y: Shape;
  readonly unit?: number;
}

type Pairs = (k: K) => fc.Arbitrary<LinearPair>;

const sizes = fc.record({ n: any.axis, in: any.axis, out: any.axis, seed: any.seed });
const windows = any.anyConvolution.map((c): { window: Window; image: Shape; c: typeof c } => ({
  window: { kernel: c.kernel, stride: c.stride, padding: c.padding, dilation: c.dilation },
  image: [2, c.in, c.height, c.width],
  c,
}));

const pairs: Readonly<Record<string, Pairs>> = {
  'linear in x': (k) =>
    sizes.map((s) => {
      const w = k.fromHost(whole(s.seed, [s.out, s.in]));
      return {
        f: (x) => k.linear.forward(x, w, null),
        transposed: (y) => k.linear.inputGradient(y, w),
        x: [s.n, 2, s.in],
        y: [s.n, 2, s.out],
      };
    }),
  'linear in W': (k) =>
    sizes.map((s) => {
      const x = k.fromHost(whole(s.seed, [s.n, s.in]));
      return {
        f: (w) => k.linear.forward(x, w, null),
        transposed: (y) => k.linear.weightGradient(y, x),
        x: [s.out, s.in],
        y: [s.n, s.out],
      };
    }),
  'linear in b': (k) =>
    sizes.map((s) => ({
      f: (b) => k.add(k.full([s.n, s.out], 0), b),
      transposed: k.linear.biasGradient,
      x: [s.out],
      y: [s.n, s.out],
    })),
  'paca linear in δ': (k) =>
    fc
      .tuple(sizes, fc.constantFrom(0.5, 1, 2))
      .chain(([s, scale]) => any.indexSet(s.in).map((indices) => ({ s, scale, indices })))
      .map(({ s, scale, indices }) => {
        const x = k.fromHost(whole(s.seed, [s.n, s.in]));
        const chosen = k.fromHost(ints([indices.length], indices));
        const zero = k.full([s.out, s.in], 0);
        return {
          f: (delta) => k.pacaLinear.forward(x, zero, null, [{ indices: chosen, delta, scale }]),
          transposed: (y) => k.pacaLinear.deltaGradient(y, k.gather(x, chosen, 1), scale),
          x: [s.out, indices.length],
          y: [s.n, s.out],
          unit: 2,
        };
      }),
  'conv2d in x': (k) =>
    fc.tuple(any.anyConvolution, any.seed).map(([c, seed]) => {
      const w = k.fromHost(whole(seed, [c.out, c.in / c.groups, ...c.kernel]));
      return {
        f: (x) => k.conv2d.forward(x, w, null, geometryOf(c)),
        transposed: (y) => k.conv2d.inputGradient(y, w, geometryOf(c), c.height, c.width),
        x: [2, c.in, c.height, c.width],
        y: [2, c.out, ...imageSize(c)],
      };
    }),
  'conv2d in W': (k) =>
    fc.tuple(any.anyConvolution, any.seed).map(([c, seed]) => {
      const x = k.fromHost(whole(seed, [2, c.in, c.height, c.width]));
      return {
        f: (w) => k.conv2d.forward(x, w, null, geometryOf(c)),
        transposed: (y) => k.conv2d.weightGradient(y, x, geometryOf(c)),
        x: [c.out, c.in / c.groups, ...c.kernel],
        y: [2, c.out, ...imageSize(c)],
      };
    }),
  'conv2d in b': (k) =>
    any.anyConvolution.map((c) => ({
      f: (b) => k.add(k.full([2, c.out, ...imageSize(c)], 0), k.reshape(b, [c.out, 1, 1])),
      transposed: k.conv2d.biasGradient,
      x: [c.out],
      y: [2, c.out, ...imageSize(c)],
    })),
  'unfold and fold': (k) =>
    windows.map(({ window, image, c }) => ({
      f: (x) => k.unfold(x, window, 0),
      transposed: (y) => k.fold(y, window, image),
      x: image,
      y: [c.in, c.kernel[0] * c.kernel[1], 2 * sizeOf(imageSize(c))],
    })),
  'average pool': (k) =>
    windows.map(({ window, image, c }) => ({
      f: (x) => k.averagePool.forward(x, window),
      transposed: (y) => k.averagePool.backward(y, window, c.height, c.width),
      x: image,
      y: [2, c.in, ...imageSize(c)],
      unit: c.kernel[0] * c.kernel[1],
    })),
  'gather and scatterAdd': (k) =>
    fc.tuple(sizes, fc.array(fc.nat(20), { minLength: 1, maxLength: 5 })).map(([s, draws]) => {
      const chosen = k.fromHost(
        ints(
          [draws.length],
          draws.map((d) => d % s.in),
        ),
      );
      return {
        f: (x) => k.gather(x, chosen, 1),
        transposed: (y) => k.scatterAdd(k.full([s.n, s.in, s.out], 0), chosen, 1, y),
        x: [s.n, s.in, s.out],
        y: [s.n, draws.length, s.out],
      };
    }),
  'embedding in its table': (k) =>
    sizes.map((s) => {
      const ids = k.fromHost(labels(s.seed, [s.n, 2], s.in));
      return {
        f: (table) => k.embedding.forward(ids, table),
        transposed: (y) => k.embedding.weightGradient(y, ids, s.in),
        x: [s.in, s.out],
        y: [s.n, 2, s.out],
      };
    }),
  reshape: (k) =>
    sizes.map((s) => ({
      f: (x) => k.reshape(x, [s.in, -1]),
      transposed: (y) => k.reshape(y, [s.n, s.in, s.out]),
      x: [s.n, s.in, s.out],
      y: [s.in, s.n * s.out],
    })),
  transpose: (k) =>
    sizes.map((s) => ({
      f: (x) => k.transpose(x, [2, 0, 1]),
      transposed: (y) => k.transpose(y, [1, 2, 0]),
      x: [s.n, s.in, s.out],
      y: [s.out, s.n, s.in],
    })),
  'the sum over the last axis': (k) =>
    sizes.map((s) => ({
      f: k.sumLast,
      transposed: (y) => k.mul(k.reshape(y, [s.n, 1]), k.full([s.n, s.in], 1)),
      x: [s.n, s.in],
      y: [s.n],
    })),
  'the sum over the first axis': (k) =>
    sizes.map((s) => ({
      f: k.sumFirst,
      transposed: (y) => k.mul(y, k.full([s.n, s.in, s.out], 1)),
      x: [s.n, s.in, s.out],
      y: [s.in, s.out],
    })),
  dropout: (k) =>
    sizes.map((s) => {
      const layer = dropout(k, { rate: 0.5, rng: rngFromSeed(s.seed) });
      const none = {};
      return {
        f: (x) => layer.forward(none, x)[0],
        transposed: (y) => layer.backward(none, none, y)[1],
        x: [s.n, s.in],
        y: [s.n, s.in],
      };
    }),
};

describe.each([
  ['f32', f32],
  ['f64', f64],
])('%s', (_, k) => {
  it.each(Object.entries(pairs))('%s', (_, pair) =>
    fc.assert(
      fc.asyncProperty(pair(k), any.seed, async ({ f, transposed, x, y, unit = 1 }, seed) => {
        const draw = (offset: number, shape: Shape): R => k.fromHost(whole(seed + offset, shape, 4, unit));
        expect(await adjoint(k, f, transposed, draw(0, x), draw(1, y))).toBe(true);
        expect(await linearMap(k, f, draw(2, x), draw(3, x))).toBe(true);
        expect(await linearMap(k, transposed, draw(4, y), draw(5, y))).toBe(true);
      }),
    ),
  );
});

/**
 * Two-dimensional cross-correlation, as deep learning calls a convolution, and its derivative.
 *
 * Shapes: x `[n, in, h, w]`, weight `[out, in/groups, kh, kw]`, bias `[out]`, y and dy `[n, out, oh, ow]`.
 * Output channel block g reads input channel block g. With columns U = unfold(x), seen as `[groups, in/groups·kh·kw,
 * n·oh·ow]`, it is one product for each group: Y = W U, ∂W = dY Uᵀ, ∂U = Wᵀ dY.
 */
import type { Spec } from '../../spec/tensor.ts';
import { type Ops, outputLength, type Window } from '../ops.ts';
import { widen } from './widen.ts';

export interface ConvGeometry extends Window {
  readonly groups: number;
}

export interface Conv2dKernels<T> {
  readonly forward: (x: T, weight: T, bias: T | null, geometry: ConvGeometry) => T;
  /** ∂x, for an input of `height` × `width`. */
  readonly inputGradient: (dy: T, weight: T, geometry: ConvGeometry, height: number, width: number) => T;
  /** ∂W `[out, in/groups, kh, kw]`, summed over images, then rows, then columns, in order. */
  readonly weightGradient: (dy: T, x: T, geometry: ConvGeometry) => T;
  /** ∂b `[out]`, in the lane order over images and places. */
  readonly biasGradient: (dy: T) => T;
}

/** `[n, c, h, w]` → `[c, n·h·w]`. */
const channelRows = <T extends Spec>(o: Ops<T>, x: T): T => {
  const [, channels = 0] = x.shape;
  return o.reshape(o.transpose(x, [1, 0, 2, 3]), [channels, -1]);
};

/** A matrix `[c, m]` as one block for each group: `[groups, c/groups, m]`. */
const byGroup = <T extends Spec>(o: Ops<T>, x: T, groups: number): T => {
  const [channels = 0] = x.shape;
  return o.reshape(x, [groups, channels / groups, -1]);
};

/** The columns U of x: `[groups, in/groups·kh·kw, n·oh·ow]`. */
const patches = <T extends Spec>(o: Ops<T>, x: T, { groups, ...window }: ConvGeometry): T => {
  const columns = o.unfold(x, window, 0);
  const [channels = 0, area = 0, places = 0] = columns.shape;
  return o.reshape(columns, [groups, (channels / groups) * area, places]);
};

export const conv2d = <T extends Spec>(o: Ops<T>): Conv2dKernels<T> => ({
  forward: (x, weight, bias, geometry) => {
    const [n = 0, , h = 0, w = 0] = x.shape;
    const [out = 0] = weight.shape;
    const product = o.matmul(byGroup(o, widen(o, weight), geometry.groups), patches(o, x, geometry), 'nn');
    const rows = o.reshape(product, [out, -1]);
    const biased = bias === null ? rows : o.add(rows, o.reshape(bias, [out, 1]));
    const size = [outputLength(h, geometry, 0), outputLength(w, geometry, 1)];
    return o.transpose(o.reshape(biased, [out, n, ...size]), [1, 0, 2, 3]);
  },
  inputGradient: (dy, weight, geometry, height, width) => {
    const { groups, ...window } = geometry;
    const [n = 0] = dy.shape;
    const [, perGroup = 0, kh = 0, kw = 0] = weight.shape;
    const rows = byGroup(o, channelRows(o, dy), groups);
    const columns = o.matmul(byGroup(o, widen(o, weight), groups), rows, 'tn');
    const channels = groups * perGroup;
    return o.fold(o.reshape(columns, [channels, kh * kw, -1]), window, [n, channels, height, width]);
  },
  weightGradient: (dy, x, geometry) => {
    const [, out = 0] = dy.shape;
    const [, channels = 0] = x.shape;
    const rows = byGroup(o, channelRows(o, dy), geometry.groups);
    const product = o.matmul(rows, patches(o, x, geometry), 'nt');
    return o.reshape(product, [out, channels / geometry.groups, ...geometry.kernel]);
  },
  biasGradient: (dy) => o.sumLast(channelRows(o, dy)),
});

/**
 * The convolution with partial connections: I selects input channels, within each group alike; of a depthwise
 * convolution, its channels. W̃ and ∂δ are those of the linear map (`paca-linear.ts`), with channels in place of columns:
 *
 *   y = conv(x, W̃) + b,   ∂δ = fl(s · the weight gradient of the convolution on the selected channels of x)
 *
 * Shapes: x `[n, in, h, w]`, weight `[out, in/groups, kh, kw]`, delta `[out, r, kh, kw]`, selected `[n, groups·r, h, w]`; of
 * a depthwise convolution with m outputs a channel delta `[r·m, 1, kh, kw]`, selected `[n, r, h, w]`.
 */
import type { Shape, Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { type ConvGeometry, conv2d } from './conv2d.ts';
import { type Connections, pacaWeight } from './paca-linear.ts';

export interface PacaConv2dKernels<T> {
  readonly forward: (
    x: T,
    weight: T,
    bias: T | null,
    connections: readonly Connections<T>[],
    geometry: ConvGeometry,
  ) => T;
  readonly inputGradient: (
    dy: T,
    weight: T,
    connections: readonly Connections<T>[],
    geometry: ConvGeometry,
    height: number,
    width: number,
  ) => T;
  /** The channels of x that ∂δ reads: all that PaCA keeps. */
  readonly select: (x: T, indices: T, weight: Spec, geometry: ConvGeometry) => T;
  readonly deltaGradient: (dy: T, selected: T, indices: T, scale: number, weight: Spec, geometry: ConvGeometry) => T;
}

/** Whether each group is one input channel. */
const isDepthwiseWeight = ({ shape: [, perGroup] }: Spec, { groups }: ConvGeometry): boolean =>
  groups > 1 && perGroup === 1;

/** The weight with its selectable channels on one axis: `[groups, m·kh·kw]`, 0 or `[out, in/groups, kh·kw]`, 1. */
const channelView = (weight: Spec, geometry: ConvGeometry): readonly [shape: Shape, axis: 0 | 1] => {
  const [out = 0, perGroup = 0, kh = 0, kw = 0] = weight.shape;
  return isDepthwiseWeight(weight, geometry)
    ? [[geometry.groups, (out / geometry.groups) * kh * kw], 0]
    : [[out, perGroup, kh * kw], 1];
};

const convolutionWeight = <T extends Spec>(
  o: Ops<T>,
  weight: T,
  connections: readonly Connections<T>[],
  geometry: ConvGeometry,
): T => {
  const [view, axis] = channelView(weight, geometry);
  const inView = connections.map(({ indices, delta, scale }) => {
    const shape = view.map((d, i) => (i === axis ? (indices.shape[0] ?? 0) : d));
    return { indices, scale, delta: o.reshape(delta, shape) };
  });
  return o.reshape(pacaWeight(o, o.reshape(weight, view), inView, axis), weight.shape);
};

/** `[n, c, h, w]` → the channels `indices` of each of `groups` blocks, or whole blocks if depthwise. */
const channels = <T extends Spec>(o: Ops<T>, x: T, indices: T, groups: number, depthwise: boolean): T => {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  const picked = o.gather(o.reshape(x, [n, groups, c / groups, h, w]), indices, depthwise ? 1 : 2);
  const [, blocks = 0, each = 0] = picked.shape;
  return o.reshape(picked, [n, blocks * each, h, w]);
};

export const pacaConv2d = <T extends Spec>(o: Ops<T>): PacaConv2dKernels<T> => {
  const plain = conv2d(o);
  return {
    forward: (x, weight, bias, connections, geometry) =>
      plain.forward(x, convolutionWeight(o, weight, connections, geometry), bias, geometry),
    inputGradient: (dy, weight, connections, geometry, height, width) =>
      plain.inputGradient(dy, convolutionWeight(o, weight, connections, geometry), geometry, height, width),
    select: (x, indices, weight, geometry) =>
      channels(o, x, indices, geometry.groups, isDepthwiseWeight(weight, geometry)),
    deltaGradient: (dy, selected, indices, scale, weight, geometry) => {
      const depthwise = isDepthwiseWeight(weight, geometry);
      const rows = depthwise ? channels(o, dy, indices, geometry.groups, true) : dy;
      const groups = depthwise ? (indices.shape[0] ?? 0) : geometry.groups;
      return o.mul(plain.weightGradient(rows, selected, { ...geometry, groups }), scale);
    },
  };
};

/**
 * Two-dimensional convolution with stride, padding, dilation and groups (depthwise: groups = in). Trained in full it
 * keeps its whole input; frozen it keeps nothing.
 * Shapes: x `[n, in, h, w]`, weight `[out, in/groups, kh, kw]`, bias `[out]`, y `[n, out, oh, ow]`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { ConvGeometry } from '../core/derived/conv2d.ts';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { outputLength } from '../core/ops.ts';
import type { None, SlotTree } from '../core/tree.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type Slot, type Spec, showSpec } from '../spec/tensor.ts';
import { checkImages, fresh } from './checks.ts';
import type { Affine, InputResidual } from './linear.ts';
import { type Formulas, frozen, keepingNothing, trained } from './parametric.ts';

export interface Conv2dConfig extends ConvGeometry {
  readonly in: number;
  readonly out: number;
  /** Height and width of the input image: the input gradient needs them, and the weight does not tell. */
  readonly height: number;
  readonly width: number;
}

/** Stride 1, no padding, no dilation, one group; what is given wins. */
export const convolution = (
  size: Pick<Conv2dConfig, 'in' | 'out' | 'height' | 'width' | 'kernel'>,
  geometry: Partial<ConvGeometry> = {},
): Conv2dConfig => ({ stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1, ...size, ...geometry });

export const geometryOf = ({ kernel, stride, padding, dilation, groups }: Conv2dConfig): ConvGeometry => ({
  kernel,
  stride,
  padding,
  dilation,
  groups,
});

/** Height and width of the output image. */
export const imageSize = (config: Conv2dConfig): readonly [number, number] => [
  outputLength(config.height, config, 0),
  outputLength(config.width, config, 1),
];

const checkGeometry = (config: Conv2dConfig, x: Slot): Result<Slot> => {
  const { in: channels, out, groups, height, width } = config;
  if (channels % groups !== 0 || out % groups !== 0) {
    return fail('ShapeError', `groups that divide ${channels} and ${out} channels`, `${groups} groups`, 'conv2d');
  }
  const steps = [...config.kernel, ...config.stride, ...config.dilation, groups];
  if (
    !steps.every((d) => Number.isInteger(d) && d >= 1) ||
    !config.padding.every((d) => Number.isInteger(d) && d >= 0)
  ) {
    const came = JSON.stringify(geometryOf(config));
    return fail('ShapeError', 'whole kernel, stride, dilation and groups from 1, padding from 0', came, 'conv2d');
  }
  const [oh, ow] = imageSize(config);
  if (oh < 1 || ow < 1) {
    return fail('ShapeError', `a kernel within the padded image ${height}×${width}`, `${config.kernel}`, 'conv2d');
  }
  return x.shape[2] === height && x.shape[3] === width
    ? E.right(x)
    : fail('ShapeError', `images of ${height}×${width}`, showSpec(x), 'conv2d');
};

/** The output of a convolution, of whatever method. */
export const conv2dOutput =
  (config: Conv2dConfig) =>
  (x: SlotTree): Result<SlotTree> =>
    pipe(
      checkImages(x, config.in, 'conv2d'),
      E.chain((s) => checkGeometry(config, s)),
      E.map((s) => fresh(s, 'conv2d', [s.shape[0] ?? 0, config.out, ...imageSize(config)])),
    );

const inputGradient =
  <T extends Spec>(k: Kernels<T>, config: Conv2dConfig) =>
  ({ weight }: Affine<T>, dy: T): T =>
    k.conv2d.inputGradient(dy, weight, geometryOf(config), config.height, config.width);

const formulas = <T extends Spec>(k: Kernels<T>, config: Conv2dConfig): Formulas<T, Affine<T>, InputResidual<T>> => ({
  forward: ({ weight, bias }, x) => [k.conv2d.forward(x, weight, bias ?? null, geometryOf(config)), { x }],
  inputGradient: (p, _, dy) => inputGradient(k, config)(p, dy),
  gradient: ({ bias }, { x }, dy) => ({
    weight: k.conv2d.weightGradient(dy, x, geometryOf(config)),
    ...(bias && { bias: k.conv2d.biasGradient(dy) }),
  }),
  output: conv2dOutput(config),
  residual: (x) => ({ x }),
});

export const conv2d = <T extends Spec>(
  k: Kernels<T>,
  config: Conv2dConfig,
): Layer<Affine<T>, Affine<T>, T, T, InputResidual<T>> => trained(formulas(k, config));

export const frozenConv2d = <T extends Spec>(k: Kernels<T>, config: Conv2dConfig): Layer<Affine<T>, None, T, T, None> =>
  frozen(keepingNothing(formulas(k, config), inputGradient(k, config)));

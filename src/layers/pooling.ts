/**
 * Pooling layers: x `[n, c, h, w]` → y `[n, c, oh, ow]`. The maximum keeps where it was found, the average nothing.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import { outputLength, type Window } from '../core/ops.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import { fail, type Result } from '../spec/errors.ts';
import { freshSlot, type Slot, type Spec, showSpec } from '../spec/tensor.ts';
import { type Pointwise, untrained } from './activations.ts';
import { checkImages, fresh } from './checks.ts';

/** A pooling window over images of `height` × `width`. */
export interface PoolingConfig extends Window {
  readonly height: number;
  readonly width: number;
}

/** Windows of `size` × `size` side by side, without padding. */
export const pooling = (size: number, height: number, width: number): PoolingConfig => ({
  kernel: [size, size],
  stride: [size, size],
  padding: [0, 0],
  dilation: [1, 1],
  height,
  width,
});

const places = (config: PoolingConfig): readonly [number, number] => [
  outputLength(config.height, config, 0),
  outputLength(config.width, config, 1),
];

const check = (config: PoolingConfig, s: Slot, name: string): Result<Slot> => {
  const [ph, pw] = config.padding;
  const [kh, kw] = config.kernel;
  if (2 * ph > kh || 2 * pw > kw) return fail('ShapeError', 'padding of at most half the window', `${ph}, ${pw}`, name);
  return s.shape[2] === config.height && s.shape[3] === config.width && places(config).every((d) => d > 0)
    ? E.right(s)
    : fail('ShapeError', `images of ${config.height}×${config.width} that hold the window`, showSpec(s), name);
};

const output =
  (config: PoolingConfig, name: string) =>
  (x: SlotTree): Result<SlotTree> =>
    pipe(
      checkImages(x, null, name),
      E.chain((s) => check(config, s, name)),
      E.map((s) => fresh(s, name, [...s.shape.slice(0, 2), ...places(config)])),
    );

const windowOf = ({ kernel, stride, padding, dilation }: PoolingConfig): Window => ({
  kernel,
  stride,
  padding,
  dilation,
});

export const maxPool = <T extends Spec>(
  { maxPool: kernel }: Kernels<T>,
  config: PoolingConfig,
): Pointwise<T, { readonly position: T }> => {
  const window = windowOf(config);
  return {
    forward: (_, x) => {
      const [y, position] = kernel.forward(x, window);
      return [y, { position }];
    },
    backward: (_, { position }, dy) => [none, kernel.backward(position, dy, window, config.height, config.width)],
    ...untrained,
    output: output(config, 'maxPool'),
    residual: (x) => {
      const s = theSlot(x);
      const [n = 0, c = 0] = s.shape;
      const [oh, ow] = places(config);
      return { position: freshSlot(s, 'position', { shape: [c, n * oh * ow], dtype: 'i32' }) };
    },
  };
};

export const averagePool = <T extends Spec>(
  { averagePool: kernel }: Kernels<T>,
  config: PoolingConfig,
): Pointwise<T, None> => {
  const window = windowOf(config);
  return {
    forward: (_, x) => [kernel.forward(x, window), none],
    backward: (_, __, dy) => [none, kernel.backward(dy, window, config.height, config.width)],
    ...untrained,
    output: output(config, 'averagePool'),
    residual: () => none,
  };
};

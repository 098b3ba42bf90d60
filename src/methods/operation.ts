/**
 * The operations that a method adapts, and their selection axis: along which axis of the weight PaCA's columns lie.
 * A linear map selects input features; a convolution input channels, within each group alike; a depthwise convolution
 * its channels, which are the blocks of its first axis.
 */
import type { AnyLayer } from '../core/layer.ts';
import type { Rng } from '../core/rng.ts';
import type { Tree } from '../core/tree.ts';
import type { Conv2dConfig } from '../layers/conv2d.ts';
import type { LinearConfig } from '../layers/linear.ts';
import type { Shape } from '../spec/tensor.ts';

export type Operation =
  | { readonly kind: 'linear'; readonly config: LinearConfig }
  | { readonly kind: 'conv2d'; readonly config: Conv2dConfig };

/** A layer with parameters that fit it. */
export interface Module<T> {
  readonly layer: AnyLayer<T>;
  /** The layer in training, where that is another: with dropout, of a random state for each step. */
  readonly training?: (rng: Rng) => AnyLayer<T>;
  readonly params: Tree<T>;
}

/** A place in a model where a method applies, by its module path (`layers.0`, `model.layers.3.self_attn.q_proj`). */
export interface Site {
  readonly path: string;
  readonly operation: Operation;
}

export const isDepthwise = ({ groups, in: channels }: Conv2dConfig): boolean => groups > 1 && groups === channels;

/** The weight seen as `[before, columns, after]`: where the selectable columns lie. */
export interface ColumnView {
  readonly shape: Shape;
  readonly axis: 0 | 1;
  readonly columns: number;
}

/** Shape of the weight as the layer holds it. */
export const weightShape = ({ kind, config }: Operation): Shape =>
  kind === 'linear' ? [config.out, config.in] : [config.out, config.in / config.groups, ...config.kernel];

export const columnView = (operation: Operation): ColumnView => {
  const { kind, config } = operation;
  if (kind === 'linear') return { shape: [config.out, config.in], axis: 1, columns: config.in };
  const area = config.kernel[0] * config.kernel[1];
  return isDepthwise(config)
    ? { shape: [config.groups, (config.out / config.groups) * area], axis: 0, columns: config.groups }
    : { shape: [config.out, config.in / config.groups, area], axis: 1, columns: config.in / config.groups };
};

/** Shape of PaCA's δ for r columns: the weight's, with r in place of its columns. */
export const deltaShape = (operation: Operation, rank: number): Shape => {
  const { kind, config } = operation;
  if (kind === 'linear') return [config.out, rank];
  return isDepthwise(config)
    ? [(config.out / config.groups) * rank, 1, ...config.kernel]
    : [config.out, rank, ...config.kernel];
};

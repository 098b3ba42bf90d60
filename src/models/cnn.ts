/**
 * A small convolutional network for square images of one channel: a full convolution, a depthwise-separable one
 * (Howard et al. 2017), pooling after each, and a linear head.
 */
import { anyLayer } from '../core/layer.ts';
import { convolution } from '../layers/conv2d.ts';
import { averagePool, maxPool, pooling } from '../layers/pooling.ts';
import { flatten } from '../layers/reshape.ts';
import type { Architecture, Step } from './architecture.ts';
import { activation, site } from './steps.ts';

export interface CnnConfig {
  /** Height and width of the image; a multiple of 4. */
  readonly size: number;
  /** Channels of the first and of the second convolution. */
  readonly channels: readonly [number, number];
  readonly classes: number;
}

export const cnn = ({ size, channels: [first, second], classes }: CnnConfig): Architecture => {
  const half = Math.floor(size / 2);
  const quarter = Math.floor(half / 2);
  const image = (side: number): { height: number; width: number } => ({ height: side, width: side });
  const steps: readonly Step[] = [
    site('conv1', {
      kind: 'conv2d',
      config: convolution({ in: 1, out: first, kernel: [3, 3], ...image(size) }, { padding: [1, 1] }),
    }),
    activation('relu', 'relu1'),
    { kind: 'fixed', name: 'pool1', make: (k) => anyLayer(maxPool(k, pooling(2, size, size))) },
    site('depthwise', {
      kind: 'conv2d',
      config: convolution(
        { in: first, out: first, kernel: [3, 3], ...image(half) },
        { padding: [1, 1], groups: first },
      ),
    }),
    site('pointwise', {
      kind: 'conv2d',
      config: convolution({ in: first, out: second, kernel: [1, 1], ...image(half) }),
    }),
    activation('relu', 'relu2'),
    { kind: 'fixed', name: 'pool2', make: (k) => anyLayer(averagePool(k, pooling(2, half, half))) },
    { kind: 'fixed', name: 'flatten', make: (k) => anyLayer(flatten(k, [second, quarter, quarter])) },
    site('head', { kind: 'linear', config: { in: second * quarter * quarter, out: classes } }),
  ];
  return { name: 'cnn', input: [1, size, size], inputType: 'float', steps, head: 'head' };
};

/** Every layer, forward and backward, on distinct prime sizes, so that a transposed index shows at once. */
import { anyLayer } from '../../core/layer.ts';
import { rngFromSeed } from '../../core/rng.ts';
import { type Conv2dConfig, conv2d, convolution } from '../../layers/conv2d.ts';
import { dropout } from '../../layers/dropout.ts';
import { embedding } from '../../layers/embedding.ts';
import { layerNorm } from '../../layers/layer-norm.ts';
import { linear } from '../../layers/linear.ts';
import { averagePool, maxPool, type PoolingConfig, pooling } from '../../layers/pooling.ts';
import { flatten } from '../../layers/reshape.ts';
import { rmsNorm } from '../../layers/rms-norm.ts';
import { type ActivationName, activations } from '../../models/steps.ts';
import { drawn, integers, type Json, layerCase, type VectorCase } from '../case.ts';

const linearCases: readonly VectorCase[] = [
  layerCase({
    id: 'layers/linear',
    note: 'y = x Wᵀ; dx = dy W; ∂W = dyᵀ x, summed over rows in order.',
    layer: (k) => anyLayer(linear(k, { in: 5, out: 3 })),
    params: { weight: drawn('linear.weight', 3, 5) },
    x: drawn('linear.x', 7, 5),
    dy: drawn('linear.dy', 7, 3),
  }),
  layerCase({
    id: 'layers/linear-bias',
    note: 'y = x Wᵀ + b over leading axes [2, 3]; ∂b = Σ dy over the rows.',
    layer: (k) => anyLayer(linear(k, { in: 5, out: 7 })),
    params: { weight: drawn('linear-bias.weight', 7, 5), bias: drawn('linear-bias.bias', 7) },
    x: drawn('linear-bias.x', 2, 3, 5),
    dy: drawn('linear-bias.dy', 2, 3, 7),
  }),
];

const convolutionCase = (name: string, note: string, config: Conv2dConfig, out: readonly number[]): VectorCase =>
  layerCase({
    id: `layers/conv2d-${name}`,
    note,
    settings: config as unknown as Record<string, Json>,
    layer: (k) => anyLayer(conv2d(k, config)),
    params: {
      weight: drawn(`conv2d-${name}.weight`, config.out, config.in / config.groups, ...config.kernel),
      bias: drawn(`conv2d-${name}.bias`, config.out),
    },
    x: drawn(`conv2d-${name}.x`, 2, config.in, config.height, config.width),
    dy: drawn(`conv2d-${name}.dy`, 2, config.out, ...out),
  });

const convolutionCases: readonly VectorCase[] = [
  convolutionCase(
    'plain',
    'Cross-correlation of a 3×2 kernel, stride 1, no padding.',
    convolution({ in: 3, out: 5, kernel: [3, 2], height: 7, width: 5 }),
    [5, 4],
  ),
  convolutionCase(
    'strided',
    'Stride [2, 1], padding [1, 2], dilation [1, 2].',
    convolution(
      { in: 2, out: 3, kernel: [3, 3], height: 7, width: 5 },
      { stride: [2, 1], padding: [1, 2], dilation: [1, 2] },
    ),
    [4, 5],
  ),
  convolutionCase(
    'grouped',
    'Two groups: output channel block g reads input channel block g.',
    convolution({ in: 4, out: 6, kernel: [2, 3], height: 5, width: 5 }, { groups: 2 }),
    [4, 3],
  ),
  convolutionCase(
    'depthwise',
    'Groups = input channels, two outputs for each channel.',
    convolution({ in: 3, out: 6, kernel: [3, 3], height: 5, width: 7 }, { groups: 3, padding: [1, 1] }),
    [5, 7],
  ),
];

const overlapping: PoolingConfig = {
  kernel: [3, 2],
  stride: [2, 1],
  padding: [1, 1],
  dilation: [1, 1],
  height: 5,
  width: 4,
};

const poolingCases: readonly VectorCase[] = [
  layerCase({
    id: 'layers/max-pool',
    note: 'Maximum over overlapping windows; padding is −∞; the gradient goes to the first maximum.',
    settings: { ...overlapping },
    layer: (k) => anyLayer(maxPool(k, overlapping)),
    params: {},
    x: drawn('max-pool.x', 2, 3, 5, 4),
    dy: drawn('max-pool.dy', 2, 3, 3, 5),
  }),
  layerCase({
    id: 'layers/average-pool',
    note: 'Mean over overlapping windows, padding 0 counted in the divisor.',
    settings: { ...overlapping },
    layer: (k) => anyLayer(averagePool(k, overlapping)),
    params: {},
    x: drawn('average-pool.x', 2, 3, 5, 4),
    dy: drawn('average-pool.dy', 2, 3, 3, 5),
  }),
  layerCase({
    id: 'layers/average-pool-global',
    note: 'Mean over the whole image.',
    layer: (k) => anyLayer(averagePool(k, pooling(5, 5, 5))),
    params: {},
    x: drawn('average-pool-global.x', 2, 3, 5, 5),
    dy: drawn('average-pool-global.dy', 2, 3, 1, 1),
  }),
  layerCase({
    id: 'layers/flatten',
    note: '[n, c, h, w] → [n, c·h·w], row-major.',
    layer: (k) => anyLayer(flatten(k, [3, 2, 5])),
    params: {},
    x: drawn('flatten.x', 2, 3, 2, 5),
    dy: drawn('flatten.dy', 2, 30),
  }),
];

const activationNotes: Readonly<Record<ActivationName, string>> = {
  relu: 'y = max(x, 0); dx = dy where x > 0, else 0. Keeps one bit an element.',
  gelu: 'y = x·Φ(x) with the exact normal distribution function; dx = dy·(Φ(x) + x·φ(x)).',
  silu: 'y = x/(1 + e^−x); dx = dy·σ(x)·(1 + x·(1 − σ(x))).',
  tanh: 'y = tanh x; dx = dy·(1 − y²).',
};

const activationCases = (Object.keys(activationNotes) as ActivationName[]).map((name) =>
  layerCase({
    id: `layers/${name}`,
    note: activationNotes[name],
    layer: (k) => activations[name](k),
    params: {},
    x: drawn(`${name}.x`, 7, 11),
    dy: drawn(`${name}.dy`, 7, 11),
  }),
);

const normCases: readonly VectorCase[] = [
  layerCase({
    id: 'layers/rms-norm',
    note: 'x̂ = x/√(mean(x²) + ε), y = x̂·weight; rows of 19, so that the sixteen lanes wrap.',
    settings: { epsilon: 1e-6 },
    layer: (k) => anyLayer(rmsNorm(k, { width: 19, epsilon: 1e-6 })),
    params: { weight: drawn('rms-norm.weight', 19) },
    x: drawn('rms-norm.x', 5, 19),
    dy: drawn('rms-norm.dy', 5, 19),
  }),
  layerCase({
    id: 'layers/layer-norm',
    note: 'x̂ = (x − mean)/√(var + ε) with the biased variance, y = x̂·weight + bias.',
    settings: { epsilon: 1e-5 },
    layer: (k) => anyLayer(layerNorm(k, { width: 19, epsilon: 1e-5 })),
    params: { weight: drawn('layer-norm.weight', 19), bias: drawn('layer-norm.bias', 19) },
    x: drawn('layer-norm.x', 5, 19),
    dy: drawn('layer-norm.dy', 5, 19),
  }),
];

const otherCases: readonly VectorCase[] = [
  layerCase({
    id: 'layers/embedding',
    note: 'Rows of the table by number; a row read twice gets both gradients, in the order of the ids.',
    layer: (k) => anyLayer(embedding(k, { rows: 7, width: 3 })),
    params: { weight: drawn('embedding.weight', 7, 3) },
    x: integers(5, 0, 5, 6, 2),
    dy: drawn('embedding.dy', 5, 3),
    inputGradient: false,
  }),
  layerCase({
    id: 'layers/dropout',
    note: 'Elements whose uniform draw is below the rate are 0, the others are divided by 1 − rate.',
    settings: { rate: 0.25, seed: 5 },
    layer: (k) => anyLayer(dropout(k, { rate: 0.25, rng: rngFromSeed(5) })),
    params: {},
    x: drawn('dropout.x', 7, 5),
    dy: drawn('dropout.dy', 7, 5),
  }),
];

export const layerCases: readonly VectorCase[] = [
  ...linearCases,
  ...convolutionCases,
  ...poolingCases,
  ...activationCases,
  ...normCases,
  ...otherCases,
];

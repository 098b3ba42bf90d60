/** PaCA on linear maps and convolutions: bias, scale, several adapters, the off-switch, merging. */
import { anyLayer } from '../../core/layer.ts';
import type { Tree } from '../../core/tree.ts';
import { type Conv2dConfig, convolution } from '../../layers/conv2d.ts';
import { mergePaca, unmergePaca } from '../../methods/merge.ts';
import { deltaShape, type Operation, weightShape } from '../../methods/operation.ts';
import { type PacaAdapterConfig, pacaConv2d, pacaLinear } from '../../methods/paca.ts';
import type { HostTensor } from '../../spec/tensor.ts';
import { drawn, input, integers, type Json, layerCase, type VectorCase } from '../case.ts';

interface AdapterOptions {
  readonly indices: readonly number[];
  readonly scale: number;
  readonly active?: boolean;
  readonly trains?: boolean;
}

const configOf = ({ indices, scale, active = true, trains = true }: AdapterOptions): PacaAdapterConfig => ({
  rank: indices.length,
  scale,
  active,
  trains,
});

const paramsOf = (
  name: string,
  operation: Operation,
  bias: boolean,
  adapters: readonly AdapterOptions[],
): Tree<HostTensor> => ({
  weight: drawn(`${name}.weight`, ...weightShape(operation)),
  ...(bias && { bias: drawn(`${name}.bias`, operation.config.out) }),
  adapters: adapters.map(({ indices }, i) => ({
    indices: integers(...indices),
    delta: drawn(`${name}.delta.${i}`, ...deltaShape(operation, indices.length)),
  })),
});

const settingsOf = (adapters: readonly AdapterOptions[]): Record<string, Json> => ({
  adapters: adapters.map((a) => ({ ...configOf(a) })),
});

interface LinearOptions {
  readonly name: string;
  readonly note: string;
  readonly size: readonly [n: number, width: number, out: number];
  readonly bias?: boolean;
  readonly adapters: readonly AdapterOptions[];
}

const linearCase = ({ name, note, size: [n, width, out], bias = false, adapters }: LinearOptions): VectorCase => {
  const config = { in: width, out };
  return layerCase({
    id: `paca/${name}`,
    note,
    settings: settingsOf(adapters),
    layer: (k) => anyLayer(pacaLinear(k, config, adapters.map(configOf))),
    params: paramsOf(name, { kind: 'linear', config }, bias, adapters),
    x: drawn(`${name}.x`, n, width),
    dy: drawn(`${name}.dy`, n, out),
  });
};

const linearCases: readonly VectorCase[] = [
  linearCase({
    name: 'linear',
    note: 'W̃ = W with δ added to columns I (s = 1); y = x W̃ᵀ; dx = dy W̃; ∂δ = dyᵀ x[:, I].',
    size: [7, 5, 3],
    adapters: [{ indices: [1, 4], scale: 1 }],
  }),
  linearCase({
    name: 'linear-bias-scale',
    note: 'With bias and s = α/r = 2.5: W̃[:, I] = fl(W[:, I] + fl(s·δ)), ∂δ = fl(s·dyᵀ x[:, I]).',
    size: [7, 11, 5],
    bias: true,
    adapters: [{ indices: [0, 3, 10], scale: 2.5 }],
  }),
  linearCase({
    name: 'linear-rank-in',
    note: 'r = in: every column trains.',
    size: [3, 5, 2],
    adapters: [{ indices: [0, 1, 2, 3, 4], scale: 0.3 }],
  }),
  linearCase({
    name: 'linear-two-adapters',
    note: 'Two adapters that overlap in column 3: their s·δ are added in list order. Both train.',
    size: [5, 7, 3],
    adapters: [
      { indices: [1, 3], scale: 0.7 },
      { indices: [3, 5, 6], scale: 1.9 },
    ],
  }),
  linearCase({
    name: 'linear-switched-off',
    note: 'The first adapter is off and has no influence; the second acts but does not train: nothing is kept.',
    size: [5, 7, 3],
    adapters: [
      { indices: [1, 3], scale: 0.7, active: false },
      { indices: [0, 2], scale: 1.5, trains: false },
    ],
  }),
  linearCase({
    name: 'linear-realistic',
    note: '32 tokens, 96 → 64, r = 8, α = 16: sizes that are no primes, blocks that are full.',
    size: [32, 96, 64],
    adapters: [{ indices: [2, 11, 23, 40, 41, 64, 80, 95], scale: 2 }],
  }),
];

const convolutionCase = (
  name: string,
  note: string,
  config: Conv2dConfig,
  indices: readonly number[],
  out: readonly number[],
): VectorCase => {
  const adapters = [{ indices, scale: 1.5 }];
  return layerCase({
    id: `paca/${name}`,
    note,
    settings: { ...settingsOf(adapters), convolution: config as unknown as Json },
    layer: (k) => anyLayer(pacaConv2d(k, config, adapters.map(configOf))),
    params: paramsOf(name, { kind: 'conv2d', config }, true, adapters),
    x: drawn(`${name}.x`, 2, config.in, config.height, config.width),
    dy: drawn(`${name}.dy`, 2, config.out, ...out),
  });
};

const convolutionCases: readonly VectorCase[] = [
  convolutionCase(
    'conv2d',
    'I selects input channels: δ [out, r, kh, kw]; kept x[:, I]; ∂δ = s·the weight gradient on x[:, I].',
    convolution({ in: 5, out: 3, kernel: [3, 2], height: 5, width: 7 }, { stride: [2, 1], padding: [1, 0] }),
    [0, 3],
    [3, 6],
  ),
  convolutionCase(
    'conv2d-grouped',
    'I selects channels within each of two groups alike; kept are 2·r channels.',
    convolution({ in: 6, out: 4, kernel: [2, 2], height: 5, width: 3 }, { groups: 2 }),
    [1],
    [4, 2],
  ),
  convolutionCase(
    'conv2d-depthwise',
    'Depthwise: I selects channels, δ holds their kernels.',
    convolution({ in: 5, out: 10, kernel: [3, 3], height: 5, width: 3 }, { groups: 5, padding: [1, 1] }),
    [1, 2, 4],
    [5, 3],
  ),
];

const mergeCase: VectorCase = {
  id: 'paca/merge',
  note: 'merged = W̃; restored = W, bit for bit, from the saved columns.',
  settings: { scale: 0.7 },
  inputs: {
    weight: drawn('merge.weight', 5, 7),
    indices: integers(2, 3, 6),
    delta: drawn('merge.delta', 5, 3),
  },
  run: (k, inputs) => {
    const operation: Operation = { kind: 'linear', config: { in: 7, out: 5 } };
    const params = {
      weight: input(inputs, 'weight'),
      adapters: [{ indices: input(inputs, 'indices'), delta: input(inputs, 'delta') }],
    };
    const configs = [{ rank: 3, scale: 0.7, active: true, trains: true }];
    const merged = mergePaca(k, operation, params, configs, [Int32Array.of(2, 3, 6)]);
    return { merged: merged.weight, restored: unmergePaca(k, operation, merged) };
  },
};

export const pacaCases: readonly VectorCase[] = [...linearCases, ...convolutionCases, mergeCase];

/**
 * Every layer of the engine by name: at a minimal shape of distinct primes, and at random shapes.
 * The laws run over this table, and `test/layers/table.test.ts` refuses a layer that is not in it.
 */

import { outputLength } from '../../src/core/ops.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { gelu, relu, silu, tanh } from '../../src/layers/activations.ts';
import { type AttentionConfig, attention } from '../../src/layers/attention.ts';
import { type Conv2dConfig, convolution } from '../../src/layers/conv2d.ts';
import { dropout } from '../../src/layers/dropout.ts';
import { embedding, frozenEmbedding } from '../../src/layers/embedding.ts';
import { frozenLayerNorm, layerNorm } from '../../src/layers/layer-norm.ts';
import { crossEntropy, meanSquaredError } from '../../src/layers/losses.ts';
import { averagePool, maxPool, type PoolingConfig } from '../../src/layers/pooling.ts';
import { flatten, mergeHeads, splitHeads } from '../../src/layers/reshape.ts';
import { frozenRmsNorm, rmsNorm } from '../../src/layers/rms-norm.ts';
import { rope, ropeFrequencies, ropeTables } from '../../src/layers/rope.ts';
import { swiglu } from '../../src/layers/swiglu.ts';
import type { DocumentStarts } from '../../src/spec/documents.ts';
import type { Shape } from '../../src/spec/tensor.ts';
import * as any from './arbitraries.ts';
import { fc } from './fast-check.ts';
import {
  type AdapterPlan,
  andThenInstance,
  asTree,
  bothInstance,
  chainInstance,
  columnsOf,
  conv2dInstance,
  forkInstance,
  type Instance,
  type LinearSize,
  type LowRankSize,
  linearInstance,
  lowRankInstance,
  onBackend,
  type Pair,
  pacaConv2dInstance,
  pacaLinearInstance,
  recomputeInstance,
  residualAddInstance,
  withoutParams,
} from './layer-instances.ts';
import { ints, labels, normal, spread } from './tensors.ts';

export interface LayerCase {
  /** The function that makes the layer. */
  readonly maker: string;
  readonly minimal: Instance;
  readonly any: fc.Arbitrary<Instance>;
  /** Its gradient leaves a part of the derivative out on purpose; a test of its own says which. */
  readonly detached?: boolean;
}

const entry = <A>(
  maker: string,
  build: (size: A, seed: number) => Instance,
  minimal: A,
  sizes: fc.Arbitrary<A>,
): LayerCase => ({
  maker,
  minimal: build(minimal, 1),
  any: fc.tuple(sizes, any.seed).map(([size, seed]) => build(size, seed)),
});

// ------------------------------------------------------------------------------------------------------------ sizes

const linearSize: fc.Arbitrary<LinearSize> = fc.record({ leading: any.leading, in: any.axis, out: any.axis });
const rows: fc.Arbitrary<Shape> = fc.tuple(any.leading, any.axis).map(([leading, width]) => [...leading, width]);

const conv = (geometry: Partial<Conv2dConfig>): Conv2dConfig =>
  convolution({ in: 3, out: 2, height: 7, width: 5, kernel: [3, 2], ...geometry }, geometry);

const pools: fc.Arbitrary<readonly [PoolingConfig, channels: number]> = fc
  .tuple(any.convolution('regular'), any.axis)
  .map(([{ kernel, stride, padding, dilation, height, width }, channels]) => {
    const half = padding.map((p, i) => Math.min(p, Math.floor(kernel[i]! / 2))) as [number, number];
    return [{ kernel, stride, padding: half, dilation, height, width }, channels] as const;
  })
  .filter(([c]) => outputLength(c.height, c, 0) > 0 && outputLength(c.width, c, 1) > 0);

const minimalPool: readonly [PoolingConfig, number] = [
  { kernel: [3, 2], stride: [2, 1], padding: [1, 0], dilation: [1, 1], height: 7, width: 5 },
  3,
];

const plan = (indices: Int32Array, changes: Partial<AdapterPlan> = {}): AdapterPlan => ({
  indices,
  scale: 1,
  active: true,
  trains: true,
  ...changes,
});

/** One to three adapters; some off, some not training. */
export const plansFor = (columns: number): fc.Arbitrary<readonly AdapterPlan[]> =>
  fc.array(
    fc.record({
      indices: any.indexSet(columns),
      scale: fc.constantFrom(1, 0.5, 2, 1.3),
      active: fc.boolean(),
      trains: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  );

const several: readonly AdapterPlan[] = [
  plan(Int32Array.of(0, 2), { scale: 2 }),
  plan(Int32Array.of(1), { active: false }),
  plan(Int32Array.of(1, 2), { scale: 0.5 }),
  plan(Int32Array.of(0), { trains: false }),
];

const pacaSizes = linearSize.chain((size) => fc.record({ size: fc.constant(size), plans: plansFor(size.in) }));
export const lowRankSizes: fc.Arbitrary<LowRankSize> = fc.record({
  size: linearSize,
  plans: fc.array(
    fc.record({
      rank: fc.constantFrom(1, 2, 3),
      scale: fc.constantFrom(1, 0.5, 2, 1.3),
      active: fc.boolean(),
      trains: fc.boolean(),
      freezeA: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  ),
});
const oneLowRank: LowRankSize = {
  size: { leading: [2], in: 5, out: 3 },
  plans: [{ rank: 2, scale: 0.5, active: true, trains: true }],
};
const severalLowRank: LowRankSize = {
  size: { leading: [2, 3], in: 5, out: 3 },
  plans: [
    { rank: 2, scale: 2, active: true, trains: true, freezeA: true },
    { rank: 1, scale: 1, active: false, trains: true },
    { rank: 3, scale: 0.5, active: true, trains: false },
    { rank: 2, scale: 1.3, active: true, trains: true },
  ],
};
const droppedLowRank: LowRankSize = {
  size: { leading: [2, 3], in: 5, out: 3 },
  plans: [
    { rank: 2, scale: 2, active: true, trains: true, dropout: { rate: 0.5, rng: rngFromSeed(3) } },
    { rank: 1, scale: 1, active: true, trains: true, freezeA: true, dropout: { rate: 0.3, rng: rngFromSeed(4) } },
  ],
};
const pacaConvSizes = any.anyConvolution.chain((config) =>
  fc.record({ config: fc.constant(config), plans: plansFor(columnsOf({ kind: 'conv2d', config })) }),
);

const pairs: fc.Arbitrary<Pair> = fc
  .tuple(any.axis, any.axis, any.axis)
  .chain(([n, width, out]) => plansFor(width).map((plans) => ({ n, in: width, out, plans })));
const minimalPair: Pair = { n: 2, in: 5, out: 3, plans: several };

// -------------------------------------------------------------------------------------------------------- instances

const pooled =
  (pool: typeof maxPool | typeof averagePool) =>
  ([config, channels]: readonly [PoolingConfig, number], seed: number): Instance =>
    withoutParams((k) => pool(k, config))(spread(seed, [2, channels, config.height, config.width]));

const normed =
  (norm: typeof layerNorm | typeof frozenLayerNorm | typeof rmsNorm | typeof frozenRmsNorm) =>
  (shape: Shape, seed: number): Instance => {
    const width = shape.at(-1) ?? 1;
    const config = { width, epsilon: 1 / 16 };
    return {
      layer: (k) => asTree(norm(k, config)),
      params: onBackend({
        weight: normal(seed, [width]),
        ...(norm === layerNorm || norm === frozenLayerNorm ? { bias: normal(seed + 1, [width]) } : {}),
      }),
      x: normal(seed + 2, shape),
    };
  };

const embedded =
  (make: typeof embedding | typeof frozenEmbedding) =>
  ([leading, rowCount, width]: readonly [Shape, number, number], seed: number): Instance => ({
    layer: (k) => asTree(make(k, { rows: rowCount, width })),
    params: onBackend({ weight: normal(seed, [rowCount, width]) }),
    x: labels(seed + 1, leading, rowCount),
  });

const pointwise =
  (layer: typeof relu | typeof tanh | typeof gelu | typeof silu) =>
  (shape: Shape, seed: number): Instance =>
    withoutParams((k) => layer(k as never))(spread(seed, shape));

const dropped = ([shape, rate]: readonly [Shape, number], seed: number): Instance =>
  withoutParams((k) => dropout(k, { rate, rng: rngFromSeed(seed) }))(normal(seed, shape));

const flattened = (item: Shape, seed: number): Instance =>
  withoutParams((k) => flatten(k, item))(normal(seed, [2, ...item]));

/** The last target is one to be ignored, if there are several. */
const classified = ([n, classes]: readonly [number, number], seed: number): Instance => ({
  layer: (k) => asTree(crossEntropy(k)),
  params: <T>(k: { readonly fromHost: (t: ReturnType<typeof ints>) => T }) => {
    const targets = Array.from(labels(seed, [n], classes).data);
    return { targets: k.fromHost(ints([n], n > 1 ? [...targets.slice(1), -100] : targets)), denominator: n } as never;
  },
  x: normal(seed + 1, [n, classes]),
});

const squared = (shape: Shape, seed: number): Instance => ({
  layer: (k) => asTree(meanSquaredError(k)),
  params: (k) => ({ targets: k.fromHost(normal(seed, shape)), denominator: 3 }) as never,
  x: normal(seed + 1, shape),
});

const heads: fc.Arbitrary<{ batch: number; tokens: number; heads: number; width: number }> = fc.record({
  batch: fc.constantFrom(1, 2),
  tokens: any.axis,
  heads: fc.constantFrom(1, 2, 3),
  width: fc.constantFrom(2, 4, 6),
});
type Heads = typeof heads extends fc.Arbitrary<infer A> ? A : never;

/** Documents of two tokens each. */
const pairsOfTokens = (batch: number, tokens: number, first: number): DocumentStarts => ({
  dtype: 'i32',
  shape: [batch, tokens],
  data: Int32Array.from({ length: batch * tokens }, (_, i) => 2 * Math.floor((first + (i % tokens)) / 2)),
});

const turned = ({ batch, tokens, heads: count, width }: Heads, seed: number): Instance => ({
  layer: (k) => asTree(rope(k, { heads: count, width }, seed % 3 === 0 ? pairsOfTokens(batch, tokens, 0) : undefined)),
  params: onBackend({ ...ropeTables(tokens + (seed % 2), ropeFrequencies(width, 10)) }),
  x: normal(seed, [batch, tokens, count, width]),
});

const reshapedHeads =
  (layer: typeof splitHeads | typeof mergeHeads) =>
  ({ batch, tokens, heads: count, width }: Heads, seed: number): Instance =>
    withoutParams((k) => layer(k, { heads: count, width }))(
      normal(seed, [batch, tokens, ...(layer === splitHeads ? [count * width] : [count, width])]),
    );

interface Attended extends Omit<AttentionConfig, 'scale' | 'starts'> {
  readonly documents?: boolean;
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
}

const attentions: fc.Arbitrary<Attended> = fc
  .record({
    batch: fc.constantFrom(1, 2),
    queries: any.axis,
    more: fc.constantFrom(0, 1, 3),
    groups: fc.constantFrom(1, 2),
    ofGroup: fc.constantFrom(1, 2, 3),
    width: fc.constantFrom(1, 2, 5),
    mask: fc.constantFrom(
      { causal: false, window: null },
      { causal: true, window: null },
      { causal: true, window: 2 },
      { causal: true, window: 2, documents: true },
      { causal: true, window: null, documents: true },
    ),
  })
  .map(({ more, ofGroup, mask, ...rest }) => ({
    ...rest,
    ...mask,
    keys: rest.queries + more,
    heads: rest.groups * ofGroup,
  }));

const attended = ({ batch, queries, keys, documents, ...config }: Attended, seed: number): Instance => {
  const { heads: count, groups, width } = config;
  const starts = documents ? pairsOfTokens(batch, queries, keys - queries) : undefined;
  return withoutParams((k) => attention(k, { ...config, starts, scale: 1 / Math.sqrt(width) }))([
    normal(seed, [batch, queries, count, width]),
    [normal(seed + 1, [batch, keys, groups, width]), normal(seed + 2, [batch, keys, groups, width])],
  ]);
};

const gated = (shape: Shape, seed: number): Instance =>
  withoutParams((k) => swiglu(k))([normal(seed, shape), normal(seed + 1, shape)]);

// ------------------------------------------------------------------------------------------------------------ table

export const layerTable: Readonly<Record<string, LayerCase>> = {
  linear: entry('linear', linearInstance(true, true), { leading: [2, 3], in: 5, out: 7 }, linearSize),
  'linear without bias': entry('linear', linearInstance(true, false), { leading: [2], in: 5, out: 3 }, linearSize),
  'frozen linear': entry('frozenLinear', linearInstance(false, true), { leading: [2], in: 5, out: 3 }, linearSize),
  conv2d: entry('conv2d', conv2dInstance(true, true), conv({}), any.convolution('regular')),
  'conv2d with stride, padding and dilation': entry(
    'conv2d',
    conv2dInstance(true, false),
    conv({ stride: [2, 1], padding: [1, 2], dilation: [1, 2] }),
    any.convolution('regular'),
  ),
  'grouped conv2d': entry(
    'conv2d',
    conv2dInstance(true, true),
    conv({ in: 6, out: 4, groups: 2 }),
    any.convolution('grouped'),
  ),
  'depthwise conv2d': entry(
    'conv2d',
    conv2dInstance(true, true),
    conv({ out: 6, groups: 3 }),
    any.convolution('depthwise'),
  ),
  'frozen conv2d': entry('frozenConv2d', conv2dInstance(false, true), conv({}), any.anyConvolution),
  'max pool': entry('maxPool', pooled(maxPool), minimalPool, pools),
  'average pool': entry('averagePool', pooled(averagePool), minimalPool, pools),
  relu: entry('relu', pointwise(relu), [5, 7], fc.oneof(rows, fc.constantFrom([32], [4, 16], [3, 11]))),
  gelu: entry('gelu', pointwise(gelu), [5, 7], rows),
  silu: entry('silu', pointwise(silu), [5, 7], rows),
  tanh: entry('tanh', pointwise(tanh), [5, 7], rows),
  'layer norm': entry('layerNorm', normed(layerNorm), [2, 3, 5], rows),
  'frozen layer norm': entry('frozenLayerNorm', normed(frozenLayerNorm), [3, 5], rows),
  'rms norm': entry('rmsNorm', normed(rmsNorm), [2, 3, 5], rows),
  'frozen rms norm': entry('frozenRmsNorm', normed(frozenRmsNorm), [3, 5], rows),
  embedding: entry('embedding', embedded(embedding), [[2, 3], 5, 7], fc.tuple(any.leading, any.axis, any.axis)),
  'frozen embedding': entry(
    'frozenEmbedding',
    embedded(frozenEmbedding),
    [[3], 5, 7],
    fc.tuple(any.leading, any.axis, any.axis),
  ),
  dropout: entry('dropout', dropped, [[5, 7], 0.5], fc.tuple(rows, fc.constantFrom(0, 0.1, 0.5, 0.9))),
  flatten: entry('flatten', flattened, [3, 5, 7], fc.tuple(any.axis, any.axis, any.axis)),
  'split heads': entry('splitHeads', reshapedHeads(splitHeads), { batch: 2, tokens: 3, heads: 5, width: 7 }, heads),
  'merge heads': entry('mergeHeads', reshapedHeads(mergeHeads), { batch: 2, tokens: 3, heads: 5, width: 7 }, heads),
  rope: entry('rope', turned, { batch: 2, tokens: 5, heads: 3, width: 4 }, heads),
  swiglu: entry('swiglu', gated, [5, 7], rows),
  attention: entry(
    'attention',
    attended,
    { batch: 2, queries: 5, keys: 5, heads: 3, groups: 1, width: 2, causal: true, window: null },
    attentions,
  ),
  'attention within documents': entry(
    'attention',
    attended,
    { batch: 2, queries: 5, keys: 7, heads: 2, groups: 1, width: 2, causal: true, window: null, documents: true },
    attentions,
  ),
  'attention without a mask': entry(
    'attention',
    attended,
    { batch: 1, queries: 3, keys: 5, heads: 4, groups: 2, width: 3, causal: false, window: null },
    attentions,
  ),
  'cross-entropy': entry('crossEntropy', classified, [3, 5], fc.tuple(any.axis, any.axis)),
  'mean squared error': entry('meanSquaredError', squared, [3, 5], rows),
  'paca linear': entry(
    'pacaLinear',
    pacaLinearInstance,
    { size: { leading: [2], in: 5, out: 3 }, plans: [plan(Int32Array.of(1, 4), { scale: 2 })] },
    pacaSizes,
  ),
  'paca linear with several adapters': entry(
    'pacaLinear',
    pacaLinearInstance,
    { size: { leading: [2, 7], in: 5, out: 3 }, plans: several },
    pacaSizes,
  ),
  'lora linear': entry('loraLinear', lowRankInstance('lora'), oneLowRank, lowRankSizes),
  'lora linear with several adapters': entry('loraLinear', lowRankInstance('lora'), severalLowRank, lowRankSizes),
  'lora linear with dropout': entry('loraLinear', lowRankInstance('lora'), droppedLowRank, lowRankSizes),
  'moslora linear with dropout': entry('mosloraLinear', lowRankInstance('moslora'), droppedLowRank, lowRankSizes),
  'moslora linear': entry('mosloraLinear', lowRankInstance('moslora'), oneLowRank, lowRankSizes),
  'moslora linear with several adapters': entry(
    'mosloraLinear',
    lowRankInstance('moslora'),
    severalLowRank,
    lowRankSizes,
  ),
  'dora linear': { ...entry('doraLinear', lowRankInstance('dora'), oneLowRank, lowRankSizes), detached: true },
  'dora linear with several adapters': {
    ...entry('doraLinear', lowRankInstance('dora'), severalLowRank, lowRankSizes),
    detached: true,
  },
  'paca conv2d': entry(
    'pacaConv2d',
    pacaConv2dInstance,
    { config: conv({ padding: [1, 0] }), plans: several },
    pacaConvSizes,
  ),
  'paca grouped conv2d': entry(
    'pacaConv2d',
    pacaConv2dInstance,
    { config: conv({ in: 6, out: 4, groups: 2 }), plans: several },
    pacaConvSizes,
  ),
  'paca depthwise conv2d': entry(
    'pacaConv2d',
    pacaConv2dInstance,
    { config: conv({ out: 6, groups: 3, stride: [2, 1] }), plans: several },
    pacaConvSizes,
  ),
  andThen: entry('andThen', andThenInstance, minimalPair, pairs),
  fork: entry('fork', forkInstance, minimalPair, pairs),
  both: entry('both', bothInstance, minimalPair, pairs),
  residualAdd: entry('residualAdd', residualAddInstance, minimalPair, pairs),
  recompute: entry('recompute', recomputeInstance, minimalPair, pairs),
  chain: entry('chain', chainInstance, minimalPair, pairs),
};

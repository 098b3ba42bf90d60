/** Layers at random parameters and inputs, ready to be put on any backend. */
import { both, chain, named } from '../../src/core/chain.ts';
import type { Kernels } from '../../src/core/fused.ts';
import type { Point, TreeLayer } from '../../src/core/laws.ts';
import { type AnyLayer, andThen, anyLayer, fork, recompute, residualAdd } from '../../src/core/layer.ts';
import { mapTree, type Tree } from '../../src/core/tree.ts';
import { gelu, tanh } from '../../src/layers/activations.ts';
import { type Conv2dConfig, conv2d, frozenConv2d } from '../../src/layers/conv2d.ts';
import { type Affine, frozenLinear, linear } from '../../src/layers/linear.ts';
import type { LowRankTreatment } from '../../src/methods/adapt-low-rank.ts';
import { doraLinear } from '../../src/methods/dora.ts';
import { loraLinear } from '../../src/methods/lora.ts';
import type { LowRankConfig } from '../../src/methods/low-rank.ts';
import { mosloraLinear } from '../../src/methods/moslora.ts';
import { columnView, deltaShape, type Operation, weightShape } from '../../src/methods/operation.ts';
import { type PacaAdapterConfig, pacaConv2d, pacaLinear } from '../../src/methods/paca.ts';
import type { HostTensor, HostTensorOf, Shape, Spec } from '../../src/spec/tensor.ts';
import { ints, normal } from './tensors.ts';

export interface Instance {
  readonly layer: <T extends Spec>(k: Kernels<T>) => TreeLayer<T>;
  readonly params: <T extends Spec>(k: Kernels<T>) => Tree<T>;
  readonly x: Tree<HostTensor>;
}

/** Forgets a layer's types, its output's too. */
export const asTree = <T>(layer: unknown): TreeLayer<T> => layer as TreeLayer<T>;

/** A layer of the table whose output is one tensor. */
const tensorLayer = <T>(layer: TreeLayer<T>): AnyLayer<T> => layer as unknown as AnyLayer<T>;

/** Parameters that are the same tree on every backend. */
export const onBackend =
  (tree: Tree<HostTensor>) =>
  <T extends Spec>(k: Kernels<T>): Tree<T> =>
    mapTree(tree, k.fromHost);

/** The instance on a backend, with a random gradient of its output. */
export const pointOf = <T extends Spec>(k: Kernels<T>, { layer, params, x }: Instance, seed = 1): Point<T> => {
  const built = layer(k);
  const p = params(k);
  const input = mapTree(x, k.fromHost);
  const [y] = built.forward(p, input);
  return {
    k,
    layer: built,
    p,
    x: input,
    dy: mapTree(y, ({ shape }, path) => k.fromHost(normal(seed + path.length, shape))),
  };
};

export const withoutParams =
  (layer: <T extends Spec>(k: Kernels<T>) => unknown) =>
  (x: Tree<HostTensor>): Instance => ({ layer: (k) => asTree(layer(k)), params: () => ({}), x });

export interface LinearSize {
  readonly leading: Shape;
  readonly in: number;
  readonly out: number;
}

/** Weights of about the size 1/√fan-in, so that values stay of the order of 1. */
const affine = (operation: Operation, bias: boolean, seed: number): Affine<HostTensorOf<'f64'>> => {
  const shape = weightShape(operation);
  const fanIn = shape.slice(1).reduce((a, b) => a * b, 1);
  const drawn = normal(seed, shape);
  const weight = { ...drawn, data: drawn.data.map((w) => w / Math.sqrt(fanIn)) };
  return { weight, ...(bias && { bias: normal(seed + 1, [operation.config.out]) }) };
};

export const linearInstance =
  (trains: boolean, bias: boolean) =>
  (size: LinearSize, seed: number): Instance => ({
    layer: (k) => asTree(trains ? linear(k, size) : frozenLinear(k, size)),
    params: onBackend({ ...affine({ kind: 'linear', config: size }, bias, seed) }),
    x: normal(seed + 2, [...size.leading, size.in]),
  });

export const imagesOf = (config: Conv2dConfig, seed: number, n = 2): HostTensor =>
  normal(seed, [n, config.in, config.height, config.width]);

export const conv2dInstance =
  (trains: boolean, bias: boolean) =>
  (config: Conv2dConfig, seed: number): Instance => ({
    layer: (k) => asTree(trains ? conv2d(k, config) : frozenConv2d(k, config)),
    params: onBackend({ ...affine({ kind: 'conv2d', config }, bias, seed) }),
    x: imagesOf(config, seed + 2),
  });

/** One adapter, but for its δ. */
export interface AdapterPlan {
  readonly indices: Int32Array;
  readonly scale: number;
  readonly active: boolean;
  readonly trains: boolean;
}

export const adapterConfigs = (plans: readonly AdapterPlan[]): readonly PacaAdapterConfig[] =>
  plans.map(({ indices, ...rest }) => ({ rank: indices.length, ...rest }));

/** δ of the size of the weight. */
const delta = (operation: Operation, rank: number, seed: number): HostTensorOf<'f64'> => {
  const drawn = normal(seed, deltaShape(operation, rank));
  const fanIn = weightShape(operation)
    .slice(1)
    .reduce((a, b) => a * b, 1);
  return { ...drawn, data: drawn.data.map((d) => d / Math.sqrt(fanIn)) };
};

export interface PacaHost extends Affine<HostTensorOf<'f64'>> {
  readonly adapters: readonly { readonly indices: HostTensorOf<'i32'>; readonly delta: HostTensorOf<'f64'> }[];
}

export const pacaParams = (operation: Operation, plans: readonly AdapterPlan[], seed: number): PacaHost => ({
  ...affine(operation, true, seed),
  adapters: plans.map(({ indices }, i) => ({
    indices: ints([indices.length], indices),
    delta: delta(operation, indices.length, seed + 10 + i),
  })),
});

const pacaTree = ({ adapters, ...base }: PacaHost): Tree<HostTensor> => ({
  ...base,
  adapters: adapters.map((a) => ({ ...a })),
});

export const pacaLinearInstance = (
  { size, plans }: { readonly size: LinearSize; readonly plans: readonly AdapterPlan[] },
  seed: number,
): Instance => ({
  layer: (k) => asTree(pacaLinear(k, size, adapterConfigs(plans))),
  params: onBackend(pacaTree(pacaParams({ kind: 'linear', config: size }, plans, seed))),
  x: normal(seed + 2, [...size.leading, size.in]),
});

/** The makers of LoRA and its kin, and the shape of what each holds beside A and B. */
const lowRankMakers = {
  lora: { make: loraLinear, own: null },
  moslora: { make: mosloraLinear, own: 'mixer' },
  dora: { make: doraLinear, own: 'magnitude' },
} as const;

export type LowRankMethod = LowRankTreatment['method'];

export interface LowRankSize {
  readonly size: LinearSize;
  readonly plans: readonly LowRankConfig[];
}

export const lowRankParams = (
  method: LowRankMethod,
  { size, plans }: LowRankSize,
  seed: number,
): Affine<HostTensorOf<'f64'>> & { readonly adapters: readonly Readonly<Record<string, HostTensorOf<'f64'>>>[] } => ({
  ...affine({ kind: 'linear', config: size }, true, seed),
  adapters: plans.map(({ rank }, i) => {
    const [a, b] = [normal(seed + 10 + i, [rank, size.in]), normal(seed + 20 + i, [size.out, rank])];
    const { own } = lowRankMakers[method];
    if (own === 'mixer') return { a, mixer: normal(seed + 30 + i, [rank, rank]), b };
    return own === null ? { a, b } : { a, b, magnitude: normal(seed + 30 + i, [size.out]) };
  }),
});

export const lowRankInstance =
  (method: LowRankMethod) =>
  ({ size, plans }: LowRankSize, seed: number): Instance => ({
    layer: (k) => asTree(lowRankMakers[method].make(k, size, plans)),
    params: onBackend({ ...lowRankParams(method, { size, plans }, seed) }),
    x: normal(seed + 2, [...size.leading, size.in]),
  });

export const pacaConv2dInstance = (
  { config, plans }: { readonly config: Conv2dConfig; readonly plans: readonly AdapterPlan[] },
  seed: number,
): Instance => ({
  layer: (k) => asTree(pacaConv2d(k, config, adapterConfigs(plans))),
  params: onBackend(pacaTree(pacaParams({ kind: 'conv2d', config }, plans, seed))),
  x: imagesOf(config, seed + 2),
});

/** How many columns an operation lets select. */
export const columnsOf = (operation: Operation): number => columnView(operation).columns;

/** A combinator over a trained linear map f and a PaCA linear map g. */
export interface Pair {
  readonly n: number;
  readonly in: number;
  readonly out: number;
  readonly plans: readonly AdapterPlan[];
}

const parts = ({ n, in: width, out, plans }: Pair, seed: number) => ({
  f: linearInstance(true, true)({ leading: [n], in: width, out }, seed),
  g: pacaLinearInstance({ size: { leading: [n], in: width, out }, plans }, seed + 20),
});

export const andThenInstance = (pair: Pair, seed: number): Instance => {
  const { g } = parts(pair, seed);
  return {
    ...g,
    layer: (k) => asTree(andThen(k, tensorLayer(g.layer(k)), anyLayer(tanh(k)))),
    params: (k) => [g.params(k), {}],
  };
};

export const forkInstance = (pair: Pair, seed: number): Instance => {
  const { f, g } = parts(pair, seed);
  return {
    ...f,
    layer: (k) => asTree(fork(k, tensorLayer(f.layer(k)), tensorLayer(g.layer(k)))),
    params: (k) => [f.params(k), g.params(k)],
  };
};

/** Two linear maps over one record; the second reads the parameters of the first. */
export const bothInstance = (pair: Pair, seed: number): Instance => {
  const { f } = parts(pair, seed);
  return {
    ...f,
    layer: (k) => asTree(both(k, named('f', tensorLayer(f.layer(k))), named('again', tensorLayer(f.layer(k)), 'f'))),
    params: (k) => ({ f: f.params(k) }),
  };
};

export const residualAddInstance = (pair: Pair, seed: number): Instance => {
  const { g } = parts({ ...pair, out: pair.in }, seed);
  return { ...g, layer: (k) => asTree(residualAdd(k, tensorLayer(g.layer(k)))) };
};

export const recomputeInstance = (pair: Pair, seed: number): Instance => {
  const inner = andThenInstance(pair, seed);
  return { ...inner, layer: (k) => asTree(recompute(k, inner.layer(k))) };
};

export const chainInstance = (pair: Pair, seed: number): Instance => {
  const { g } = parts(pair, seed);
  const head = linearInstance(true, true)({ leading: [pair.n], in: pair.out, out: 2 }, seed + 40);
  return {
    ...g,
    layer: (k) =>
      asTree(
        chain(k, [
          ['first', tensorLayer(g.layer(k))],
          ['activation', anyLayer(gelu(k))],
          ['head', tensorLayer(head.layer(k))],
        ]),
      ),
    params: (k) => ({ first: g.params(k), head: head.params(k) }),
  };
};

/**
 * PaCA: r selected input columns of a frozen weight train, as a delta over it (paper, section 3; PEFT's `paca_delta`).
 *
 * Several adapters may lie over one base; each is on or off, and trains or not. Overlapping columns add up, in list
 * order. What is kept for the backward pass is the selected part of the input, n·r numbers for each adapter that
 * trains, and nothing else. The base is never written.
 */
import type { Connections } from '../core/derived/paca-linear.ts';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import { type Conv2dConfig, conv2dOutput, geometryOf } from '../layers/conv2d.ts';
import { type Affine, type LinearConfig, linearOutput } from '../layers/linear.ts';
import type { Result } from '../spec/errors.ts';
import { freshSlot, type Shape, type Slot, type Spec } from '../spec/tensor.ts';
import { isDepthwise, weightShape } from './operation.ts';

export interface PacaAdapter<T> {
  /** `i32 [r]`, sorted and distinct. */
  readonly indices: T;
  /** The weight's shape with r in place of its columns; f32, starts at 0. */
  readonly delta: T;
}

export interface PacaParams<T> extends Affine<T> {
  readonly adapters: readonly PacaAdapter<T>[];
}

export interface PacaAdapterConfig {
  readonly rank: number;
  /** s = α/r. */
  readonly scale: number;
  /** Off: the layer computes as if the adapter were not there. */
  readonly active: boolean;
  readonly trains: boolean;
}

/** Gradients: `{ delta }` for each adapter that trains, the empty tree for the others. */
export interface PacaGradient<T> {
  readonly adapters: readonly ({ readonly delta: T } | None)[];
}

/** x[:, I] for each adapter that trains. */
export interface PacaResidual<T> {
  readonly selected: readonly (T | None)[];
}

export type PacaLayer<T> = Layer<PacaParams<T>, PacaGradient<T>, T, T, PacaResidual<T>>;

/** What differs between a linear map and a convolution. */
interface Parts<T> {
  readonly forward: (p: PacaParams<T>, x: T, connections: readonly Connections<T>[]) => T;
  readonly inputGradient: (p: PacaParams<T>, dy: T, connections: readonly Connections<T>[]) => T;
  readonly select: (x: T, indices: T) => T;
  readonly selectedShape: (x: Slot, rank: number) => Shape;
  readonly deltaGradient: (dy: T, selected: T, adapter: PacaAdapter<T>, config: PacaAdapterConfig) => T;
  readonly output: (x: SlotTree) => Result<SlotTree>;
}

const isTrained = ({ active, trains }: PacaAdapterConfig): boolean => active && trains;

/** The adapters that are on, as the kernels take them. */
export const activeConnections = <T>(
  adapters: readonly PacaAdapter<T>[],
  configs: readonly PacaAdapterConfig[],
): readonly Connections<T>[] =>
  adapters.flatMap(({ indices, delta }, i) => {
    const config = configs[i];
    return config?.active ? [{ indices, delta, scale: config.scale }] : [];
  });

const pacaLayer = <T extends Spec>(parts: Parts<T>, configs: readonly PacaAdapterConfig[]): PacaLayer<T> => {
  const connections = (p: PacaParams<T>): readonly Connections<T>[] => activeConnections(p.adapters, configs);

  /** Calls `f` for each adapter that trains. */
  const trained = <A>(p: PacaParams<T>, f: (adapter: PacaAdapter<T>, config: PacaAdapterConfig, i: number) => A) =>
    p.adapters.map((adapter, i): A | None => {
      const config = configs[i];
      return config !== undefined && isTrained(config) ? f(adapter, config, i) : none;
    });

  const gradient = (p: PacaParams<T>, { selected }: PacaResidual<T>, dy: T): PacaGradient<T> => ({
    adapters: trained(p, (adapter, config, i) => ({
      delta: parts.deltaGradient(dy, selected[i] as T, adapter, config),
    })),
  });

  return {
    forward: (p, x) => [
      parts.forward(p, x, connections(p)),
      { selected: trained(p, ({ indices }) => parts.select(x, indices)) },
    ],
    backward: (p, residual, dy) => [gradient(p, residual, dy), parts.inputGradient(p, dy, connections(p))],
    gradient,
    trainable: (p) => ({ adapters: trained(p, ({ delta }) => ({ delta })) }),
    output: parts.output,
    residual: (x) => {
      const s = theSlot(x);
      const selected = configs.map((config, i) =>
        isTrained(config)
          ? freshSlot(s, `selected${i}`, { shape: parts.selectedShape(s, config.rank), dtype: s.dtype })
          : none,
      );
      return { selected };
    },
  };
};

/**
 * y = x W̃ᵀ + b with W̃[:, I] = W[:, I] + s·δ. Keeps x[:, I] `[…, r]`.
 *
 * @example
 * ```ts
 * import { inputSlot, orThrow, pacaLinear, residualBytes } from 'paca-ts';
 * import { resolveBackend } from 'paca-ts/backends';
 *
 * const { kernels: k } = orThrow(await resolveBackend('reference'));
 * const layer = pacaLinear(k, { in: 4, out: 2 }, [{ rank: 1, scale: 1, active: true, trains: true }]);
 * const params = {
 *   weight: k.fromHost({ dtype: 'f32', shape: [2, 4], data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) }),
 *   adapters: [
 *     {
 *       indices: k.fromHost({ dtype: 'i32', shape: [1], data: Int32Array.of(2) }),
 *       delta: k.fromHost({ dtype: 'f32', shape: [2, 1], data: Float32Array.of(10, 20) }),
 *     },
 *   ],
 * };
 * const x = k.fromHost({ dtype: 'f32', shape: [1, 4], data: Float32Array.of(1, 0, 1, 0) });
 * const [y, residual] = layer.forward(params, x);
 * Array.from((await k.toHost(y)).data as Float32Array); // => [14, 32]
 *
 * // Kept for the backward pass: one number for each row, x[:, 2].
 * residualBytes(layer.residual(inputSlot('x', x))); // => 4
 * const [gradient] = layer.backward(params, residual, k.full([1, 2], 1));
 * Object.keys(gradient.adapters[0] ?? {}); // => ['delta']
 * ```
 */
export const pacaLinear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
  adapters: readonly PacaAdapterConfig[],
): PacaLayer<T> =>
  pacaLayer(
    {
      forward: (p, x, connections) => k.pacaLinear.forward(x, p.weight, p.bias ?? null, connections),
      inputGradient: (p, dy, connections) => k.pacaLinear.inputGradient(dy, p.weight, connections),
      select: (x, indices) => k.gather(x, indices, x.shape.length - 1),
      selectedShape: (x, rank) => [...x.shape.slice(0, -1), rank],
      deltaGradient: (dy, selected, _, { scale }) => k.pacaLinear.deltaGradient(dy, selected, scale),
      output: linearOutput(config),
    },
    adapters,
  );

/** The convolution with W̃ as weight. Keeps the selected channels of x, `[n, groups·r, h, w]`. */
export const pacaConv2d = <T extends Spec>(
  k: Kernels<T>,
  config: Conv2dConfig,
  adapters: readonly PacaAdapterConfig[],
): PacaLayer<T> => {
  const geometry = geometryOf(config);
  const { groups, height, width } = config;
  const weight: Spec = { dtype: k.float, shape: weightShape({ kind: 'conv2d', config }) };
  const blocks = isDepthwise(config) ? 1 : groups;
  return pacaLayer(
    {
      forward: (p, x, connections) => k.pacaConv2d.forward(x, p.weight, p.bias ?? null, connections, geometry),
      inputGradient: (p, dy, connections) =>
        k.pacaConv2d.inputGradient(dy, p.weight, connections, geometry, height, width),
      select: (x, indices) => k.pacaConv2d.select(x, indices, weight, geometry),
      selectedShape: ({ shape: [n = 0] }, rank) => [n, blocks * rank, height, width],
      deltaGradient: (dy, selected, { indices }, { scale }) =>
        k.pacaConv2d.deltaGradient(dy, selected, indices, scale, weight, geometry),
      output: conv2dOutput(config),
    },
    adapters,
  );
};

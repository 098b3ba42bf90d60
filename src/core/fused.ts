/**
 * `Fused<T>`: the operations that a backend may do in one kernel. Each is defined in `derived/` by primitives; that
 * definition is the formula, and what a fused kernel must equal. Layers, methods and optimizers call `Kernels<T>`:
 * the backend's own kernel where it has one, else the derivation.
 */
import type { Spec } from '../spec/tensor.ts';
import {
  type ActivationKernels,
  gelu,
  type ReluKernels,
  relu,
  silu,
  type TanhKernels,
  tanh,
} from './derived/activations.ts';
import { type AdamwKernels, adamw } from './derived/adamw.ts';
import { type AttentionKernels, attention } from './derived/attention.ts';
import { type Conv2dKernels, conv2d } from './derived/conv2d.ts';
import { type EmbeddingKernels, embedding } from './derived/embedding.ts';
import { type LinearKernels, linear } from './derived/linear.ts';
import {
  type CrossEntropyKernels,
  crossEntropy,
  type MeanSquaredErrorKernels,
  meanSquaredError,
} from './derived/losses.ts';
import { type LayerNormKernels, layerNorm, type RmsNormKernels, rmsNorm } from './derived/norms.ts';
import { type PacaConv2dKernels, pacaConv2d } from './derived/paca-conv2d.ts';
import { type PacaLinearKernels, pacaLinear } from './derived/paca-linear.ts';
import { type AveragePoolKernels, averagePool, type MaxPoolKernels, maxPool } from './derived/pooling.ts';
import { type RopeKernels, rope } from './derived/rope.ts';
import { type SwigluKernels, swiglu } from './derived/swiglu.ts';
import type { Ops } from './ops.ts';

export interface Fused<T> {
  readonly linear: LinearKernels<T>;
  readonly pacaLinear: PacaLinearKernels<T>;
  readonly conv2d: Conv2dKernels<T>;
  readonly pacaConv2d: PacaConv2dKernels<T>;
  readonly relu: ReluKernels<T>;
  readonly gelu: ActivationKernels<T>;
  readonly silu: ActivationKernels<T>;
  readonly tanhActivation: TanhKernels<T>;
  readonly rmsNorm: RmsNormKernels<T>;
  readonly layerNorm: LayerNormKernels<T>;
  readonly rope: RopeKernels<T>;
  readonly attention: AttentionKernels<T>;
  readonly swiglu: SwigluKernels<T>;
  readonly maxPool: MaxPoolKernels<T>;
  readonly averagePool: AveragePoolKernels<T>;
  readonly embedding: EmbeddingKernels<T>;
  readonly crossEntropy: CrossEntropyKernels<T>;
  readonly meanSquaredError: MeanSquaredErrorKernels<T>;
  readonly adamw: AdamwKernels<T>;
}

/** What layers compute with: the primitives and every fused operation. */
export interface Kernels<T extends Spec> extends Ops<T>, Fused<T> {}

/** Any subset of the fused kernels, down to the single function. */
export type FusedKernels<T> = { readonly [K in keyof Fused<T>]?: Partial<Fused<T>[K]> };

/** Every fused operation from primitives alone. */
export const derive = <T extends Spec>(o: Ops<T>): Fused<T> => ({
  linear: linear(o),
  pacaLinear: pacaLinear(o),
  conv2d: conv2d(o),
  pacaConv2d: pacaConv2d(o),
  relu: relu(o),
  gelu: gelu(o),
  silu: silu(o),
  tanhActivation: tanh(o),
  rmsNorm: rmsNorm(o),
  layerNorm: layerNorm(o),
  rope: rope(o),
  attention: attention(o),
  swiglu: swiglu(o),
  maxPool: maxPool(o),
  averagePool: averagePool(o),
  embedding: embedding(o),
  crossEntropy: crossEntropy(o),
  meanSquaredError: meanSquaredError(o),
  adamw: adamw(o),
});

/** The kernels of a backend: its own where given, else derived. */
export const kernels = <T extends Spec>(ops: Ops<T>, own: FusedKernels<T> = {}): Kernels<T> => {
  const derived = derive(ops);
  const merged = Object.fromEntries(
    Object.entries(derived).map(([name, group]) => [name, { ...group, ...own[name as keyof Fused<T>] }]),
  ) as unknown as Fused<T>;
  return { ...ops, ...merged };
};

/**
 * LoRA (Hu et al. 2021) on a linear map: y = x Wᵀ + b + Σ s·(x Aᵀ) Bᵀ, W and b frozen; of `low-rank.ts` the case with two
 * factors:
 *
 *   ∂B = s·dyᵀ(x Aᵀ)      ∂A = s·(dy B)ᵀ x      ∂x = dy W + Σ s·(dy B) A
 *
 * Kept are the whole input once, and x Aᵀ for each adapter that trains: n·(in + r) numbers; n·r where A is frozen.
 */
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import { type Rng, uniforms } from '../core/rng.ts';
import type { LinearConfig } from '../layers/linear.ts';
import type { HostTensorOf, Shape, Spec } from '../spec/tensor.ts';
import { sizeOf } from '../spec/tensor.ts';
import { type LowRankConfig, type LowRankLayer, lowRankLinear } from './low-rank.ts';

export interface LoraAdapter<T> {
  /** A `[r, in]` */
  readonly a: T;
  /** B `[out, r]` */
  readonly b: T;
}

export const loraLinear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
  adapters: readonly LowRankConfig[],
): LowRankLayer<T, LoraAdapter<T>> => lowRankLinear(k, config, adapters, ['a', 'b']);

/** W̃ = fl(widen(W) + fl(s·B A)): the weight that LoRA amounts to. */
export const loraWeight = <T extends Spec>(k: Kernels<T>, weight: T, { a, b }: LoraAdapter<T>, scale: number): T =>
  k.scope(() => k.add(widen(k, weight), k.mul(k.matmul(b, a, 'nn'), scale)));

/** Kaiming-uniform with a = √5, as PyTorch's linear maps begin: U(−1/√in, 1/√in) for `[out, in]`. */
export const kaimingUniform = (rng: Rng, shape: Shape): HostTensorOf<'f32'> => {
  const bound = 1 / Math.sqrt(shape.at(-1) ?? 1);
  const [u] = uniforms(rng, sizeOf(shape));
  return { dtype: 'f32', shape, data: Float32Array.from(u, (x) => (2 * x - 1) * bound) };
};

/** A Kaiming-uniform and B = 0, as PEFT begins. */
export const freshLora = (
  rng: Rng,
  { in: width, out }: LinearConfig,
  rank: number,
): LoraAdapter<HostTensorOf<'f32'>> => ({
  a: kaimingUniform(rng, [rank, width]),
  b: { dtype: 'f32', shape: [out, rank], data: new Float32Array(out * rank) },
});

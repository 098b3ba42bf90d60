/**
 * MosLoRA (Wu et al. 2024, "Mixture-of-Subspaces in Low-Rank Adaptation", equation 6) on a linear map: LoRA with a trained
 * mixer M between its factors, y = x Wᵀ + b + Σ s·((x Aᵀ) Mᵀ) Bᵀ; of `low-rank.ts` the case with three factors:
 *
 *   ∂B = s·dyᵀ((x Aᵀ) Mᵀ)      ∂M = s·(dy B)ᵀ(x Aᵀ)      ∂A = s·((dy B) M)ᵀ x      ∂x = dy W + Σ s·((dy B) M) A
 *
 * Kept are the whole input once, and x Aᵀ and (x Aᵀ) Mᵀ for each adapter that trains: n·(in + 2r) numbers.
 */
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import { type Rng, splitRng } from '../core/rng.ts';
import type { LinearConfig } from '../layers/linear.ts';
import type { HostTensorOf, Spec } from '../spec/tensor.ts';
import { freshLora, kaimingUniform, type LoraAdapter } from './lora.ts';
import { type LowRankConfig, type LowRankLayer, lowRankLinear } from './low-rank.ts';

export interface MosloraAdapter<T> extends LoraAdapter<T> {
  /** M `[r, r]` */
  readonly mixer: T;
}

export const mosloraLinear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
  adapters: readonly LowRankConfig[],
): LowRankLayer<T, MosloraAdapter<T>> => lowRankLinear(k, config, adapters, ['a', 'mixer', 'b']);

/** W̃ = fl(widen(W) + fl(s·B(M A))). */
export const mosloraWeight = <T extends Spec>(
  k: Kernels<T>,
  weight: T,
  { a, mixer, b }: MosloraAdapter<T>,
  scale: number,
): T => k.scope(() => k.add(widen(k, weight), k.mul(k.matmul(b, k.matmul(mixer, a, 'nn'), 'nn'), scale)));

/** A and M Kaiming-uniform, B = 0, as the paper begins. */
export const freshMoslora = (rng: Rng, config: LinearConfig, rank: number): MosloraAdapter<HostTensorOf<'f32'>> => ({
  ...freshLora(rng, config, rank),
  mixer: kaimingUniform(splitRng(rng, 'mixer'), [rank, rank]),
});

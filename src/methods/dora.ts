/**
 * DoRA (Liu et al. 2024) on a linear map, as Hugging Face PEFT computes it: LoRA gives the direction V = W + s·B A of each
 * row, a trained magnitude m its length,
 *
 *   y = c ⊙ (x Wᵀ + s·(x Aᵀ) Bᵀ) + b      c = m/‖V‖, row by row
 *
 * The norm is **detached**: it follows A and B, but no gradient flows through it (the paper's section 4.3, which saves
 * memory for a loss in accuracy that it calls negligible). So these are not the derivatives of y by A and B:
 *
 *   du = c ⊙ dy      ∂m = Σₙ dy ⊙ u / ‖V‖ with u = y/c      ∂B = s·duᵀ(x Aᵀ)      ∂A = s·(du B)ᵀ x      ∂x = du W + s·(du B) A
 *
 * Several adapters act one after the other on u, in list order, each with the norm of its own W + s·B A, and the bias comes
 * last: with the adapters 1 and 2, y = c₂ ⊙ (c₁ ⊙ (x Wᵀ + …₁) + …₂) + b.
 *
 * With dropout, in training, an adapter sees x′ = dropout(x) and leaves what came before it as it is; z is x Wᵀ, or what the
 * adapter before it made:
 *
 *   z ↦ z + (c ⊙ u′ − x′ Wᵀ) with u′ = x′ Wᵀ + s·(x′ Aᵀ) Bᵀ      ∂m = Σₙ dy ⊙ u′ / ‖V‖
 *
 * ∂A and ∂B as above with x′ for x, and to ∂x comes dropout((du − dy) W + s·(du B) A), of the same mask. Without dropout u′ is
 * u, and the adapter that comes first the same in exact arithmetic; of several, as PEFT has it, each adds to the base alone.
 *
 * Kept are x once, and of each adapter that trains x Aᵀ and u, with the norms: n·(in + r + out) + out numbers. u could be
 * had from y, which later layers may keep, but for a magnitude of 0.
 */
import { toRows } from '../core/derived/shapes.ts';
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { hasLeaves, type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import { type LinearConfig, linearOutput } from '../layers/linear.ts';
import { freshSlot, type Spec } from '../spec/tensor.ts';
import { type LoraAdapter, loraWeight } from './lora.ts';
import {
  chainBackward,
  dropped,
  hiddenSlots,
  isTrained,
  keptInput,
  type LowRankConfig,
  type LowRankGradient,
  type LowRankParams,
  throughFactors,
  trainedPart,
} from './low-rank.ts';

export interface DoraAdapter<T> extends LoraAdapter<T> {
  /** m `[out]` */
  readonly magnitude: T;
}

/** What the backward pass reads of one adapter. */
export interface DoraKept<T> {
  /** x Aᵀ, if it trains. */
  readonly hidden: readonly T[];
  /** u `[…, out]`, if it trains. */
  readonly unscaled: T | None;
  /** ‖V‖ `[out]`, if it is on. */
  readonly norm: T | None;
}

export interface DoraResidual<T> {
  readonly x: T | None;
  readonly adapters: readonly DoraKept<T>[];
}

export type DoraLayer<T> = Layer<
  LowRankParams<T, DoraAdapter<T>>,
  LowRankGradient<DoraAdapter<T>>,
  T,
  T,
  DoraResidual<T>
>;

/** The length of each row, its squares added in the lane order: `[out, in]` → `[out]`. */
export const rowNorms = <T extends Spec>(k: Kernels<T>, weight: T): T =>
  k.scope(() => {
    const wide = widen(k, weight);
    return k.sqrt(k.sumLast(k.mul(wide, wide)));
  });

/** ‖W + s·B A‖ of each row. */
const directionNorms = <T extends Spec>(k: Kernels<T>, weight: T, adapter: LoraAdapter<T>, scale: number): T =>
  k.scope(() => rowNorms(k, loraWeight(k, weight, adapter, scale)));

/** W̃ = fl(c ⊙ fl(widen(W) + fl(s·B A))): the weight that DoRA amounts to. */
export const doraWeight = <T extends Spec>(k: Kernels<T>, weight: T, adapter: DoraAdapter<T>, scale: number): T =>
  k.scope(() => {
    const direction = loraWeight(k, weight, adapter, scale);
    const factor = k.div(adapter.magnitude, rowNorms(k, direction));
    return k.mul(direction, k.reshape(factor, [-1, 1]));
  });

const names = ['a', 'b'] as const;

/** The gradients that meet at an adapter: of what it gives, of u, and of what it got from the one before it. */
interface Passed<T> {
  readonly dz: T;
  readonly du: T;
  readonly on: T;
}

export const doraLinear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
  adapters: readonly LowRankConfig[],
): DoraLayer<T> => {
  type P = LowRankParams<T, DoraAdapter<T>>;
  type G = LowRankGradient<DoraAdapter<T>>;

  /** Whether an adapter sees a part of x alone. */
  const drops = (i: number): boolean => adapters[i]!.dropout !== undefined;

  const forward = (p: P, x: T): readonly [z: T, kept: readonly DoraKept<T>[]] =>
    p.adapters.reduce<readonly [T, readonly DoraKept<T>[]]>(
      ([z, kept], adapter, i) => {
        const { active, scale } = adapters[i]!;
        if (!active) return [z, [...kept, { hidden: [], unscaled: none, norm: none }]];
        const input = dropped(k, adapters[i]!, x);
        const base = drops(i) ? k.linear.forward(input, p.weight, null) : z;
        const [h, product] = throughFactors(k, [adapter.a, adapter.b], input) as [T, T];
        const u = k.add(base, k.mul(product, scale));
        const norm = directionNorms(k, p.weight, adapter, scale);
        const own = isTrained(adapters[i]!) ? { hidden: [h], unscaled: u, norm } : { hidden: [], unscaled: none, norm };
        const scaled = k.mul(u, k.div(adapter.magnitude, norm));
        return [drops(i) ? k.add(z, k.sub(scaled, base)) : scaled, [...kept, own]];
      },
      [k.linear.forward(x, p.weight, null), []],
    );

  /** The gradients at each adapter, from the last to the first. */
  const throughMagnitudes = (p: P, kept: DoraResidual<T>['adapters'], dy: T): readonly Passed<T>[] =>
    p.adapters.reduceRight<readonly Passed<T>[]>((made, { magnitude }, i) => {
      const dz = made[0]?.on ?? dy;
      const du = adapters[i]!.active ? k.mul(dz, k.div(magnitude, kept[i]!.norm as T)) : dz;
      return [{ dz, du, on: drops(i) ? dz : du }, ...made];
    }, []);

  const magnitudeGradient = (dz: T, { unscaled, norm }: DoraKept<T>): T =>
    k.div(k.sumFirst(toRows(k, k.mul(dz, unscaled as T))), norm as T);

  /** What an adapter with dropout gives to ∂x: `own` is s·(du B) A. */
  const throughDropout = (p: P, i: number, own: T, dz: T, du: T): T =>
    dropped(k, adapters[i]!, k.add(k.linear.inputGradient(k.sub(du, dz), p.weight), own));

  const pass = (p: P, { x, adapters: kept }: DoraResidual<T>, dy: T, wantsInput: boolean): readonly [G, T | null] => {
    const passed = throughMagnitudes(p, kept, dy);
    const chains = p.adapters.map((adapter, i) => {
      const own = kept[i]!;
      const { dz, du } = passed[i]!;
      if (!adapters[i]!.active) return { gradient: none, dx: null };
      const input = hasLeaves(x) ? dropped(k, adapters[i]!, x as T) : x;
      const chain = chainBackward(k, names, adapter, adapters[i]!, [input, ...own.hidden], du, wantsInput);
      const dx = chain.dx !== null && drops(i) ? throughDropout(p, i, chain.dx, dz, du) : chain.dx;
      return isTrained(adapters[i]!)
        ? { dx, gradient: { ...chain.gradient, magnitude: magnitudeGradient(dz, own) } }
        : { ...chain, dx };
    });
    const first = passed[0]?.on ?? dy;
    const dx = wantsInput
      ? chains.reduce(
          (sum, chain) => (chain.dx === null ? sum : k.add(sum, chain.dx)),
          k.linear.inputGradient(first, p.weight),
        )
      : null;
    return [{ adapters: chains.map(({ gradient }) => gradient) }, dx];
  };

  return {
    forward: (p, x) =>
      k.scope(() => {
        const [z, kept] = forward(p, x);
        const y = p.bias === undefined ? z : k.add(z, p.bias);
        return [y, { x: keptInput(x, adapters), adapters: kept }];
      }),
    backward: (p, residual, dy) => k.scope(() => pass(p, residual, dy, true) as readonly [G, T]),
    gradient: (p, residual, dy) => k.scope(() => pass(p, residual, dy, false)[0]),
    trainable: (p) => ({ adapters: p.adapters.map((adapter, i) => trainedPart(adapter, adapters[i]!)) }),
    output: linearOutput(config),
    residual: (x): SlotTree => {
      const s = theSlot(x);
      const [wide, row] = [[...s.shape.slice(0, -1), config.out], [config.out]];
      const keptOf = (adapter: LowRankConfig, i: number): SlotTree => ({
        hidden: hiddenSlots(s, adapter, i, names.length),
        unscaled: isTrained(adapter) ? freshSlot(s, `unscaled${i}`, { shape: wide, dtype: s.dtype }) : none,
        norm: adapter.active ? freshSlot(s, `norm${i}`, { shape: row, dtype: s.dtype }) : none,
      });
      return { x: keptInput(s, adapters), adapters: adapters.map(keptOf) };
    },
  };
};

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
 * Kept are x once, and of each adapter that trains x Aᵀ and u, with the norms: n·(in + r + out) + out numbers. u could be
 * had from y, which later layers may keep, but for a magnitude of 0.
 */
import { toRows } from '../core/derived/shapes.ts';
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import { type LinearConfig, linearOutput } from '../layers/linear.ts';
import { freshSlot, type Spec } from '../spec/tensor.ts';
import { type LoraAdapter, loraWeight } from './lora.ts';
import {
  chainBackward,
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

export const doraLinear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
  adapters: readonly LowRankConfig[],
): DoraLayer<T> => {
  type P = LowRankParams<T, DoraAdapter<T>>;
  type G = LowRankGradient<DoraAdapter<T>>;

  const forward = (p: P, x: T): readonly [z: T, kept: readonly DoraKept<T>[]] =>
    p.adapters.reduce<readonly [T, readonly DoraKept<T>[]]>(
      ([z, kept], adapter, i) => {
        const { active, scale } = adapters[i]!;
        if (!active) return [z, [...kept, { hidden: [], unscaled: none, norm: none }]];
        const [h, product] = throughFactors(k, [adapter.a, adapter.b], x) as [T, T];
        const u = k.add(z, k.mul(product, scale));
        const norm = directionNorms(k, p.weight, adapter, scale);
        const own = isTrained(adapters[i]!) ? { hidden: [h], unscaled: u, norm } : { hidden: [], unscaled: none, norm };
        return [k.mul(u, k.div(adapter.magnitude, norm)), [...kept, own]];
      },
      [k.linear.forward(x, p.weight, null), []],
    );

  /** dy, and du of each adapter, from the last to the first: what the adapter got and what it hands on. */
  const throughMagnitudes = (p: P, kept: DoraResidual<T>['adapters'], dy: T): readonly (readonly [dz: T, du: T])[] =>
    p.adapters.reduceRight<readonly (readonly [T, T])[]>((made, { magnitude }, i) => {
      const dz = made[0]?.[1] ?? dy;
      const du = adapters[i]!.active ? k.mul(dz, k.div(magnitude, kept[i]!.norm as T)) : dz;
      return [[dz, du], ...made];
    }, []);

  const magnitudeGradient = (dz: T, { unscaled, norm }: DoraKept<T>): T =>
    k.div(k.sumFirst(toRows(k, k.mul(dz, unscaled as T))), norm as T);

  const pass = (p: P, { x, adapters: kept }: DoraResidual<T>, dy: T, wantsInput: boolean): readonly [G, T | null] => {
    const passed = throughMagnitudes(p, kept, dy);
    const chains = p.adapters.map((adapter, i) => {
      const own = kept[i]!;
      const [dz, du] = passed[i]!;
      if (!adapters[i]!.active) return { gradient: none, dx: null };
      const chain = chainBackward(k, names, adapter, adapters[i]!, [x, ...own.hidden], du, wantsInput);
      return isTrained(adapters[i]!)
        ? { ...chain, gradient: { ...chain.gradient, magnitude: magnitudeGradient(dz, own) } }
        : chain;
    });
    const first = passed[0]?.[1] ?? dy;
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

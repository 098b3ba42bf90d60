/**
 * What LoRA and its kin share: a chain of small matrices beside a frozen weight, x ↦ x F₀ᵀ F₁ᵀ …, and the layer that adds
 * s times the end of each chain to y = x Wᵀ + b. With hᵢ what goes into factor i (h₀ = x) and gᵢ the gradient of what
 * comes out of it (the last is dy):
 *
 *   hᵢ₊₁ = hᵢ Fᵢᵀ      gᵢ₋₁ = gᵢ Fᵢ      ∂Fᵢ = s·gᵢᵀ hᵢ      ∂x = dy W + Σ s·g₀ F₀
 *
 * Several adapters may lie over one base; each is on or off, and trains or not. What is kept is the input once, if the
 * first factor of any adapter trains, and hᵢ, i ≥ 1, of each adapter that trains: that is all that the formulas read.
 */
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import { type DropoutConfig, dropout } from '../layers/dropout.ts';
import { type Affine, type LinearConfig, linearOutput } from '../layers/linear.ts';
import { freshSlot, type Slot, type Spec } from '../spec/tensor.ts';

export interface LowRankConfig {
  readonly rank: number;
  /** s = α/r, or α/√r (rsLoRA, Kalajdzievski 2023). */
  readonly scale: number;
  readonly active: boolean;
  readonly trains: boolean;
  /** A stays as it began (LoRA-FA, Zhang et al. 2023): x need not be kept for it. Default false. */
  readonly freezeA?: boolean;
  /** Dropout of x on its way into the chain, as PEFT's `lora_dropout`; drawn again in the backward pass. */
  readonly dropout?: DropoutConfig;
}

export const isTrained = ({ active, trains }: LowRankConfig): boolean => active && trains;

/** Whether an adapter's first factor, A, trains: it alone needs x. */
const trainsA = (config: LowRankConfig): boolean => isTrained(config) && config.freezeA !== true;

/** What of x outlives the forward pass: all of it, or nothing. */
export const keptInput = <X>(x: X, configs: readonly LowRankConfig[]): X | None => (configs.some(trainsA) ? x : none);

/** The sub-tree of an adapter that trains. */
export const trainedPart = <A extends object>(adapter: A, config: LowRankConfig): A | Partial<A> | None => {
  if (!isTrained(config)) return none;
  if (config.freezeA !== true) return adapter;
  return Object.fromEntries(Object.entries(adapter).filter(([name]) => name !== 'a')) as Partial<A>;
};

// One chain

/** h₁, h₂, … up to what comes out. */
export const throughFactors = <T extends Spec>(k: Kernels<T>, factors: readonly T[], x: T): readonly T[] =>
  factors.reduce<readonly T[]>((made, factor) => [...made, k.linear.forward(made.at(-1) ?? x, factor, null)], []);

/** g of the factors from `first` on, in their order. */
const outputGradients = <T extends Spec>(k: Kernels<T>, factors: readonly T[], dy: T, first: number): readonly T[] =>
  factors
    .slice(first + 1)
    .reduceRight<readonly T[]>((made, factor) => [k.linear.inputGradient(made[0] as T, factor), ...made], [dy]);

/** What the backward pass of a chain reads and gives; `names` are those of the factors. */
interface ChainGradient<T, N extends string> {
  readonly gradient: Readonly<Record<N, T>> | Partial<Readonly<Record<N, T>>> | None;
  /** s·g₀ F₀, where it was asked for. */
  readonly dx: T | null;
}

/** The backward pass of one chain. `inputs`: x (or the empty tree, if A does not train), h₁, h₂, … */
export const chainBackward = <T extends Spec, N extends string>(
  k: Kernels<T>,
  names: readonly N[],
  adapter: Readonly<Record<N, T>>,
  config: LowRankConfig,
  inputs: readonly (T | None)[],
  dy: T,
  wantsInput: boolean,
): ChainGradient<T, N> => {
  const factors = names.map((name) => adapter[name]);
  const firstTrained = trainsA(config) ? 0 : 1;
  const first = wantsInput ? 0 : firstTrained;
  const outs = outputGradients(k, factors, dy, first);
  const gradient = isTrained(config)
    ? Object.fromEntries(
        names
          .map((name, i) => [name, i] as const)
          .slice(firstTrained)
          .map(([name, i]) => [
            name,
            k.mul(k.linear.weightGradient(outs[i - first] as T, inputs[i] as T), config.scale),
          ]),
      )
    : none;
  const dx = wantsInput ? k.mul(k.linear.inputGradient(outs[0] as T, factors[0] as T), config.scale) : null;
  return { gradient: gradient as ChainGradient<T, N>['gradient'], dx };
};

/** The slots of h₁, h₂, … of an adapter that trains, `[…, r]` each. */
export const hiddenSlots = (s: Slot, config: LowRankConfig, index: number, factors: number): readonly Slot[] =>
  isTrained(config)
    ? Array.from({ length: factors - 1 }, (_, i) =>
        freshSlot(s, `hidden${index}.${i}`, { shape: [...s.shape.slice(0, -1), config.rank], dtype: s.dtype }),
      )
    : [];

/** What x is on its way into a chain, and a gradient on its way out; a mask that is drawn anew keeps nothing. */
export const dropped = <T extends Spec>(k: Kernels<T>, { dropout: config }: LowRankConfig, x: T): T =>
  config === undefined ? x : dropout(k, config).forward(none, x)[0];

// The layer

export interface LowRankParams<T, A> extends Affine<T> {
  readonly adapters: readonly A[];
}

/** Gradients of the factors of each adapter that train, the empty tree for an adapter that does not. */
export interface LowRankGradient<A> {
  readonly adapters: readonly (A | Partial<A> | None)[];
}

export interface LowRankResidual<T> {
  /** The input, if an A trains. */
  readonly x: T | None;
  /** h₁, h₂, … of each adapter that trains. */
  readonly hidden: readonly (readonly T[])[];
}

export type LowRankLayer<T, A> = Layer<LowRankParams<T, A>, LowRankGradient<A>, T, T, LowRankResidual<T>>;

/** y = x Wᵀ + b + Σ s·(the end of the chain), adapters in list order. `names`: the factors as x passes through them. */
export const lowRankLinear = <T extends Spec, N extends string>(
  k: Kernels<T>,
  config: LinearConfig,
  adapters: readonly LowRankConfig[],
  names: readonly N[],
): LowRankLayer<T, Readonly<Record<N, T>>> => {
  type A = Readonly<Record<N, T>>;
  type P = LowRankParams<T, A>;

  const chains = (p: P, { x, hidden }: LowRankResidual<T>, dy: T, wantsInput: boolean): ChainGradient<T, N>[] =>
    p.adapters.map((adapter, i) => {
      const own = adapters[i]!;
      if (!own.active) return { gradient: none, dx: null };
      const input = trainsA(own) ? dropped(k, own, x as T) : none;
      const { gradient, dx } = chainBackward(k, names, adapter, own, [input, ...hidden[i]!], dy, wantsInput);
      return { gradient, dx: dx === null ? null : dropped(k, own, dx) };
    });

  const gradientOf = (of: readonly ChainGradient<T, N>[]): LowRankGradient<A> => ({
    adapters: of.map(({ gradient }) => gradient),
  });

  return {
    forward: (p, x) =>
      k.scope(() => {
        const made = p.adapters.map((adapter, i) =>
          adapters[i]!.active
            ? throughFactors(
                k,
                names.map((name) => adapter[name]),
                dropped(k, adapters[i]!, x),
              )
            : [],
        );
        const y = made.reduce(
          (sum, chain, i) => (chain.length === 0 ? sum : k.add(sum, k.mul(chain.at(-1) as T, adapters[i]!.scale))),
          k.linear.forward(x, p.weight, p.bias ?? null),
        );
        const hidden = made.map((chain, i) => (isTrained(adapters[i]!) ? chain.slice(0, -1) : []));
        return [y, { x: keptInput(x, adapters), hidden }];
      }),
    backward: (p, residual, dy) =>
      k.scope(() => {
        const of = chains(p, residual, dy, true);
        const dx = of.reduce(
          (sum, chain) => (chain.dx === null ? sum : k.add(sum, chain.dx)),
          k.linear.inputGradient(dy, p.weight),
        );
        return [gradientOf(of), dx];
      }),
    gradient: (p, residual, dy) => k.scope(() => gradientOf(chains(p, residual, dy, false))),
    trainable: (p) => ({ adapters: p.adapters.map((adapter, i) => trainedPart(adapter, adapters[i]!)) }),
    output: linearOutput(config),
    residual: (x): SlotTree => {
      const s = theSlot(x);
      return {
        x: keptInput(s, adapters),
        hidden: adapters.map((adapter, i) => hiddenSlots(s, adapter, i, names.length)),
      };
    },
  };
};

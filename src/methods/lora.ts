/**
 * LoRA (Hu et al. 2021) on a linear map: y = x Wᵀ + b + Σ s·(x Aᵀ) Bᵀ, W and b frozen. Here for comparison, and for the
 * interchange with PEFT; the formulas are those of `core/derived/linear.ts` put together:
 *
 *   ∂B = s·Gᵀ(x Aᵀ)      ∂A = s·(G B)ᵀ x      ∂x = G W + Σ s·(G B) A
 *
 * Several adapters may lie over one base; each is on or off, and trains or not. What is kept is the whole input once, and
 * x Aᵀ for each adapter that trains: n·(in + r) numbers.
 */
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type Rng, uniforms } from '../core/rng.ts';
import { type None, none, theSlot } from '../core/tree.ts';
import { type Affine, type LinearConfig, linearOutput } from '../layers/linear.ts';
import { freshSlot, type HostTensorOf, type Spec } from '../spec/tensor.ts';

export interface LoraAdapter<T> {
  /** A `[r, in]` */
  readonly a: T;
  /** B `[out, r]` */
  readonly b: T;
}

export interface LoraParams<T> extends Affine<T> {
  readonly adapters: readonly LoraAdapter<T>[];
}

export interface LoraAdapterConfig {
  readonly rank: number;
  /** s = α/r, or α/√r (rsLoRA). */
  readonly scale: number;
  readonly active: boolean;
  readonly trains: boolean;
}

/** Gradients of A and B of each adapter that trains, the empty tree for the others. */
export interface LoraGradient<T> {
  readonly adapters: readonly (LoraAdapter<T> | None)[];
}

export interface LoraResidual<T> {
  /** The input, if an adapter trains. */
  readonly x: T | None;
  /** x Aᵀ of each adapter that trains. */
  readonly hidden: readonly (T | None)[];
}

export type LoraLayer<T> = Layer<LoraParams<T>, LoraGradient<T>, T, T, LoraResidual<T>>;

const isTrained = ({ active, trains }: LoraAdapterConfig): boolean => active && trains;

export const loraLinear = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
  adapters: readonly LoraAdapterConfig[],
): LoraLayer<T> => {
  const keepsInput = adapters.some(isTrained);

  const gradient = (p: LoraParams<T>, { x, hidden }: LoraResidual<T>, dy: T): LoraGradient<T> => ({
    adapters: p.adapters.map(({ b }, i) => {
      const { scale } = adapters[i]!;
      if (!isTrained(adapters[i]!)) return none;
      return k.scope(() => ({
        a: k.mul(k.linear.weightGradient(k.linear.inputGradient(dy, b), x as T), scale),
        b: k.mul(k.linear.weightGradient(dy, hidden[i] as T), scale),
      }));
    }),
  });

  const inputGradient = (p: LoraParams<T>, dy: T): T =>
    k.scope(() =>
      p.adapters.reduce(
        (dx, { a, b }, i) => {
          const { active, scale } = adapters[i]!;
          if (!active) return dx;
          return k.add(dx, k.mul(k.linear.inputGradient(k.linear.inputGradient(dy, b), a), scale));
        },
        k.linear.inputGradient(dy, p.weight),
      ),
    );

  return {
    forward: (p, x) =>
      k.scope(() => {
        const hidden = p.adapters.map(({ a }, i) => (adapters[i]!.active ? k.linear.forward(x, a, null) : null));
        const y = p.adapters.reduce(
          (sum, { b }, i) =>
            hidden[i] == null ? sum : k.add(sum, k.mul(k.linear.forward(hidden[i], b, null), adapters[i]!.scale)),
          k.linear.forward(x, p.weight, p.bias ?? null),
        );
        const kept = hidden.map((h, i) => (h !== null && isTrained(adapters[i]!) ? h : none));
        return [y, { x: keepsInput ? x : none, hidden: kept }];
      }),
    backward: (p, residual, dy) => [gradient(p, residual, dy), inputGradient(p, dy)],
    gradient,
    trainable: (p) => ({ adapters: p.adapters.map((adapter, i) => (isTrained(adapters[i]!) ? adapter : none)) }),
    output: linearOutput(config),
    residual: (x) => {
      const s = theSlot(x);
      const hidden = adapters.map((adapter, i) =>
        isTrained(adapter)
          ? freshSlot(s, `hidden${i}`, { shape: [...s.shape.slice(0, -1), adapter.rank], dtype: s.dtype })
          : none,
      );
      return { x: keepsInput ? s : none, hidden };
    },
  };
};

/** A as Kaiming-uniform with a = √5 draws it, U(−1/√in, 1/√in), and B = 0, as PEFT begins. */
export const freshLora = (
  rng: Rng,
  { in: width, out }: LinearConfig,
  rank: number,
): LoraAdapter<HostTensorOf<'f32'>> => {
  const bound = 1 / Math.sqrt(width);
  const [u] = uniforms(rng, rank * width);
  return {
    a: { dtype: 'f32', shape: [rank, width], data: Float32Array.from(u, (x) => (2 * x - 1) * bound) },
    b: { dtype: 'f32', shape: [out, rank], data: new Float32Array(out * rank) },
  };
};

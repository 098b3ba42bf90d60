/** LoRA, DoRA and MosLoRA on linear maps: bias, scale, several adapters, a frozen A, merging. */
import { anyLayer } from '../../core/layer.ts';
import { rngFromSeed } from '../../core/rng.ts';
import type { Tree } from '../../core/tree.ts';
import { type DropoutConfig, dropoutMask } from '../../layers/dropout.ts';
import { doraLinear, doraWeight } from '../../methods/dora.ts';
import { loraLinear, loraWeight } from '../../methods/lora.ts';
import type { LowRankConfig } from '../../methods/low-rank.ts';
import { mosloraLinear, mosloraWeight } from '../../methods/moslora.ts';
import type { HostTensor } from '../../spec/tensor.ts';
import { drawn, input, type Json, layerCase, type VectorCase } from '../case.ts';

type Method = 'lora' | 'dora' | 'moslora';

/** An adapter as the manifest states it. */
type Config = Omit<LowRankConfig, 'dropout'>;

const configOf = (rank: number, scale: number, changes: Partial<Config> = {}): Config => ({
  ...{ rank, scale, active: true, trains: true, freezeA: false },
  ...changes,
});

/** The matrices of an adapter, in the order in which x passes through them. */
const matricesOf = (method: Method, name: string, width: number, out: number, rank: number) => ({
  a: drawn(`${name}.a`, rank, width),
  ...(method === 'moslora' && { mixer: drawn(`${name}.mixer`, rank, rank) }),
  b: drawn(`${name}.b`, out, rank),
  ...(method === 'dora' && { magnitude: drawn(`${name}.magnitude`, out) }),
});

interface Options {
  readonly method: Method;
  readonly name: string;
  readonly note: string;
  readonly size: readonly [n: number, width: number, out: number];
  readonly bias?: boolean;
  readonly adapters: readonly Config[];
  /** Of the first adapter. */
  readonly dropout?: DropoutConfig;
}

const makers = { lora: loraLinear, dora: doraLinear, moslora: mosloraLinear } as const;

const linearCase = ({
  method,
  name,
  note,
  size: [n, width, out],
  bias = false,
  adapters,
  dropout,
}: Options): VectorCase => {
  const id = `${method}/${name}`;
  const params: Tree<HostTensor> = {
    weight: drawn(`${id}.weight`, out, width),
    ...(bias && { bias: drawn(`${id}.bias`, out) }),
    adapters: adapters.map(({ rank }, i) => ({ ...matricesOf(method, `${id}.${i}`, width, out, rank) })),
  };
  return layerCase({
    id,
    note,
    settings: { adapters: adapters.map((a): Json => ({ ...a })), ...(dropout && { dropout: dropout.rate }) },
    layer: (k) =>
      anyLayer(
        makers[method](
          k,
          { in: width, out },
          adapters.map((a, i) => (dropout && i === 0 ? { ...a, dropout } : a)),
        ) as never,
      ),
    params,
    x: drawn(`${id}.x`, n, width),
    dy: drawn(`${id}.dy`, n, out),
  });
};

/** The same with dropout before the first adapter; its mask, which this engine draws, is among the inputs. */
const droppingCase = (options: Options & { readonly dropout: DropoutConfig }): VectorCase => {
  const plain = linearCase(options);
  const [n, width] = options.size;
  return { ...plain, inputs: { ...plain.inputs, mask: dropoutMask(options.dropout, [n, width]) } };
};

const SCALE = 0.7;

const mergeCase = (method: Method, note: string): VectorCase => ({
  id: `${method}/merge`,
  note,
  settings: { scale: SCALE },
  inputs: { weight: drawn(`${method}.merge.weight`, 5, 7), ...matricesOf(method, `${method}.merge`, 7, 5, 3) },
  run: (k, inputs) => {
    const [weight, a, b] = ['weight', 'a', 'b'].map((name) => input(inputs, name)) as [never, never, never];
    if (method === 'lora') return { merged: loraWeight(k, weight, { a, b }, SCALE) };
    return method === 'dora'
      ? { merged: doraWeight(k, weight, { a, b, magnitude: input(inputs, 'magnitude') }, SCALE) }
      : { merged: mosloraWeight(k, weight, { a, b, mixer: input(inputs, 'mixer') }, SCALE) };
  },
});

export const lowRankCases: readonly VectorCase[] = [
  linearCase({
    method: 'lora',
    name: 'linear',
    note: 'y = x Wᵀ + s·(x Aᵀ) Bᵀ; dx = dy W + s·(dy B) A; ∂A = s·(dy B)ᵀ x; ∂B = s·dyᵀ(x Aᵀ).',
    size: [7, 5, 3],
    adapters: [configOf(2, 1)],
  }),
  linearCase({
    method: 'lora',
    name: 'linear-several',
    note: 'With bias; the first adapter trains B alone, the second is off, the third acts but does not train, the fourth trains.',
    size: [5, 11, 7],
    bias: true,
    adapters: [
      configOf(2, 0.7, { freezeA: true }),
      configOf(3, 1.5, { active: false }),
      configOf(1, 1.9, { trains: false }),
      configOf(3, 0.3),
    ],
  }),
  mergeCase('lora', 'merged = fl(W + fl(s·B A)).'),
  linearCase({
    method: 'dora',
    name: 'linear',
    note: 'c = m/‖W + s·B A‖ by row; y = c ⊙ u, u = x Wᵀ + s·(x Aᵀ) Bᵀ; ∂m = (Σ dy ⊙ u)/‖W + s·B A‖; A, B and x as LoRA with c ⊙ dy: the norm is detached.',
    size: [7, 5, 3],
    adapters: [configOf(2, 1)],
  }),
  linearCase({
    method: 'dora',
    name: 'linear-several',
    note: 'With bias, added last. Adapters act on u one after the other: y = c₂ ⊙ (c₁ ⊙ (x Wᵀ + …₁) + …₂) + b, each norm of W + s·B A with its own A and B. The first trains B and m alone, the second is off.',
    size: [5, 11, 7],
    bias: true,
    adapters: [configOf(2, 0.7, { freezeA: true }), configOf(3, 1.5, { active: false }), configOf(3, 0.3)],
  }),
  droppingCase({
    method: 'dora',
    name: 'linear-dropout',
    note: 'In training, x′ = x ⊙ mask/(1 − dropout): y = x Wᵀ + (c ⊙ u′ − x′ Wᵀ) + b, u′ = x′ Wᵀ + s·(x′ Aᵀ) Bᵀ; ∂m = (Σ dy ⊙ u′)/‖W + s·B A‖; dx = dy W + ((du − dy) W + s·(du B) A) ⊙ mask/(1 − dropout), du = c ⊙ dy; A and B as LoRA with x′ and du.',
    size: [7, 5, 3],
    bias: true,
    adapters: [configOf(2, 0.7)],
    dropout: { rate: 0.25, rng: rngFromSeed(3) },
  }),
  mergeCase('dora', 'merged = fl(c ⊙ fl(W + fl(s·B A))), c = fl(m/‖W + s·B A‖) by row.'),
  linearCase({
    method: 'moslora',
    name: 'linear',
    note: 'y = x Wᵀ + s·((x Aᵀ) Mᵀ) Bᵀ; dx = dy W + s·((dy B) M) A; ∂A = s·((dy B) M)ᵀ x; ∂M = s·(dy B)ᵀ(x Aᵀ); ∂B = s·dyᵀ((x Aᵀ) Mᵀ).',
    size: [7, 5, 3],
    adapters: [configOf(2, 1)],
  }),
  linearCase({
    method: 'moslora',
    name: 'linear-bias-scale',
    note: 'With bias and s = 2.5.',
    size: [5, 11, 7],
    bias: true,
    adapters: [configOf(3, 2.5)],
  }),
  mergeCase('moslora', 'merged = fl(W + fl(s·B(M A))).'),
];

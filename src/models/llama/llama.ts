/**
 * The LLaMA family (Touvron et al. 2023): Llama 2 and 3, Mistral, Qwen2, Qwen3. Each block is
 *
 *   x + o(attention(rope(q(n)), rope(k(n)), v(n)))  with n = norm(x),
 *   x + down(silu(gate(n))·up(n))                   with n = norm(x).
 *
 * Every place has Hugging Face's module path. Input: token ids `i32 [batch, tokens]`; output: logits
 * `[batch, tokens, vocabulary]`, when decoding of the last token alone, `[batch, 1, vocabulary]`.
 */

import type { Kernels } from '../../core/fused.ts';
import { type AnyLayer, anyInput, anyLayer } from '../../core/layer.ts';
import { attention } from '../../layers/attention.ts';
import { embedding, frozenEmbedding } from '../../layers/embedding.ts';
import { frozenLinear, linear } from '../../layers/linear.ts';
import { mergeHeads, splitHeads } from '../../layers/reshape.ts';
import { frozenRmsNorm, rmsNorm } from '../../layers/rms-norm.ts';
import { rope, ropeTables } from '../../layers/rope.ts';
import { swiglu } from '../../layers/swiglu.ts';
import type { Spec } from '../../spec/tensor.ts';
import type { Architecture, FixedStep, Mode, PlainStep, Step, Weights } from '../architecture.ts';
import { site } from '../steps.ts';
import type { LlamaConfig } from './config.ts';
import { decodingAttention, lastToken, laterRope } from './decoding.ts';
import { scaledRope } from './rope-scaling.ts';

export interface LlamaOptions {
  /** Keep only what goes into each block, and compute the block again for the backward pass. */
  readonly recompute?: boolean;
}

const EMBEDDING = 'model.embed_tokens';
const ROPE = 'rope';
const HEAD = 'lm_head';

const norm = (path: string, width: number, epsilon: number): PlainStep => ({
  kind: 'plain',
  path,
  shapes: { weight: [width] },
  fresh: 'ones',
  make: (k, trains) => anyLayer((trains ? rmsNorm : frozenRmsNorm)(k, { width, epsilon }) as never),
});

const map = (path: string, width: number, out: number, bias: boolean): Step =>
  site(path, { kind: 'linear', config: { in: width, out } }, bias);

const fixed = (
  name: string,
  make: <T extends Spec>(k: Kernels<T>, mode: Mode) => AnyLayer<T> | null,
  reads?: string,
): FixedStep => ({ kind: 'fixed', name, make, ...(reads !== undefined && { reads }) });

/** Queries or keys: the map, heads, a norm of each head where the model has one, positions. */
const positioned = (c: LlamaConfig, path: string, name: 'q' | 'k'): readonly Step[] => {
  const heads = { heads: name === 'q' ? c.heads : c.groups, width: c.headWidth };
  return [
    map(`${path}.${name}_proj`, c.width, heads.heads * heads.width, c.inputBias),
    fixed(`${path}.${name}_heads`, (k) => anyLayer(splitHeads(k, heads))),
    ...(c.headNorm ? [norm(`${path}.${name}_norm`, c.headWidth, c.epsilon)] : []),
    fixed(
      `${path}.${name}_rope`,
      (k, mode) => anyLayer(mode.kind === 'decode' ? laterRope(k, heads, mode.position) : rope(k, heads, mode.starts)),
      ROPE,
    ),
  ];
};

const attentionSteps = (c: LlamaConfig, block: string, window: number | null): readonly Step[] => {
  const path = `${block}.self_attn`;
  const { heads, groups, headWidth: width } = c;
  const config = { heads, groups, width, scale: 1 / Math.sqrt(width), causal: true, window };
  return [
    norm(`${block}.input_layernorm`, c.width, c.epsilon),
    {
      kind: 'fork',
      first: positioned(c, path, 'q'),
      second: [
        {
          kind: 'fork',
          first: positioned(c, path, 'k'),
          second: [
            map(`${path}.v_proj`, c.width, groups * width, c.inputBias),
            fixed(`${path}.v_heads`, (k) => anyLayer(splitHeads(k, { heads: groups, width }))),
          ],
        },
      ],
    },
    {
      kind: 'fixed',
      name: path,
      remembers: true,
      make: (k, mode) =>
        mode.kind === 'decode'
          ? decodingAttention(k, config, path, mode.past)
          : anyInput(attention(k, { ...config, starts: mode.starts })),
    },
    fixed(`${path}.merge`, (k) => anyLayer(mergeHeads(k, { heads, width }))),
    map(`${path}.o_proj`, heads * width, c.width, c.outputBias),
  ];
};

const feedForwardSteps = (c: LlamaConfig, block: string): readonly Step[] => {
  const path = `${block}.mlp`;
  return [
    norm(`${block}.post_attention_layernorm`, c.width, c.epsilon),
    {
      kind: 'fork',
      first: [map(`${path}.gate_proj`, c.width, c.feedForward, false)],
      second: [map(`${path}.up_proj`, c.width, c.feedForward, false)],
    },
    fixed(path, (k) => anyInput(swiglu(k))),
    map(`${path}.down_proj`, c.feedForward, c.width, false),
  ];
};

const blockSteps = (c: LlamaConfig, i: number, { recompute = false }: LlamaOptions): readonly Step[] => {
  const block = `model.layers.${i}`;
  const steps: readonly Step[] = [
    { kind: 'residual', steps: attentionSteps(c, block, c.windows[i] ?? null) },
    { kind: 'residual', steps: feedForwardSteps(c, block) },
  ];
  return recompute ? [{ kind: 'recompute', name: block, steps }] : steps;
};

const embeddingStep = ({ vocabulary: rows, width }: LlamaConfig): PlainStep => ({
  kind: 'plain',
  path: EMBEDDING,
  shapes: { weight: [rows, width] },
  fresh: { bound: 0.02 * Math.sqrt(3) },
  make: (k, trains) => anyLayer((trains ? embedding : frozenEmbedding)(k, { rows, width }) as never),
});

/** The head reads the embedding's table where the two are tied; then it is no place that a method adapts. */
const headStep = ({ vocabulary: out, width, tied }: LlamaConfig): Step =>
  tied
    ? {
        kind: 'plain',
        path: HEAD,
        tiedTo: EMBEDDING,
        shapes: {},
        fresh: 'ones',
        make: (k, trains) => anyLayer((trains ? linear : frozenLinear)(k, { in: width, out }) as never),
      }
    : map(HEAD, width, out, false);

const tablesOf = ({ headWidth, theta, scaling, positions }: LlamaConfig): Weights => {
  const { frequencies, factor } = scaledRope(headWidth, theta, scaling);
  return { ...ropeTables(positions, frequencies, factor) };
};

export const llama = (c: LlamaConfig, options: LlamaOptions = {}): Architecture => ({
  name: 'llama',
  input: [1],
  inputType: 'i32',
  constants: { [ROPE]: tablesOf(c) },
  steps: [
    embeddingStep(c),
    ...Array.from({ length: c.layers }, (_, i) => blockSteps(c, i, options)).flat(),
    fixed('last', (k, mode) => (mode.kind === 'decode' ? anyLayer(lastToken(k)) : null)),
    norm('model.norm', c.width, c.epsilon),
    headStep(c),
  ],
  head: HEAD,
});

/**
 * Hugging Face's `config.json` of the LLaMA family as a {@link LlamaConfig}: Llama, Mistral, Qwen2 and Qwen3, as
 * transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`) write it. What would change the model and is not
 * known here is an error; other keys are left aside.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as v from 'valibot';
import type { LlamaConfig } from '../models/llama/config.ts';
import type { RopeScaling } from '../models/llama/rope-scaling.ts';
import { elementary64 } from '../spec/elementary/index.ts';
import { fail, type Result } from '../spec/errors.ts';

const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));

const ropeSchema = v.looseObject({
  rope_theta: v.optional(positive),
  rope_type: v.optional(v.string()),
  /** The name of `rope_type` in older files. */
  type: v.optional(v.string()),
  factor: v.optional(positive),
  original_max_position_embeddings: v.nullish(count),
  low_freq_factor: v.optional(positive),
  high_freq_factor: v.optional(positive),
  beta_fast: v.nullish(positive),
  beta_slow: v.nullish(positive),
  attention_factor: v.nullish(positive),
  mscale: v.nullish(v.number()),
  mscale_all_dim: v.nullish(v.number()),
  truncate: v.optional(v.boolean()),
});

type Rope = v.InferOutput<typeof ropeSchema>;

const configSchema = v.looseObject({
  model_type: v.picklist(['llama', 'mistral', 'qwen2', 'qwen3']),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: v.nullish(count),
  head_dim: v.nullish(count),
  hidden_act: v.literal('silu'),
  rms_norm_eps: positive,
  max_position_embeddings: count,
  tie_word_embeddings: v.optional(v.boolean(), false),
  attention_bias: v.optional(v.boolean(), false),
  mlp_bias: v.optional(v.literal(false), false),
  rope_theta: v.optional(positive),
  rope_scaling: v.nullish(ropeSchema),
  rope_parameters: v.nullish(ropeSchema),
  sliding_window: v.nullish(count),
  use_sliding_window: v.optional(v.boolean()),
  max_window_layers: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  layer_types: v.nullish(v.array(v.picklist(['full_attention', 'sliding_attention']))),
});

type File = v.InferOutput<typeof configSchema>;

/** 0.1·m·ln F + 1, YaRN's attention factor for a stretch F. */
const mscale = (factor: number, m: number): number => (factor <= 1 ? 1 : 0.1 * m * elementary64.log(factor) + 1);

const attentionFactor = (factor: number, { attention_factor, mscale: m, mscale_all_dim: all }: Rope): number => {
  if (attention_factor != null) return attention_factor;
  return m != null && all != null && m !== 0 && all !== 0 ? mscale(factor, m) / mscale(factor, all) : mscale(factor, 1);
};

const scalingOf = (rope: Rope, positions: number, where: string): Result<RopeScaling> => {
  const kind = rope.rope_type ?? rope.type ?? 'default';
  const { factor, low_freq_factor: lowFrequency, high_freq_factor: highFrequency } = rope;
  const originalPositions = rope.original_max_position_embeddings ?? positions;
  if (kind === 'default') return E.right({ kind: 'none' });
  if (kind !== 'linear' && kind !== 'llama3' && kind !== 'yarn') {
    return fail('ConfigError', 'a rope_type of default, linear, llama3 or yarn', `'${kind}'`, where);
  }
  if (factor === undefined) return fail('ConfigError', `a factor of ${kind} rope scaling`, 'none', where);
  if (kind === 'linear') return E.right({ kind, factor });
  if (kind === 'yarn') {
    return E.right({
      ...{ kind, factor, originalPositions },
      fast: rope.beta_fast ?? 32,
      slow: rope.beta_slow ?? 1,
      attentionFactor: attentionFactor(factor, rope),
      truncate: rope.truncate ?? true,
    });
  }
  return lowFrequency !== undefined && highFrequency !== undefined && lowFrequency < highFrequency
    ? E.right({ kind, factor, lowFrequency, highFrequency, originalPositions })
    : fail('ConfigError', 'low_freq_factor below high_freq_factor', `${lowFrequency}, ${highFrequency}`, where);
};

/** How far back each layer sees. Qwen's files carry a window that only counts with `use_sliding_window`. */
const windowsOf = (file: File, where: string): Result<LlamaConfig['windows']> => {
  const { model_type: type, num_hidden_layers: layers, sliding_window: size = null, layer_types: types } = file;
  const isQwen = type === 'qwen2' || type === 'qwen3';
  const window = type === 'llama' || (isQwen && file.use_sliding_window !== true) ? null : size;
  if (types != null && types.length !== layers) {
    return fail('ConfigError', `layer_types of ${layers} layers`, `${types.length} of them`, where);
  }
  const slides = (i: number): boolean =>
    types == null ? !isQwen || i >= (file.max_window_layers ?? 0) : types[i] === 'sliding_attention';
  return E.right(Array.from({ length: layers }, (_, i) => (slides(i) ? window : null)));
};

const build = (file: File, where: string): Result<LlamaConfig> => {
  const { model_type: type, hidden_size: width, num_attention_heads: heads } = file;
  const groups = file.num_key_value_heads ?? heads;
  const headWidth = file.head_dim ?? width / heads;
  if (!Number.isInteger(headWidth) || headWidth % 2 !== 0) {
    return fail('ConfigError', 'heads of an even whole width', String(headWidth), where);
  }
  if (heads % groups !== 0) {
    return fail('ConfigError', `num_key_value_heads that divide ${heads}`, String(groups), where);
  }
  const rope = file.rope_parameters ?? file.rope_scaling ?? {};
  return pipe(
    E.Do,
    E.bind('scaling', () => scalingOf(rope, file.max_position_embeddings, where)),
    E.bind('windows', () => windowsOf(file, where)),
    E.map(
      ({ scaling, windows }): LlamaConfig => ({
        ...{ width, heads, groups, headWidth, scaling, windows },
        vocabulary: file.vocab_size,
        layers: file.num_hidden_layers,
        feedForward: file.intermediate_size,
        epsilon: file.rms_norm_eps,
        theta: file.rope_parameters?.rope_theta ?? file.rope_theta ?? 10000,
        positions: file.max_position_embeddings,
        tied: file.tie_word_embeddings,
        inputBias: type === 'qwen2' || file.attention_bias,
        outputBias: type !== 'qwen2' && file.attention_bias,
        headNorm: type === 'qwen3',
      }),
    ),
  );
};

/** `json`: the parsed file; `where`: its name. Errors: another family, a key of the wrong kind, settings unknown here. */
export const parseLlamaConfig = (json: unknown, where: string): Result<LlamaConfig> => {
  const parsed = v.safeParse(configSchema, json, { abortEarly: true });
  if (parsed.success) return build(parsed.output, where);
  const [issue] = parsed.issues;
  return fail('ConfigError', issue.expected ?? issue.message, issue.received, `${where}: ${v.getDotPath(issue) ?? ''}`);
};

/** The keys that `config.json` has for a model of any family; family, biases, windows and scaling are said beside them. */
export const commonConfigKeys = (config: LlamaConfig): Readonly<Record<string, unknown>> => ({
  vocab_size: config.vocabulary,
  hidden_size: config.width,
  intermediate_size: config.feedForward,
  num_hidden_layers: config.layers,
  num_attention_heads: config.heads,
  num_key_value_heads: config.groups,
  head_dim: config.headWidth,
  hidden_act: 'silu',
  rms_norm_eps: config.epsilon,
  rope_theta: config.theta,
  max_position_embeddings: config.positions,
  tie_word_embeddings: config.tied,
});

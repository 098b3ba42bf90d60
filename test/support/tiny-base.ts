/** A base folder in the layout of Hugging Face that takes a moment: a tiny LLaMA with fresh weights, and a tiny tokenizer. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rngFromSeed } from '../../src/core/rng.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import type { Files } from '../../src/io/store.ts';
import { initialWeights } from '../../src/models/architecture.ts';
import type { LlamaConfig } from '../../src/models/llama/config.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { tinyLlama } from './tiny-llama.ts';
import { configFile, type TinyOptions, tokenizerFile, vocabularySize } from './tiny-tokenizer.ts';

/** A folder with these files. */
export const writeFolder = (folder: string, files: Files): string => {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
  return folder;
};

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const huggingFace = (config: LlamaConfig): Record<string, unknown> => ({
  model_type: 'llama',
  vocab_size: config.vocabulary,
  hidden_size: config.width,
  intermediate_size: config.feedForward,
  num_hidden_layers: config.layers,
  num_attention_heads: config.heads,
  num_key_value_heads: config.groups,
  head_dim: config.headWidth,
  hidden_act: 'silu',
  rms_norm_eps: config.epsilon,
  max_position_embeddings: config.positions,
  tie_word_embeddings: config.tied,
  rope_theta: config.theta,
});

export interface TinyBaseOptions extends TinyOptions {
  readonly seed?: number;
  /** As in `configFile`; null for none. */
  readonly chatTemplate?: unknown;
}

/** Its architecture's settings. */
export const tinyBaseConfig: LlamaConfig = tinyLlama({ vocabulary: vocabularySize, positions: 64 });

/** Writes the folder. */
export const tinyBase = (folder: string, { seed = 1, chatTemplate, ...options }: TinyBaseOptions = {}): string =>
  writeFolder(
    folder,
    new Map([
      ['config.json', json(huggingFace(tinyBaseConfig))],
      ['model.safetensors', encodeSafetensors(initialWeights(llama(tinyBaseConfig), rngFromSeed(seed)))],
      ['tokenizer.json', json(tokenizerFile(options))],
      ['tokenizer_config.json', json(configFile(chatTemplate))],
    ]),
  );

/** A base folder and data for the commands of language models: a tiny random LLaMA with a tiny tokenizer. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rngFromSeed } from '../../src/core/rng.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { initialWeights } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { tinyLlama } from '../support/tiny-llama.ts';
import { configFile, tokenizerFile, vocabularySize } from '../support/tiny-tokenizer.ts';

export const writeBase = (folder: string): string => {
  const config = tinyLlama({ vocabulary: vocabularySize, positions: 64 });
  const json = (name: string, value: unknown): void => writeFileSync(join(folder, name), JSON.stringify(value));
  mkdirSync(folder, { recursive: true });
  json('config.json', {
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
    rope_theta: config.theta,
    max_position_embeddings: config.positions,
    tie_word_embeddings: config.tied,
  });
  json('tokenizer.json', tokenizerFile());
  json('tokenizer_config.json', configFile());
  const weights = initialWeights(llama(config), rngFromSeed(1));
  writeFileSync(join(folder, 'model.safetensors'), encodeSafetensors(weights));
  return folder;
};

/** Mails that are long or short, and say so. */
export const writeData = (path: string, count: number): string => {
  const line = (i: number): string =>
    JSON.stringify(
      i % 2 === 0
        ? { prompt: `buy ${i} now?`, completion: ' spam', category: i % 4 === 0 ? 'even' : 'odd' }
        : { prompt: `see you ${i}?`, completion: ' ham', category: 'odd' },
    );
  writeFileSync(path, `${Array.from({ length: count }, (_, i) => line(i)).join('\n')}\n`);
  return path;
};

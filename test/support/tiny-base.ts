/** A base folder in the layout of Hugging Face that takes a moment: a tiny LLaMA with fresh weights, and a tiny tokenizer. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rngFromSeed } from '../../src/core/rng.ts';
import { commonConfigKeys } from '../../src/io/llama-config.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import type { Files } from '../../src/io/store.ts';
import { initialWeights } from '../../src/models/architecture.ts';
import type { LlamaConfig } from '../../src/models/llama/config.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { tinyLlama } from './tiny-llama.ts';
import { configFile, type TinyOptions, tokenizerFile, vocabularySize } from './tiny-tokenizer.ts';

/** A folder with these files. */
export const writeFolder = (folder: string, files: Files | Readonly<Record<string, Uint8Array | string>>): string => {
  mkdirSync(folder, { recursive: true });
  const entries = files instanceof Map ? [...files] : Object.entries(files);
  for (const [name, content] of entries) writeFileSync(join(folder, name), content);
  return folder;
};

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

export interface TinyBaseOptions extends TinyOptions {
  readonly seed?: number;
  /** As in `configFile`; null for none. */
  readonly chatTemplate?: unknown;
  /** What differs from {@link tinyBaseConfig}. */
  readonly config?: Partial<LlamaConfig>;
}

/** Its architecture's settings. */
export const tinyBaseConfig: LlamaConfig = tinyLlama({ vocabulary: vocabularySize, positions: 64 });

/** Writes the folder. */
export const tinyBase = (
  folder: string,
  { seed = 1, chatTemplate, config, ...options }: TinyBaseOptions = {},
): string => {
  const own = { ...tinyBaseConfig, ...config };
  const type = own.inputBias ? 'qwen2' : 'llama';
  return writeFolder(
    folder,
    new Map([
      ['config.json', json({ model_type: type, ...commonConfigKeys(own) })],
      ['model.safetensors', encodeSafetensors(initialWeights(llama(own), rngFromSeed(seed)))],
      ['tokenizer.json', json(tokenizerFile(options))],
      ['tokenizer_config.json', json(configFile(chatTemplate))],
    ]),
  );
};

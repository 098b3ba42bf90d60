/** A `config.json` alone: the model, and the type in which it says that its weights are stored. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { parseLlamaConfig } from '../../io/llama-config.ts';
import type { StorageType } from '../../io/narrow-host.ts';
import type { LlamaConfig } from '../../models/llama/config.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { excerpt, type JsonObject } from '../../spec/strict-json.ts';

export interface ModelConfig {
  readonly config: LlamaConfig;
  readonly dtype: StorageType;
}

const types: Readonly<Record<string, StorageType>> = { float32: 'f32', float16: 'f16', bfloat16: 'bf16' };

/** `dtype`, which older files call `torch_dtype`; f32 if there is neither. */
const dtypeOf = ({ dtype, torch_dtype: older }: JsonObject, where: string): Result<StorageType> => {
  const name = dtype ?? older ?? 'float32';
  return typeof name === 'string' && Object.hasOwn(types, name)
    ? E.right(types[name] as StorageType)
    : fail('ConfigError', `one of ${Object.keys(types).join(', ')}`, excerpt(name), `${where}, dtype`);
};

export const parseModelConfig = (json: unknown, where: string): Result<ModelConfig> =>
  pipe(
    parseLlamaConfig(json, where),
    E.bindTo('config'),
    E.bind('dtype', () => dtypeOf(json as JsonObject, where)),
  );

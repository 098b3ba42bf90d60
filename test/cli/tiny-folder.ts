import { rngFromSeed, splitRng, uniforms } from '../../src/core/rng.ts';
import { type AdapterFile, encodeAdapter } from '../../src/io/adapter.ts';
import type { DoraAdapterFile, LoraAdapterFile, MosloraAdapterFile } from '../../src/io/adapter-lora.ts';
import type { PacaAdapterFile } from '../../src/io/adapter-paca.ts';
import { commonConfigKeys } from '../../src/io/llama-config.ts';
import { narrowHost, type StorageType } from '../../src/io/narrow-host.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { type Architecture, initialWeights, sitesOf, type Weights } from '../../src/models/architecture.ts';
import type { LlamaConfig } from '../../src/models/llama/config.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensorOf } from '../../src/spec/tensor.ts';
import { writeFolder } from '../support/tiny-base.ts';
import { tinyLlama } from '../support/tiny-llama.ts';

const tinyConfig: LlamaConfig = tinyLlama({ tied: false });
export const configFile: Readonly<Record<string, unknown>> = { model_type: 'llama', ...commonConfigKeys(tinyConfig) };
export const tinyArchitecture: Architecture = llama(tinyConfig);

/** The weights, stored in this type. */
export const tinyWeights = (dtype: StorageType = 'f32'): Weights =>
  Object.fromEntries(
    Object.entries(initialWeights(tinyArchitecture, rngFromSeed(3))).map(([name, tensor]) => [
      name,
      orThrow(narrowHost(tensor as HostTensorOf<'f32'>, dtype, name)).tensor,
    ]),
  );

export const companions = {
  'generation_config.json': '{"eos_token_id": 2}\n',
  'tokenizer.json': '{"not": "read"}',
  'tokenizer_config.json': '{}',
  'chat_template.jinja': '{{ messages }}',
};

export const writeBase = (folder: string, dtype: StorageType = 'f32', config: object = configFile): string =>
  writeFolder(folder, {
    ...companions,
    'config.json': JSON.stringify(config),
    'model.safetensors': encodeSafetensors(tinyWeights(dtype)),
    'README.md': 'a model card of the base',
  });

const drawn = (name: string, ...shape: readonly number[]): HostTensorOf<'f32'> => {
  const [u] = uniforms(
    splitRng(rngFromSeed(7), name),
    shape.reduce((a, b) => a * b, 1),
  );
  return { dtype: 'f32', shape, data: Float32Array.from(u, (x) => 2 * x - 1) };
};

const adapted = sitesOf(tinyArchitecture).filter(({ path }) => /[qv]_proj|down_proj/.test(path));

const settings = { rank: 3, alpha: 5, targetModules: ['q_proj', 'v_proj', 'down_proj'], taskType: 'CAUSAL_LM' };

export const pacaAdapter: PacaAdapterFile = {
  method: 'paca',
  ...settings,
  seed: 1,
  modules: Object.fromEntries(
    adapted.map(({ path, operation: { config } }, i) => [
      path,
      { indices: Int32Array.of(i, i + 2, i + 5), delta: drawn(path, config.out, 3) },
    ]),
  ),
};

export const loraAdapter: LoraAdapterFile = {
  method: 'lora',
  ...settings,
  rankStabilized: true,
  modules: Object.fromEntries(
    adapted.map(({ path, operation: { config } }) => [
      path,
      { a: drawn(`${path}.a`, 3, config.in), b: drawn(`${path}.b`, config.out, 3), alpha: 5 },
    ]),
  ),
};

export const doraAdapter: DoraAdapterFile = {
  ...loraAdapter,
  method: 'dora',
  modules: Object.fromEntries(
    Object.entries(loraAdapter.modules).map(([path, module]) => [
      path,
      { ...module, magnitude: drawn(`${path}.magnitude`, module.b.shape[0]!) },
    ]),
  ),
};

export const mosloraAdapter: MosloraAdapterFile = {
  ...loraAdapter,
  method: 'moslora',
  modules: Object.fromEntries(
    Object.entries(loraAdapter.modules).map(([path, module]) => [
      path,
      { ...module, mixer: drawn(`${path}.mixer`, 3, 3) },
    ]),
  ),
};

export const writeAdapter = (folder: string, adapter: AdapterFile = pacaAdapter): string =>
  writeFolder(folder, encodeAdapter(adapter));

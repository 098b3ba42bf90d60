/**
 * A PaCA adapter as Hugging Face PEFT (0.22) stores it: `adapter_config.json` and `adapter_model.safetensors` with
 * `base_model.model.<path>.paca_delta` and `….paca_indices`.
 */
import type { HostTensor } from '../spec/tensor.ts';
import { encodeSafetensors } from './safetensors.ts';
import type { Files } from './store.ts';

/** One adapted module. */
export interface AdapterModule {
  readonly indices: Int32Array;
  /** δ, f32. */
  readonly delta: HostTensor;
}

export interface PacaAdapterFile {
  readonly rank: number;
  readonly alpha: number;
  readonly targetModules: readonly string[];
  readonly seed: number;
  readonly modules: Readonly<Record<string, AdapterModule>>;
}

const PREFIX = 'base_model.model.';
const TENSORS = 'adapter_model.safetensors';
const CONFIG = 'adapter_config.json';

const sorted = (record: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

const configOf = ({ rank, alpha, targetModules, seed }: PacaAdapterFile): Readonly<Record<string, unknown>> =>
  sorted({
    peft_type: 'PACA',
    r: rank,
    paca_alpha: alpha,
    target_modules: targetModules,
    exclude_modules: null,
    layers_to_transform: null,
    layers_pattern: null,
    random_seed: seed,
    init_weights: true,
    modules_to_save: null,
    task_type: null,
    auto_mapping: null,
    base_model_name_or_path: null,
    peft_version: '0.22.0',
    revision: null,
    inference_mode: true,
  });

/** The two files of an adapter. */
export const encodeAdapter = (adapter: PacaAdapterFile): Files => {
  const tensors = Object.entries(adapter.modules).flatMap(([path, { indices, delta }]) => [
    [`${PREFIX}${path}.paca_delta`, delta] as const,
    [
      `${PREFIX}${path}.paca_indices`,
      { dtype: 'i64', shape: [indices.length], data: BigInt64Array.from(indices, BigInt) },
    ] as const,
  ]);
  return new Map([
    [TENSORS, encodeSafetensors(Object.fromEntries(tensors), { format: 'pt' })],
    [CONFIG, new TextEncoder().encode(`${JSON.stringify(configOf(adapter), null, 2)}\n`)],
  ]);
};

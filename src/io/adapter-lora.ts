/**
 * Adapters of linear maps by LoRA, DoRA and MosLoRA, as Hugging Face PEFT stores its own: of each module `lora_A.weight`
 * `[r, in]` and `lora_B.weight` `[out, r]`. Ranks and alphas may differ by module (`rank_pattern`, `alpha_pattern`).
 *
 * DoRA is PEFT's LoRA with `use_dora`, and `lora_magnitude_vector` `[out]`. PEFT has no MosLoRA: its `peft_type` is MOSLORA
 * here, so that PEFT refuses it rather than loads a part of it, its keys are those of LoRA, and the mixer of each module is
 * `lora_mixer.weight` `[r, r]`.
 *
 * Law: reading gives each module its own rank (that of its A) and alpha; writing makes patterns of those that differ
 * from the adapter's.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { type Patterns, patternsOf, valueAt } from '../methods/patterns.ts';
import { fail, type Result } from '../spec/errors.ts';
import { checkObject, excerpt, type JsonObject } from '../spec/strict-json.ts';
import { type HostTensor, type HostTensorOf, type Shape, sameShape } from '../spec/tensor.ts';
import {
  type AdapterSettings,
  CONFIG,
  encodeConfig,
  isBoolean,
  isNumber,
  isRank,
  type Keys,
  optional,
  readSettings,
} from './adapter-config.ts';
import { encodeTensors, hasSaved, splitSaved, type TrainedBiases } from './adapter-saved.ts';
import { floatsOf, isPartOf, type Parts, partsOf, TENSORS, traverseModules } from './adapter-tensors.ts';
import { bareRecord } from './safetensors-header.ts';
import type { Files } from './store.ts';

/** One adapted linear map; its rank is that of A. */
export interface LoraModule {
  /** A `[r, in]` */
  readonly a: HostTensorOf<'f32'>;
  /** B `[out, r]` */
  readonly b: HostTensorOf<'f32'>;
  readonly alpha: number;
}

export interface DoraModule extends LoraModule {
  /** m `[out]` */
  readonly magnitude: HostTensorOf<'f32'>;
}

export interface MosloraModule extends LoraModule {
  /** M `[r, r]` */
  readonly mixer: HostTensorOf<'f32'>;
}

/** `rank` and `alpha` are those of modules without their own. */
export interface LowRankFile<Method extends string, Module> extends AdapterSettings {
  readonly method: Method;
  /** Whether s is α/√r (rsLoRA) and not α/r. */
  readonly rankStabilized: boolean;
  /** By their paths. */
  readonly modules: Readonly<Record<string, Module>>;
}

export type LoraAdapterFile = LowRankFile<'lora', LoraModule>;
export type DoraAdapterFile = LowRankFile<'dora', DoraModule>;
export type MosloraAdapterFile = LowRankFile<'moslora', MosloraModule>;
export type LowRankAdapterFile = LoraAdapterFile | DoraAdapterFile | MosloraAdapterFile;

/** s, by which the product of a module's matrices is multiplied. */
export const loraScale = (
  { rankStabilized }: Pick<LowRankAdapterFile, 'rankStabilized'>,
  module: LoraModule,
): number => {
  const rank = module.a.shape[0]!;
  return module.alpha / (rankStabilized ? Math.sqrt(rank) : rank);
};

type Part = 'lora_A.weight' | 'lora_B.weight' | 'lora_magnitude_vector' | 'lora_mixer.weight';
type Name = 'a' | 'b' | 'magnitude' | 'mixer';

/** The parts of a module of each method, by their names here. */
const partsFor: Readonly<Record<LowRankAdapterFile['method'], readonly (readonly [Name, Part])[]>> = {
  lora: [
    ['a', 'lora_A.weight'],
    ['b', 'lora_B.weight'],
  ],
  dora: [
    ['a', 'lora_A.weight'],
    ['b', 'lora_B.weight'],
    ['magnitude', 'lora_magnitude_vector'],
  ],
  moslora: [
    ['a', 'lora_A.weight'],
    ['b', 'lora_B.weight'],
    ['mixer', 'lora_mixer.weight'],
  ],
};

export const loraKeys: Keys = {
  alpha: 'lora_alpha',
  own: ['bias', 'rank_pattern', 'alpha_pattern', 'use_rslora', 'use_dora', 'init_lora_weights'],
  idle: [
    'corda_config',
    'eva_config',
    'loftq_config',
    'lora_dropout',
    'lora_ga_config',
    'megatron_config',
    'megatron_core',
    'qalora_group_size',
    'runtime_config',
  ],
  off: [
    'alora_invocation_tokens',
    'arrow_config',
    'ensure_weight_tying',
    'fan_in_fan_out',
    'kasa_config',
    'layer_replication',
    'lora_bias',
    'monteclora_config',
    'target_parameters',
    'trainable_token_indices',
    'use_bdlora',
    'use_qalora',
    'velora_config',
  ],
};

/** Beginnings that leave the base weights alone. Others (`pissa`, `olora`, …) change them, so B A alone says too little. */
const beginnings: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal'];

// Reading

const isBiases = (value: unknown): value is TrainedBiases | 'none' =>
  value === 'none' || value === 'all' || value === 'lora_only';

const readPatterns = (
  config: JsonObject,
  key: string,
  is: (value: unknown) => value is number,
  expected: string,
  at: string,
): Result<Patterns> => {
  const where = `${at}, ${key}`;
  return pipe(
    checkObject(config[key] ?? {}, 'an object', where),
    E.chain((map) => {
      const wrong = Object.entries(map).find(([, value]) => !is(value));
      return wrong === undefined
        ? patternsOf(map as Readonly<Record<string, number>>, where)
        : fail('ConfigError', expected, excerpt(wrong[1]), `${where}, ${excerpt(wrong[0])}`);
    }),
  );
};

interface Scaling {
  readonly rankOf: (path: string) => number;
  readonly alphaOf: (path: string) => number;
}

/** What a part must look like, in a module of rank r. */
const shapeOf = (name: Name, rank: number): readonly [fits: (shape: Shape) => boolean, expected: string] => {
  switch (name) {
    case 'a':
      return [(shape) => shape.length === 2 && shape[0] === rank, `[${rank}, in]`];
    case 'b':
      return [(shape) => shape.length === 2 && shape[1] === rank, `[out, ${rank}]`];
    case 'mixer':
      return [(shape) => sameShape(shape, [rank, rank]), `[${rank}, ${rank}]`];
    case 'magnitude':
      return [(shape) => shape.length === 1, '[out]'];
  }
};

const readModule =
  (parts: readonly (readonly [Name, Part])[], { rankOf, alphaOf }: Scaling, where: string) =>
  (path: string, module: Parts<Part>): Result<LoraModule> =>
    pipe(
      parts,
      E.traverseArray(([name, part]) =>
        pipe(
          floatsOf(module[part], ...shapeOf(name, rankOf(path)), `${where}, ${path}.${part}`),
          E.map((tensor) => [name, tensor] as const),
        ),
      ),
      E.map((tensors) => ({ ...Object.fromEntries(tensors), alpha: alphaOf(path) }) as unknown as LoraModule),
    );

const checkBeginning = (config: JsonObject, where: string): Result<void> =>
  beginnings.includes(config.init_lora_weights)
    ? E.right(undefined)
    : fail(
        'ConfigError',
        'init_lora_weights that leave the base weights alone (convert the adapter when saving it)',
        excerpt(config.init_lora_weights),
        `${where}, init_lora_weights`,
      );

const methodOf = (config: JsonObject, where: string): Result<LowRankAdapterFile['method']> =>
  config.peft_type === 'MOSLORA'
    ? E.right('moslora')
    : pipe(
        optional(config, 'use_dora', isBoolean, 'true or false', where),
        E.map((isDora) => (isDora === true ? 'dora' : 'lora')),
      );

/** An adapter whose `peft_type` is LORA or MOSLORA. */
export const readLora = (
  config: JsonObject,
  tensors: Readonly<Record<string, HostTensor>>,
  where: string,
): Result<LowRankAdapterFile> => {
  const at = `${where}/${CONFIG}`;
  return pipe(
    checkBeginning(config, at),
    E.bind('method', () => methodOf(config, at)),
    E.bind('settings', () => readSettings(config, loraKeys, at)),
    E.bind('stabilized', () => optional(config, 'use_rslora', isBoolean, 'true or false', at)),
    E.bind('ranks', () => readPatterns(config, 'rank_pattern', isRank, 'a whole number from 1 on', at)),
    E.bind('alphas', () => readPatterns(config, 'alpha_pattern', isNumber, 'a number', at)),
    E.let('parts', ({ method }) => partsFor[method].map(([, part]) => part)),
    E.bind('biases', () => optional(config, 'bias', isBiases, 'none, all or lora_only', at)),
    E.let('bias', ({ biases }) => (biases === null || biases === 'none' ? {} : { bias: biases })),
    E.bind('split', ({ parts, settings, bias }) =>
      splitSaved(tensors, { ...settings, ...bias }, isPartOf(parts), `${where}/${TENSORS}`),
    ),
    E.bind('found', ({ parts, split }) => partsOf(split.others, parts, `${where}/${TENSORS}`)),
    E.bind('modules', ({ method, settings, ranks, alphas, found }) => {
      const rankOf = (path: string): number => valueAt(ranks, path, settings.rank);
      const alphaOf = (path: string): number => valueAt(alphas, path, settings.alpha);
      return traverseModules(found, readModule(partsFor[method], { rankOf, alphaOf }, `${where}/${TENSORS}`));
    }),
    E.map(
      ({ method, settings, stabilized, modules, bias, split: { saved } }) =>
        ({
          ...{ method, ...settings, rankStabilized: stabilized ?? false, modules, ...bias },
          ...(hasSaved(saved) && { saved }),
        }) as LowRankAdapterFile,
    ),
  );
};

// Writing

/** The expression that matches this path alone. */
const exactly = (path: string): string => `^${path.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}`;

/** The values that differ from the adapter's own, by the expression of their module. */
const patternFrom = (
  { modules }: LowRankAdapterFile,
  ownOf: (module: LoraModule) => number,
  common: number,
): Readonly<Record<string, number>> =>
  bareRecord(
    Object.entries<LoraModule>(modules)
      .map(([path, module]) => [exactly(path), ownOf(module)] as const)
      .filter(([, value]) => value !== common),
  );

/** The two files of an adapter, with the keys of PEFT 0.21. */
export const encodeLoraAdapter = (adapter: LowRankAdapterFile): Files => {
  const modules = Object.entries<object>(adapter.modules).map(([path, module]): [string, Parts<string>] => [
    path,
    Object.fromEntries(
      partsFor[adapter.method].map(([name, part]) => [part, (module as Readonly<Record<Name, HostTensor>>)[name]]),
    ),
  ]);
  const config = encodeConfig(adapter, loraKeys, {
    alora_invocation_tokens: null,
    alpha_pattern: patternFrom(adapter, ({ alpha }) => alpha, adapter.alpha),
    arrow_config: null,
    bias: adapter.bias ?? 'none',
    corda_config: null,
    ensure_weight_tying: false,
    eva_config: null,
    fan_in_fan_out: false,
    init_lora_weights: true,
    kasa_config: null,
    layer_replication: null,
    loftq_config: {},
    lora_bias: false,
    lora_dropout: 0,
    lora_ga_config: null,
    megatron_config: null,
    megatron_core: 'megatron.core',
    monteclora_config: null,
    peft_type: adapter.method === 'moslora' ? 'MOSLORA' : 'LORA',
    peft_version: '0.21.2',
    qalora_group_size: 16,
    rank_pattern: patternFrom(adapter, ({ a }) => a.shape[0]!, adapter.rank),
    target_parameters: null,
    trainable_token_indices: null,
    use_bdlora: null,
    use_dora: adapter.method === 'dora',
    use_qalora: false,
    use_rslora: adapter.rankStabilized,
    velora_config: null,
  });
  return new Map([
    [TENSORS, encodeTensors(Object.fromEntries(modules), adapter.saved)],
    [CONFIG, config],
  ]);
};

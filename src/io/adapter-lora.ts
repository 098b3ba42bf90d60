/**
 * A LoRA adapter of linear maps as Hugging Face PEFT stores it: of each module `lora_A.weight` `[r, in]` and
 * `lora_B.weight` `[out, r]`. Ranks and alphas may differ by module (`rank_pattern`, `alpha_pattern`).
 *
 * Law: reading gives each module its own rank (that of its A) and alpha; writing makes patterns of those that differ
 * from the adapter's.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import { checkObject, excerpt, type JsonObject } from '../spec/strict-json.ts';
import type { HostTensor, HostTensorOf } from '../spec/tensor.ts';
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
import { floatsOf, nameParts, type Parts, partsOf, TENSORS, traverseModules } from './adapter-tensors.ts';
import { encodeSafetensors } from './safetensors.ts';
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

/** `rank` and `alpha` are those of modules without their own. */
export interface LoraAdapterFile extends AdapterSettings {
  readonly method: 'lora';
  /** Whether s is α/√r (rsLoRA) and not α/r. */
  readonly rankStabilized: boolean;
  /** By their paths. */
  readonly modules: Readonly<Record<string, LoraModule>>;
}

/** s, by which B A is multiplied in this module. */
export const loraScale = ({ rankStabilized }: Pick<LoraAdapterFile, 'rankStabilized'>, module: LoraModule): number => {
  const rank = module.a.shape[0]!;
  return module.alpha / (rankStabilized ? Math.sqrt(rank) : rank);
};

type Part = 'lora_A.weight' | 'lora_B.weight';
const parts: readonly Part[] = ['lora_A.weight', 'lora_B.weight'];

export const loraKeys: Keys = {
  alpha: 'lora_alpha',
  own: ['rank_pattern', 'alpha_pattern', 'use_rslora', 'init_lora_weights'],
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
    'bias',
    'ensure_weight_tying',
    'fan_in_fan_out',
    'kasa_config',
    'layer_replication',
    'lora_bias',
    'modules_to_save',
    'monteclora_config',
    'target_parameters',
    'trainable_token_indices',
    'use_bdlora',
    'use_dora',
    'use_qalora',
    'velora_config',
  ],
};

/** Beginnings that leave the base weights alone. Others (`pissa`, `olora`, …) change them, so B A alone says too little. */
const beginnings: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal'];

// Reading

type Patterns = readonly (readonly [matches: RegExp, value: number])[];

/** A key is a regular expression of the path, or of its end behind a dot. */
const patternOf = (key: string, where: string): Result<RegExp> =>
  pipe(
    E.tryCatch(() => new RegExp(`^(?:.*\\.)?(?:${key})$`, 'u'), String),
    E.mapLeft(
      (why): PacaError => ({
        tag: 'ConfigError',
        expected: 'a regular expression',
        came: `${excerpt(key)} (${excerpt(why)})`,
        where,
      }),
    ),
  );

const patternsOf = (
  config: JsonObject,
  key: string,
  is: (value: unknown) => value is number,
  expected: string,
  where: string,
): Result<Patterns> => {
  const entryOf = ([pattern, value]: readonly [string, unknown]): Result<Patterns[number]> =>
    is(value)
      ? pipe(
          patternOf(pattern, where),
          E.map((matches) => [matches, value] as const),
        )
      : fail('ConfigError', expected, excerpt(value), `${where}, ${excerpt(pattern)}`);
  return pipe(
    checkObject(config[key] ?? {}, 'an object', where),
    E.chain((map) => E.traverseArray(entryOf)(Object.entries(map))),
  );
};

/** The first pattern that matches wins, as in PEFT. */
const valueAt = (patterns: Patterns, path: string, otherwise: number): number =>
  patterns.find(([matches]) => matches.test(path))?.[1] ?? otherwise;

interface Scaling {
  readonly rankOf: (path: string) => number;
  readonly alphaOf: (path: string) => number;
}

const readModule =
  ({ rankOf, alphaOf }: Scaling, where: string) =>
  (path: string, module: Parts<Part>): Result<LoraModule> => {
    const rank = rankOf(path);
    const at = (part: Part): string => `${where}, ${path}.${part}`;
    const isA = (shape: readonly number[]): boolean => shape.length === 2 && shape[0] === rank;
    const isB = (shape: readonly number[]): boolean => shape.length === 2 && shape[1] === rank;
    return pipe(
      floatsOf(module['lora_A.weight'], isA, `[${rank}, in]`, at('lora_A.weight')),
      E.bindTo('a'),
      E.bind('b', () => floatsOf(module['lora_B.weight'], isB, `[out, ${rank}]`, at('lora_B.weight'))),
      E.map(({ a, b }) => ({ a, b, alpha: alphaOf(path) })),
    );
  };

const checkBeginning = (config: JsonObject, where: string): Result<void> =>
  beginnings.includes(config.init_lora_weights)
    ? E.right(undefined)
    : fail(
        'ConfigError',
        'init_lora_weights that leave the base weights alone (convert the adapter when saving it)',
        excerpt(config.init_lora_weights),
        `${where}, init_lora_weights`,
      );

export const readLora = (
  config: JsonObject,
  tensors: Readonly<Record<string, HostTensor>>,
  where: string,
): Result<LoraAdapterFile> => {
  const at = `${where}/${CONFIG}`;
  return pipe(
    checkBeginning(config, at),
    E.bind('settings', () => readSettings(config, loraKeys, at)),
    E.bind('stabilized', () => optional(config, 'use_rslora', isBoolean, 'true or false', at)),
    E.bind('ranks', () =>
      patternsOf(config, 'rank_pattern', isRank, 'a whole number from 1 on', `${at}, rank_pattern`),
    ),
    E.bind('alphas', () => patternsOf(config, 'alpha_pattern', isNumber, 'a number', `${at}, alpha_pattern`)),
    E.bind('found', () => partsOf(tensors, parts, `${where}/${TENSORS}`)),
    E.bind('modules', ({ settings, ranks, alphas, found }) => {
      const rankOf = (path: string): number => valueAt(ranks, path, settings.rank);
      const alphaOf = (path: string): number => valueAt(alphas, path, settings.alpha);
      return traverseModules(found, readModule({ rankOf, alphaOf }, `${where}/${TENSORS}`));
    }),
    E.map(({ settings, stabilized, modules }) => ({
      method: 'lora',
      ...settings,
      rankStabilized: stabilized ?? false,
      modules,
    })),
  );
};

// Writing

/** The expression that matches this path alone. */
const exactly = (path: string): string => `^${path.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}`;

/** The values that differ from the adapter's own, by the expression of their module. */
const patternFrom = (
  { modules }: LoraAdapterFile,
  ownOf: (module: LoraModule) => number,
  common: number,
): Readonly<Record<string, number>> =>
  bareRecord(
    Object.entries(modules)
      .map(([path, module]) => [exactly(path), ownOf(module)] as const)
      .filter(([, value]) => value !== common),
  );

/** The two files of an adapter, with the keys of PEFT 0.21. */
export const encodeLoraAdapter = (adapter: LoraAdapterFile): Files => {
  const modules = Object.entries(adapter.modules).map(([path, { a, b }]): [string, Parts<Part>] => [
    path,
    { 'lora_A.weight': a, 'lora_B.weight': b },
  ]);
  const config = encodeConfig(adapter, loraKeys, {
    alora_invocation_tokens: null,
    alpha_pattern: patternFrom(adapter, ({ alpha }) => alpha, adapter.alpha),
    arrow_config: null,
    bias: 'none',
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
    modules_to_save: null,
    monteclora_config: null,
    peft_type: 'LORA',
    peft_version: '0.21.2',
    qalora_group_size: 16,
    rank_pattern: patternFrom(adapter, ({ a }) => a.shape[0]!, adapter.rank),
    target_parameters: null,
    trainable_token_indices: null,
    use_bdlora: null,
    use_dora: false,
    use_qalora: false,
    use_rslora: adapter.rankStabilized,
    velora_config: null,
  });
  return new Map([
    [TENSORS, encodeSafetensors(nameParts(Object.fromEntries(modules)), { format: 'pt' })],
    [CONFIG, config],
  ]);
};

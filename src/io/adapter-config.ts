/**
 * `adapter_config.json` as Hugging Face PEFT writes it: what an adapter of either kind says about itself.
 *
 * Laws: a key that is not known is dropped with a warning, never an error. A setting that would change what the adapter
 * computes, and that is not supported here, is an error that names it, unless it is off.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { type ModulePattern, matchTargets } from '../methods/targets.ts';
import { fail, type Result } from '../spec/errors.ts';
import { excerpt, type JsonObject } from '../spec/strict-json.ts';
import type { Saving } from './adapter-saved.ts';

/** What both kinds say. What is null or left out is not set. */
export interface AdapterSettings extends Saving {
  readonly rank: number;
  readonly alpha: number;
  readonly targetModules: ModulePattern;
  readonly excludeModules?: ModulePattern | null;
  /** The blocks that are adapted, and the name of their list. */
  readonly layersToTransform?: number | readonly number[] | null;
  readonly layersPattern?: ModulePattern | null;
  /** `CAUSAL_LM` and the like. */
  readonly taskType?: string | null;
  /** Name or path of the model that it belongs to. */
  readonly base?: string | null;
  readonly revision?: string | null;
}

/** What PEFT calls the keys of one kind of adapter. */
export interface Keys {
  readonly alpha: string;
  /** Read by the reader of this kind. */
  readonly own: readonly string[];
  /** Without effect on an adapter that is trained. */
  readonly idle: readonly string[];
  /** Supported only if off: they change what the adapter computes. */
  readonly off: readonly string[];
}

export const CONFIG = 'adapter_config.json';

const settingKeys: readonly string[] = [
  'peft_type',
  'r',
  'target_modules',
  'exclude_modules',
  'layers_to_transform',
  'layers_pattern',
  'modules_to_save',
  'task_type',
  'base_model_name_or_path',
  'revision',
];

const idleKeys: readonly string[] = ['auto_mapping', 'inference_mode', 'peft_version'];

// Fields

/** A field of the config, null where it is left out. */
export const optional = <A>(
  config: JsonObject,
  key: string,
  is: (value: unknown) => value is A,
  expected: string,
  where: string,
): Result<A | null> => {
  const value = config[key] ?? null;
  return value === null || is(value)
    ? E.right(value)
    : fail('ConfigError', expected, excerpt(value), `${where}, ${key}`);
};

const required = <A>(
  config: JsonObject,
  key: string,
  is: (value: unknown) => value is A,
  expected: string,
  where: string,
): Result<A> => {
  const value = config[key];
  return is(value) ? E.right(value) : fail('ConfigError', expected, excerpt(value), `${where}, ${key}`);
};

export const isRank = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;
export const isNumber = (value: unknown): value is number => Number.isFinite(value);
export const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isText = (value: unknown): value is string => typeof value === 'string';
const isNames = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(isText);
const isPattern = (value: unknown): value is ModulePattern => isText(value) || isNames(value);
const isLayers = (value: unknown): value is number | readonly number[] =>
  (Array.isArray(value) ? value : [value]).every((n) => Number.isSafeInteger(n) && n >= 0);

const isOff = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === false ||
  value === 'none' ||
  (typeof value === 'object' && Object.keys(value).length === 0);

// Reading

const checkOff = (config: JsonObject, { off }: Keys, where: string): Result<void> => {
  const on = off.find((key) => !isOff(config[key]));
  return on === undefined
    ? E.right(undefined)
    : fail('ConfigError', 'a setting that is off: it is not supported', excerpt(config[on]), `${where}, ${on}`);
};

/** A warning for each key that nothing is known of. */
export const unknownKeys = (config: JsonObject, keys: Keys, where: string): readonly string[] => {
  const known = [...settingKeys, ...idleKeys, keys.alpha, ...keys.own, ...keys.idle, ...keys.off];
  return Object.keys(config)
    .filter((key) => !known.includes(key))
    .map((key) => `${where}: the key ${excerpt(key)} is not known and was dropped`);
};

export const readSettings = (config: JsonObject, keys: Keys, where: string): Result<AdapterSettings> => {
  const pattern = 'a regular expression, or a list of names';
  return pipe(
    checkOff(config, keys, where),
    E.bind('rank', () => required(config, 'r', isRank, 'a whole number from 1 on', where)),
    E.bind('alpha', () => required(config, keys.alpha, isNumber, 'a number', where)),
    E.bind('targetModules', () => required(config, 'target_modules', isPattern, pattern, where)),
    E.bind('excludeModules', () => optional(config, 'exclude_modules', isPattern, pattern, where)),
    E.bind('layersToTransform', () => optional(config, 'layers_to_transform', isLayers, 'numbers of layers', where)),
    E.bind('layersPattern', () => optional(config, 'layers_pattern', isPattern, pattern, where)),
    E.bind('modulesToSave', () => optional(config, 'modules_to_save', isNames, 'a list of names', where)),
    E.bind('taskType', () => optional(config, 'task_type', isText, 'text', where)),
    E.bind('base', () => optional(config, 'base_model_name_or_path', isText, 'text', where)),
    E.bind('revision', () => optional(config, 'revision', isText, 'text', where)),
  );
};

const compiles = (pattern: ModulePattern): boolean =>
  typeof pattern !== 'string' || E.isRight(E.tryCatch(() => new RegExp(pattern, 'u'), String));

/**
 * PEFT loads only tensors of modules that the settings choose: any other would be lost there without a word. Warns
 * instead where an expression is Python's alone.
 */
export const checkTargets = (
  { targetModules, excludeModules }: AdapterSettings,
  paths: readonly string[],
  where: string,
): Result<readonly string[]> => {
  const targets = { targetModules, excludeModules: excludeModules ?? [] };
  if (!compiles(targets.targetModules) || !compiles(targets.excludeModules))
    return E.right([`${where}: a regular expression that JavaScript does not know was not held against the modules`]);
  const chosen = pipe(
    matchTargets(targets, paths, ''),
    E.getOrElse((): readonly string[] => []),
  );
  const lost = paths.find((path) => !chosen.includes(path));
  return lost === undefined
    ? E.right([])
    : fail(
        'ConfigError',
        'target_modules, without exclude_modules, to match each module that has tensors',
        `${excerpt(lost)} unmatched`,
        where,
      );
};

// Writing

/** The text of the file: sorted keys, two spaces. */
export const encodeConfig = (settings: AdapterSettings, keys: Keys, rest: JsonObject): Uint8Array => {
  const config: JsonObject = {
    r: settings.rank,
    [keys.alpha]: settings.alpha,
    target_modules: settings.targetModules,
    exclude_modules: settings.excludeModules ?? null,
    layers_to_transform: settings.layersToTransform ?? null,
    layers_pattern: settings.layersPattern ?? null,
    modules_to_save: settings.modulesToSave ?? null,
    task_type: settings.taskType ?? null,
    base_model_name_or_path: settings.base ?? null,
    revision: settings.revision ?? null,
    auto_mapping: null,
    inference_mode: true,
    ...rest,
  };
  const sorted = Object.fromEntries(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1)));
  return new TextEncoder().encode(`${JSON.stringify(sorted, null, 2)}\n`);
};

/** What `paca plan` is asked: a model, and how it would be trained. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as v from 'valibot';
import { type StorageType, storageTypes } from '../../io/narrow-host.ts';
import { type TrainingMethod, trainingMethods } from '../../methods/adapt.ts';
import type { ModulePattern } from '../../methods/targets.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { bytes, count, modules, parseWith, path, share } from '../schema.ts';

const schema = v.strictObject({
  base: v.optional(path),
  config: v.optional(path),
  method: v.optional(v.picklist(trainingMethods)),
  rank: v.optional(count),
  targetModules: v.optional(modules),
  excludeModules: v.optional(modules),
  modulesToSave: v.optional(v.array(path)),
  dtype: v.optional(v.picklist([...storageTypes, 'nf4'] as const)),
  batchSize: v.optional(count),
  sequence: v.optional(count),
  recompute: v.optional(v.boolean()),
  dropBackward: v.optional(share),
  memory: v.optional(bytes),
});

export const planKeys: readonly string[] = Object.keys(schema.entries);

/** The most that one WebAssembly memory may hold. */
const wasmMemory = 2 ** 32;

export interface PlanInput {
  /** The model's folder or its name on a hub, or null; and the file that describes it, in the folder if there is one. */
  readonly base: string | null;
  readonly config: string;
  /** How it was named. */
  readonly model: string;
  /** Null: none was asked for. */
  readonly method: TrainingMethod | null;
  readonly rank: number;
  readonly targetModules: ModulePattern;
  readonly excludeModules: ModulePattern;
  readonly modulesToSave: readonly string[];
  /** Null: as the config says. */
  readonly dtype: StorageType | 'nf4' | null;
  readonly batch: number;
  /** Null: 512, or fewer where the model has fewer positions. */
  readonly sequence: number | null;
  readonly recompute: boolean;
  readonly dropBackward: number;
  readonly memory: number;
}

type Given = v.InferOutput<typeof schema>;

const adapterKeys = ['rank', 'targetModules', 'excludeModules', 'modulesToSave'] as const;

const fill = (c: Given, where: string): Result<PlanInput> => {
  const { base, config } = c;
  if ((base === undefined) === (config === undefined)) {
    const came = base === undefined ? 'neither' : 'both';
    return fail('ConfigError', 'either base, a folder or owner/name, or config, a config.json', came, where);
  }
  const idle = c.method === 'full' ? adapterKeys.find((key) => c[key] !== undefined) : undefined;
  if (idle !== undefined) {
    return fail(
      'ConfigError',
      `method: paca, lora, dora or moslora, without which '${idle}' has no effect`,
      String(c[idle]),
      where,
    );
  }
  return E.right({
    base: base ?? null,
    config: config ?? 'config.json',
    model: base ?? (config as string),
    method: c.method ?? null,
    rank: c.rank ?? 16,
    targetModules: c.targetModules ?? 'all-linear',
    excludeModules: c.excludeModules ?? [],
    modulesToSave: c.modulesToSave ?? [],
    dtype: c.dtype ?? null,
    batch: c.batchSize ?? 8,
    sequence: c.sequence ?? null,
    recompute: c.recompute ?? false,
    dropBackward: c.dropBackward ?? 0,
    memory: c.memory ?? wasmMemory,
  });
};

/** From what a file and the flags say together. */
export const parsePlan = (input: unknown, where: string): Result<PlanInput> =>
  pipe(
    parseWith(schema, planKeys, input, where),
    E.chain((given) => fill(given, where)),
  );

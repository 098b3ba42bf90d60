/** The config of a language model's run: one flat YAML or JSON file, or the same keys as flags, which win. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as v from 'valibot';
import { type RecordFormat, recordFormats } from '../../data/records.ts';
import { selectors } from '../../select/selector.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { parseWith } from '../schema.ts';
import type { TextInput } from './settings.ts';

const positive = v.pipe(v.number(), v.finite(), v.gtValue(0));
const count = v.pipe(v.number(), v.integer(), v.minValue(1));
const fromZero = v.pipe(v.number(), v.integer(), v.minValue(0));
const seed = v.pipe(v.number(), v.safeInteger());
const modules = v.union([v.string(), v.array(v.string())]);
const path = v.pipe(v.string(), v.minLength(1));

const textSchema = v.strictObject({
  base: path,
  data: path,
  validation: v.optional(v.union([path, v.pipe(v.number(), v.minValue(0), v.ltValue(1))])),
  test: v.optional(path),
  format: v.optional(v.picklist(['auto', ...recordFormats] as ['auto', ...RecordFormat[]])),
  lossOn: v.optional(v.picklist(['completion', 'all'])),
  maxLength: v.optional(count),
  pack: v.optional(v.boolean()),
  choices: v.optional(v.pipe(v.array(v.string()), v.minLength(2))),
  samples: v.optional(fromZero),
  recompute: v.optional(v.boolean()),
  method: v.optional(v.picklist(['full', 'paca', 'lora'])),
  rank: v.optional(count),
  alpha: v.optional(positive),
  select: v.optional(v.picklist(Object.keys(selectors))),
  selectSeed: v.optional(seed),
  calibrationBatches: v.optional(count),
  targetModules: v.optional(modules),
  excludeModules: v.optional(modules),
  optimizer: v.optional(v.picklist(['adamw', 'sgd', 'momentum'])),
  learningRate: v.optional(positive),
  schedule: v.optional(v.picklist(['constant', 'linear', 'cosine'])),
  warmUpSteps: v.optional(fromZero),
  momentum: v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1))),
  decay: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0))),
  decayTowards: v.optional(v.picklist(['pretrained', 'zero'])),
  clip: v.optional(v.nullable(positive)),
  batchSize: v.optional(count),
  gradAccumulation: v.optional(count),
  steps: v.optional(count),
  epochs: v.optional(positive),
  seed: v.optional(seed),
  dataSeed: v.optional(seed),
  evalEvery: v.optional(count),
  checkpointEvery: v.optional(count),
  backend: v.optional(v.string()),
  threads: v.optional(count),
});

export const textKeys: readonly string[] = Object.keys(textSchema.entries);

/** The key has an effect only if the config is so. */
type Rule = readonly [key: keyof TextInput, holds: (c: TextInput) => boolean, needs: string];

const isPaca = (c: TextInput): boolean => (c.method ?? 'paca') === 'paca';

const rules: readonly Rule[] = [
  ...(['rank', 'alpha', 'targetModules', 'excludeModules'] as const).map(
    (key): Rule => [key, (c) => c.method !== 'full', 'method: paca or lora'],
  ),
  ['select', isPaca, 'method: paca'],
  [
    'selectSeed',
    (c) => c.method === 'lora' || (isPaca(c) && (c.select ?? 'random') === 'random'),
    'a random selection',
  ],
  ['calibrationBatches', (c) => isPaca(c) && (c.select ?? '').startsWith('gradient'), 'a selection by gradient'],
  ['momentum', (c) => c.optimizer === 'momentum', 'optimizer: momentum'],
  ['decayTowards', (c) => (c.decay ?? 0) > 0, 'a decay above 0'],
  ['choices', (c) => c.test !== undefined, 'a test file'],
  ['samples', (c) => c.test !== undefined, 'a test file'],
  ['epochs', (c) => c.steps === undefined, 'no steps'],
];

const checkRules = (config: TextInput, where: string): Result<TextInput> => {
  const broken = rules.find(([key, holds]) => config[key] !== undefined && !holds(config));
  return broken === undefined
    ? E.right(config)
    : fail('ConfigError', `${broken[2]}, without which '${broken[0]}' has no effect`, String(config[broken[0]]), where);
};

/** From what a file and the flags say together. */
export const parseText = (input: unknown, where: string): Result<TextInput> =>
  pipe(
    parseWith(textSchema, textKeys, input, where),
    E.chain((config) => checkRules(config as TextInput, where)),
  );

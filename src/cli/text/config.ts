/** The config of a language model's run: one flat YAML or JSON file, or the same keys as flags, which win. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as v from 'valibot';
import { type RecordFormat, recordFormats } from '../../data/records.ts';
import { trainingMethods } from '../../methods/adapt.ts';
import { selectors } from '../../select/selector.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { count, modules, parseWith, path, positive, seed, share } from '../schema.ts';
import type { TextInput } from './settings.ts';

const fromZero = v.pipe(v.number(), v.integer(), v.minValue(0));

/** An optional key with what it means; the descriptions go into the JSON Schema. */
const key = <S extends v.GenericSchema>(value: S, description: string) =>
  v.pipe(v.optional(value), v.description(description));

const schema = v.strictObject({
  base: v.pipe(
    path,
    v.description('Hugging Face checkpoint of the LLaMA family: a folder, or owner/name[@revision], which is fetched.'),
  ),
  data: v.pipe(path, v.description('JSONL file to learn from.')),
  validation: key(
    v.union([path, v.pipe(v.number(), v.minValue(0), v.ltValue(1))]),
    'JSONL file, or the share of data that is held out. Default 0.05.',
  ),
  test: key(path, 'JSONL file on which the model is judged before and after.'),
  format: key(
    v.picklist(['auto', ...recordFormats] as ['auto', ...RecordFormat[]]),
    'What the records are; by default they tell themselves.',
  ),
  lossOn: key(v.picklist(['completion', 'all']), 'Learn answers alone, or prompts too. Default completion.'),
  maxLength: key(count, 'Tokens of a sequence; longer ones are cut. Default 512.'),
  pack: key(v.boolean(), 'Put several documents into a row of maxLength. Default false.'),
  attendAcross: key(
    v.boolean(),
    'With pack: a document sees those before it in its row, and positions count on. Default false: its loss and gradients are those that it has alone.',
  ),
  choices: key(
    v.pipe(v.array(v.string()), v.minLength(2)),
    'Answers of the test, compared by their likelihood. Without them the answer is generated and must be the same.',
  ),
  samples: key(fromZero, "Tests that are shown with the model's own answer. Default 3."),
  recompute: key(v.boolean(), 'Keep only what goes into each block, and compute it again. Default false.'),
  dropBackward: key(
    share,
    'Share of the branches (attention, feed-forward) that each backward pass leaves out, drawn anew (DropBP). Default 0.',
  ),
  method: key(v.picklist(trainingMethods), 'Default paca.'),
  rank: key(count, 'Columns of each weight (paca), or the width of A and B (lora, dora, moslora). Default 16.'),
  alpha: key(positive, 's = alpha/rank. Default rank.'),
  rankStabilized: key(v.boolean(), 's = alpha/√rank (rsLoRA), with lora, dora and moslora. Default false.'),
  freezeA: key(v.boolean(), 'A stays as drawn (LoRA-FA), with lora, dora and moslora. Default false.'),
  loraDropout: key(
    share,
    'Share of the input that is left out before A in training, with lora, dora and moslora. Default 0.',
  ),
  rankPattern: key(
    v.record(v.string(), count),
    "Ranks of some modules, by expressions of their paths or ends of paths, as PEFT's rank_pattern.",
  ),
  alphaPattern: key(v.record(v.string(), positive), 'Alphas of some modules, the same way.'),
  bias: key(
    v.picklist(['none', 'all', 'lora_only']),
    'Biases that train beside lora, dora and moslora, where the model has some: all, or those of the maps that are adapted. Default none.',
  ),
  select: key(v.picklist(Object.keys(selectors)), 'How columns are chosen. Default random.'),
  selectSeed: key(seed, 'Seed of the choice, or of the matrices of lora, dora and moslora. Default 0.'),
  calibrationBatches: key(count, 'Batches that a choice by gradient looks at. Default 10.'),
  targetModules: key(modules, 'Expression, list of names, or all-linear (default), which leaves out the head.'),
  excludeModules: key(modules, 'The same, to leave out.'),
  modulesToSave: key(
    v.array(path),
    'Modules, by their paths or the ends of these, that train in full beside the adapter and are saved whole with it: lm_head, embed_tokens, norms, others. They are no targets then.',
  ),
  optimizer: key(v.picklist(['adamw', 'sgd', 'momentum']), 'Default adamw.'),
  learningRate: key(positive, 'Default 0.005 (paca), 0.003 (lora, dora, moslora), 0.001 (full).'),
  schedule: key(v.picklist(['constant', 'linear', 'cosine']), 'Default cosine.'),
  warmUpSteps: key(fromZero, 'Default 10.'),
  momentum: key(share, 'With optimizer: momentum. Default 0.9.'),
  decay: key(v.pipe(v.number(), v.finite(), v.minValue(0)), 'Weight decay. Default 0.'),
  decayTowards: key(v.picklist(['pretrained', 'zero']), 'What decay pulls towards. Default pretrained.'),
  clip: key(v.nullable(positive), 'Largest norm of the gradient. Default 1; null for none.'),
  batchSize: key(count, 'Rows of a micro-batch. Default 8.'),
  gradAccumulation: key(count, 'Micro-batches of a step. Default 1.'),
  steps: key(count, 'Default: one epoch.'),
  epochs: key(positive, 'In place of steps.'),
  seed: key(seed, 'Default 1.'),
  dataSeed: key(seed, 'Seed of the order of the data and of the split. Default 1.'),
  evalEvery: key(count, 'Steps from one validation to the next. Default 50.'),
  checkpointEvery: key(count, 'Steps from one checkpoint to the next. Default 50.'),
  backend: key(v.string(), 'Default: the fastest exact one.'),
  threads: key(count, 'Threads of the WebAssembly backend.'),
});

export const textSchema: v.GenericSchema = schema;

export const textKeys: readonly string[] = Object.keys(schema.entries);

/** The key has an effect only if the config is so. */
type Rule = readonly [key: keyof TextInput, holds: (c: TextInput) => boolean, needs: string];

const isPaca = (c: TextInput): boolean => (c.method ?? 'paca') === 'paca';
const isLowRank = (c: TextInput): boolean => !isPaca(c) && c.method !== 'full';

const rules: readonly Rule[] = [
  ...(['rank', 'alpha', 'targetModules', 'excludeModules', 'modulesToSave'] as const).map(
    (key): Rule => [key, (c) => c.method !== 'full', 'method: paca, lora, dora or moslora'],
  ),
  ...(['rankStabilized', 'freezeA', 'rankPattern', 'alphaPattern', 'bias', 'loraDropout'] as const).map(
    (key): Rule => [key, isLowRank, 'method: lora, dora or moslora'],
  ),
  ['select', isPaca, 'method: paca'],
  ['selectSeed', (c) => isLowRank(c) || (isPaca(c) && (c.select ?? 'random') === 'random'), 'a random selection'],
  ['calibrationBatches', (c) => isPaca(c) && (c.select ?? '').startsWith('gradient'), 'a selection by gradient'],
  ['attendAcross', (c) => c.pack === true, 'pack: true'],
  ['momentum', (c) => c.optimizer === 'momentum', 'optimizer: momentum'],
  ['decayTowards', (c) => (c.decay ?? 0) > 0, 'a decay above 0'],
  ['choices', (c) => c.test !== undefined, 'a test file'],
  ['samples', (c) => c.test !== undefined, 'a test file'],
  ['epochs', (c) => c.steps === undefined, 'no steps'],
];

/** The config without the keys that have no effect beside the others. */
export const effective = (config: TextInput): TextInput => {
  const idle = rules.filter(([, holds]) => !holds(config)).map(([key]) => key as string);
  return Object.fromEntries(
    Object.entries(config).filter(([key, value]) => value !== undefined && !idle.includes(key)),
  ) as unknown as TextInput;
};

const checkRules = (config: TextInput, where: string): Result<TextInput> => {
  const broken = rules.find(([key, holds]) => config[key] !== undefined && !holds(config));
  return broken === undefined
    ? E.right(config)
    : fail('ConfigError', `${broken[2]}, without which '${broken[0]}' has no effect`, String(config[broken[0]]), where);
};

/** A config whose keys are right one by one, whether or not each has an effect. */
export const parseTextKeys = (input: unknown, where: string): Result<TextInput> =>
  pipe(
    parseWith(schema, textKeys, input, where),
    E.map((config) => config as TextInput),
  );

/** From what a file and the flags say together. */
export const parseText = (input: unknown, where: string): Result<TextInput> =>
  pipe(
    parseTextKeys(input, where),
    E.chain((config) => checkRules(config, where)),
  );

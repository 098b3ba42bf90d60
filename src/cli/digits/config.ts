/**
 * The config of a run: one flat YAML or JSON file, or the same keys as flags (`--learning-rate 0.01`), which win.
 * A key that does not exist, a value of the wrong kind and an option that would have no effect are errors.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as v from 'valibot';
import { selectors } from '../../select/selector.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { count, modules, parseWith, positive, seed } from '../schema.ts';
import type { CompareInput, FinetuneInput, SharedInput } from './settings.ts';

const fromZero = v.pipe(v.number(), v.finite(), v.minValue(0));
const selectorName = v.picklist(Object.keys(selectors));

/** What a run and a comparison have in common. */
const sharedEntries = {
  /** What is learnt: digits, pretrained upright, fine-tuned to a shifted domain. */
  task: v.optional(v.picklist(['digits'])),
  model: v.optional(v.picklist(['mlp', 'tanh', 'cnn'])),
  shift: v.optional(v.picklist(['rotate', 'invert', 'none'])),
  /** Counter-clockwise, with `shift: rotate`. */
  degrees: v.optional(v.pipe(v.number(), v.finite())),
  rank: v.optional(count),
  /** s = α/r; α = r if not given. */
  alpha: v.optional(positive),
  selectSeed: v.optional(seed),
  calibrationBatches: v.optional(count),
  targetModules: v.optional(modules),
  excludeModules: v.optional(modules),
  optimizer: v.optional(v.picklist(['adamw', 'sgd', 'momentum'])),
  learningRate: v.optional(positive),
  schedule: v.optional(v.picklist(['constant', 'linear', 'cosine'])),
  warmUpSteps: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  momentum: v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1))),
  decay: v.optional(fromZero),
  decayTowards: v.optional(v.picklist(['pretrained', 'zero'])),
  /** Largest global norm of the gradient. */
  clip: v.optional(positive),
  dropout: v.optional(v.pipe(v.number(), v.minValue(0), v.ltValue(1))),
  /** Examples a micro-batch. */
  batchSize: v.optional(count),
  /** Micro-batches a step. */
  gradAccumulation: v.optional(count),
  steps: v.optional(count),
  pretrainSteps: v.optional(count),
  seed: v.optional(seed),
  dataSeed: v.optional(seed),
  evalEvery: v.optional(count),
  backend: v.optional(v.string()),
  threads: v.optional(count),
} as const;

const finetuneSchema = v.strictObject({
  ...sharedEntries,
  method: v.optional(v.picklist(['full', 'paca'])),
  select: v.optional(selectorName),
  checkpointEvery: v.optional(count),
});

const compareSchema = v.strictObject({
  ...sharedEntries,
  methods: v.optional(v.pipe(v.array(v.picklist(['full', 'paca'])), v.minLength(1))),
  selects: v.optional(v.pipe(v.array(selectorName), v.minLength(1))),
});

/** The keys that each command takes, as flags too. */
export const finetuneKeys: readonly string[] = Object.keys(finetuneSchema.entries);
export const compareKeys: readonly string[] = Object.keys(compareSchema.entries);

/** A rule: the key has an effect only if the config is so. */
type Rule<C> = readonly [key: keyof C & string, holds: (c: C) => boolean, needs: string];

const sharedRules: readonly Rule<SharedInput>[] = [
  ['degrees', (c) => (c.shift ?? 'rotate') === 'rotate', 'shift: rotate'],
  ['momentum', (c) => c.optimizer === 'momentum', 'optimizer: momentum'],
  ['decayTowards', (c) => (c.decay ?? 0) > 0, 'a decay above 0'],
  ['dropout', (c) => c.model !== 'cnn', 'model: mlp'],
];

const isGradient = (name: string | undefined): boolean => name?.startsWith('gradient') ?? false;

const pacaKeys = ['rank', 'alpha', 'selectSeed', 'targetModules', 'excludeModules'] as const;

const finetuneRules: readonly Rule<FinetuneInput>[] = [
  ...[...pacaKeys, 'select' as const].map(
    (key): Rule<FinetuneInput> => [key, (c) => (c.method ?? 'paca') === 'paca', 'method: paca'],
  ),
  ['calibrationBatches', (c) => isGradient(c.select), 'a selection by gradient'],
  ['selectSeed', (c) => (c.select ?? 'random') === 'random', 'a random selection'],
];

const compareRules: readonly Rule<CompareInput>[] = [
  ...[...pacaKeys, 'selects' as const].map(
    (key): Rule<CompareInput> => [key, (c) => c.methods?.includes('paca') ?? true, 'paca among the methods'],
  ),
  [
    'calibrationBatches',
    (c) => (c.methods?.includes('paca') ?? true) && (c.selects?.some(isGradient) ?? true),
    'a selection by gradient',
  ],
  ['selectSeed', (c) => c.selects?.includes('random') ?? true, 'a random selection'],
];

const checkRules = <C extends object>(config: C, rules: readonly Rule<C>[], where: string): Result<C> => {
  const broken = rules.find(([key, holds]) => config[key] !== undefined && !holds(config));
  return broken === undefined
    ? E.right(config)
    : fail('ConfigError', `${broken[2]}, without which '${broken[0]}' has no effect`, String(config[broken[0]]), where);
};

/** The config of `paca finetune`, from what a file and the flags say together. */
export const parseFinetune = (input: unknown, where: string): Result<FinetuneInput> =>
  pipe(
    parseWith(finetuneSchema, finetuneKeys, input, where),
    E.chain((c) => checkRules(c, finetuneRules, where)),
    E.chain((c) => checkRules<FinetuneInput>(c, sharedRules as readonly Rule<FinetuneInput>[], where)),
  );

/** The config of `paca compare`. */
export const parseCompare = (input: unknown, where: string): Result<CompareInput> =>
  pipe(
    parseWith(compareSchema, compareKeys, input, where),
    E.chain((c) => checkRules(c, compareRules, where)),
    E.chain((c) => checkRules<CompareInput>(c, sharedRules as readonly Rule<CompareInput>[], where)),
  );

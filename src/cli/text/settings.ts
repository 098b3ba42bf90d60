/** A fine-tuning run of a language model with every default filled in. */
import type { ConformanceClass } from '../../core/backend.ts';
import type { RecordFormat } from '../../data/records.ts';
import { sha256Hex } from '../../io/digest.ts';
import type { BackendChoice } from '../backend.ts';
import type { ProblemSettings } from '../run/problem.ts';
import type { BesideSettings, LowRankSettings, SelectionSettings } from '../run/selection.ts';

export interface TextSettings extends ProblemSettings, SelectionSettings, LowRankSettings, BesideSettings {
  /** Folder of a Hugging Face checkpoint. */
  readonly base: string;
  /** JSONL files. */
  readonly data: string;
  /** A JSONL file, or the share of `data` that is held out. */
  readonly validation: string | number;
  readonly test: string | null;
  readonly format: RecordFormat | 'auto';
  readonly lossOn: 'completion' | 'all';
  readonly maxLength: number;
  readonly pack: boolean;
  /** Whether a document sees those before it in its row. */
  readonly attendAcross: boolean;
  /** Answers that are compared on `test`, by their likelihood; null: the answer is generated and must be the same. */
  readonly choices: readonly string[] | null;
  /** Tests that are shown with the model's own answer, before and after. */
  readonly samples: number;
  readonly recompute: boolean;
  /** Share of the branches that a backward pass leaves out. */
  readonly dropBackward: number;
  readonly calibrationBatches: number;
  /** Rows of a micro-batch. */
  readonly batchSize: number;
  readonly gradAccumulation: number;
  readonly dataSeed: number;
  readonly evalEvery: number;
  readonly checkpointEvery: number;
}

type Optional<A> = { readonly [K in keyof A]?: A[K] | undefined };

/** What can be said of a run; {@link textSettings} fills in the rest. */
export type TextInput = Pick<TextSettings, 'base' | 'data'> &
  Optional<Omit<TextSettings, 'base' | 'data' | 'steps'>> &
  BackendChoice & {
    readonly steps?: number | undefined;
    /** In place of steps: how often the data is seen. */
    readonly epochs?: number | undefined;
  };

/** PaCA at s = 1 wants a larger step than full fine-tuning. */
export const learningRates = { full: 0.001, paca: 0.005, lora: 0.003, dora: 0.003, moslora: 0.003 } as const;

/** The rank where none is given. */
export const RANK = 16;

/** The keys that say what is read, with their defaults. */
export type DataSettings = Pick<
  TextSettings,
  | 'data'
  | 'validation'
  | 'test'
  | 'format'
  | 'lossOn'
  | 'maxLength'
  | 'pack'
  | 'attendAcross'
  | 'batchSize'
  | 'gradAccumulation'
  | 'dataSeed'
>;

export const dataSettings = (c: TextInput): DataSettings => ({
  data: c.data,
  validation: c.validation ?? 0.05,
  test: c.test ?? null,
  format: c.format ?? 'auto',
  lossOn: c.lossOn ?? 'completion',
  maxLength: c.maxLength ?? 512,
  pack: c.pack ?? false,
  attendAcross: c.attendAcross ?? false,
  batchSize: c.batchSize ?? 8,
  gradAccumulation: c.gradAccumulation ?? 1,
  dataSeed: c.dataSeed ?? 1,
});

/** `stepsPerEpoch`: as the data turns out. */
export const textSettings = (c: TextInput, stepsPerEpoch: number): TextSettings => {
  const method = c.method ?? 'paca';
  const rank = c.rank ?? RANK;
  const steps = c.steps ?? Math.max(1, Math.round((c.epochs ?? 1) * stepsPerEpoch));
  return {
    base: c.base,
    ...dataSettings(c),
    choices: c.choices ?? null,
    samples: c.samples ?? 3,
    recompute: c.recompute ?? false,
    dropBackward: c.dropBackward ?? 0,
    method,
    rank,
    alpha: c.alpha ?? rank,
    rankStabilized: c.rankStabilized ?? false,
    freezeA: c.freezeA ?? false,
    loraDropout: c.loraDropout ?? 0,
    rankPattern: c.rankPattern ?? {},
    alphaPattern: c.alphaPattern ?? {},
    bias: c.bias ?? 'none',
    select: c.select ?? 'random',
    selectSeed: c.selectSeed ?? 0,
    calibrationBatches: c.calibrationBatches ?? 10,
    targetModules: c.targetModules ?? 'all-linear',
    excludeModules: c.excludeModules ?? [],
    modulesToSave: c.modulesToSave ?? [],
    optimizer: c.optimizer ?? 'adamw',
    learningRate: c.learningRate ?? learningRates[method],
    schedule: c.schedule ?? 'cosine',
    warmUpSteps: c.warmUpSteps ?? Math.min(10, steps - 1),
    momentum: c.momentum ?? 0.9,
    decay: c.decay ?? 0,
    decayTowards: c.decayTowards ?? 'pretrained',
    clip: c.clip === undefined ? 1 : c.clip,
    steps,
    seed: c.seed ?? 1,
    evalEvery: c.evalEvery ?? 50,
    checkpointEvery: c.checkpointEvery ?? 50,
  };
};

/** Settings that leave the bits of a run as they are: how often it looks up and saves, how it is judged, where files lie. */
const idle: ReadonlySet<string> = new Set<keyof TextSettings>([
  ...(['evalEvery', 'checkpointEvery', 'samples', 'test', 'choices', 'base', 'data'] as const),
]);

/** Identifies the bits of a run: its settings, and digests of what it reads, the base among them. */
export const textIdentity = (
  settings: TextSettings,
  { name, conformance }: { readonly name: string; readonly conformance: ConformanceClass },
  contents: readonly string[],
): Promise<string> => {
  const bits = conformance === 'exact' ? 'exact' : name;
  const entries = Object.entries(settings).filter(([key]) => !idle.has(key));
  const validation = typeof settings.validation === 'number' ? settings.validation : 'a file';
  const all = { ...Object.fromEntries(entries), validation, bits, contents };
  return sha256Hex(new TextEncoder().encode(JSON.stringify(all)));
};

/** A run with every default filled in: what is written to the run's folder, and what identifies it. */
import type { ConformanceClass } from '../../core/backend.ts';
import { sha256Hex } from '../../io/digest.ts';
import type { BackendChoice } from '../backend.ts';
import type { ProblemSettings } from '../run/problem.ts';
import type { SelectionSettings } from '../run/selection.ts';

export interface Settings extends ProblemSettings, SelectionSettings {
  readonly task: 'digits';
  /** `tanh` is the mlp with tanh for ReLU: a gradient at every point, as the convergence theorems ask for. */
  readonly model: 'mlp' | 'tanh' | 'cnn';
  readonly shift: 'rotate' | 'invert' | 'none';
  readonly degrees: number;
  readonly method: 'full' | 'paca';
  readonly calibrationBatches: number;
  readonly dropout: number;
  readonly batchSize: number;
  readonly gradAccumulation: number;
  readonly pretrainSteps: number;
  readonly dataSeed: number;
  readonly evalEvery: number;
  readonly checkpointEvery: number;
}

type Optional<A> = { readonly [K in keyof A]?: A[K] | undefined };

/** What a run and a comparison have in common. */
export type SharedInput = Optional<Omit<Settings, 'method' | 'select' | 'checkpointEvery'>> & BackendChoice;

/** What can be said of a run; {@link settingsOf} fills in the rest. */
export type FinetuneInput = SharedInput & Optional<Pick<Settings, 'method' | 'select' | 'checkpointEvery'>>;

/** The same, with a list of methods and of selections. */
export type CompareInput = SharedInput & {
  readonly methods?: readonly Settings['method'][] | undefined;
  readonly selects?: readonly string[] | undefined;
};

/** What differs between the demo models. The CNN's first convolution has one input channel: it stays frozen. */
const byModel = {
  mlp: { rank: 16, steps: 300, pretrainSteps: 500, targetModules: '.*' },
  tanh: { rank: 16, steps: 300, pretrainSteps: 500, targetModules: '.*' },
  cnn: { rank: 4, steps: 200, pretrainSteps: 240, targetModules: ['depthwise', 'pointwise', 'head'] },
} as const;

/** Found on the validation digits: PaCA at s = 1 wants a larger step than full fine-tuning. */
const learningRates = { full: 0.003, paca: 0.01 } as const;

export const settingsOf = (c: FinetuneInput): Settings => {
  const model = c.model ?? 'mlp';
  const method = c.method ?? 'paca';
  const rank = c.rank ?? byModel[model].rank;
  const steps = c.steps ?? byModel[model].steps;
  return {
    task: 'digits',
    model,
    shift: c.shift ?? 'rotate',
    degrees: c.degrees ?? 45,
    method,
    rank,
    alpha: c.alpha ?? rank,
    select: c.select ?? 'random',
    selectSeed: c.selectSeed ?? 0,
    calibrationBatches: c.calibrationBatches ?? 10,
    targetModules: c.targetModules ?? byModel[model].targetModules,
    excludeModules: c.excludeModules ?? [],
    optimizer: c.optimizer ?? 'adamw',
    learningRate: c.learningRate ?? learningRates[method],
    schedule: c.schedule ?? 'cosine',
    warmUpSteps: c.warmUpSteps ?? Math.min(10, steps - 1),
    momentum: c.momentum ?? 0.9,
    decay: c.decay ?? 0,
    decayTowards: c.decayTowards ?? 'pretrained',
    clip: c.clip ?? null,
    dropout: c.dropout ?? 0,
    batchSize: c.batchSize ?? 50,
    gradAccumulation: c.gradAccumulation ?? 1,
    steps,
    pretrainSteps: c.pretrainSteps ?? byModel[model].pretrainSteps,
    seed: c.seed ?? 1,
    dataSeed: c.dataSeed ?? 1,
    evalEvery: c.evalEvery ?? 25,
    checkpointEvery: c.checkpointEvery ?? 50,
  };
};

/**
 * Identifies the bits of a run: everything but how often it looks up and saves. Exact backends are all the same; a bounded
 * one has bits of its own.
 */
export const runIdentity = (
  { evalEvery: _, checkpointEvery: __, ...rest }: Settings,
  { name, conformance }: { readonly name: string; readonly conformance: ConformanceClass },
): Promise<string> => {
  const bits = conformance === 'exact' ? 'exact' : name;
  return sha256Hex(new TextEncoder().encode(JSON.stringify({ ...rest, bits })));
};

/** The rows of a comparison, from the outcomes of its trials: means, spreads, and when a target was reached. */
import type { SelectionCost } from '../../train/select.ts';
import { median } from '../bench/statistics.ts';
import { RANK } from '../text/settings.ts';
import type { Contestant } from './contestants.ts';
import type { Outcome } from './outcome.ts';
import type { Untuned } from './settings.ts';
import { spikesIn } from './spikes.ts';

/** A mean over seeds, with the standard deviation of a sample; null from fewer than two. */
export interface Mean {
  readonly mean: number;
  readonly spread: number | null;
}

export interface Row {
  readonly task: string;
  readonly name: string;
  readonly method: string;
  readonly select: string | null;
  readonly rank: number | null;
  readonly trainable: number;
  /** Right answers on the test, of the base and of the tuned model; null without a test. */
  readonly before: number | null;
  readonly after: Mean | null;
  readonly valLoss: Mean;
  /** What the loss on text of the base's own kind rose by; null without such text. */
  readonly forgetting: Mean | null;
  readonly residualBytes: { readonly accounted: number; readonly measured: number } | null;
  /** Of the process; the most of the trials. */
  readonly peakBytes: number | null;
  readonly msPerStep: number | null;
  readonly tokensPerSecond: number | null;
  readonly adapterBytes: number | null;
  readonly seeds: readonly number[];
  /**
   * Steps, and seconds with the choice of columns, until the validation loss was at most the highest last one of LoRA's seeds;
   * null if a seed did not get there, or there is no LoRA.
   */
  readonly stepsToTarget: Mean | null;
  readonly secondsToTarget: Mean | null;
  /** Steps whose training loss rose far above those before it; see `spikes.ts`. */
  readonly spikes: Mean | null;
  readonly selection: SelectionCost | null;
  readonly settings: Readonly<Record<string, unknown>>;
}

export const meanOf = (values: readonly number[]): Mean => {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const squares = values.reduce((sum, x) => sum + (x - mean) * (x - mean), 0);
  return { mean, spread: values.length < 2 ? null : Math.sqrt(squares / (values.length - 1)) };
};

const meanOfAll = (values: readonly (number | null)[]): Mean | null =>
  values.length > 0 && values.every((value) => value !== null) ? meanOf(values as readonly number[]) : null;

const lossOf = ({ result }: Outcome): number => result.loss as number;

/** The outcome of the least validation loss: its learning rate is the contestant's. */
export const best = (outcomes: readonly Outcome[]): Outcome =>
  outcomes.reduce((a, b) => (lossOf(b) < lossOf(a) ? b : a));

/** The highest of the last validation losses: what every seed reached. */
export const targetOf = (outcomes: readonly Outcome[]): number | null =>
  outcomes.length === 0 ? null : Math.max(...outcomes.map(lossOf));

const reached = (
  { curve, result }: Outcome,
  target: number,
): { readonly steps: number; readonly seconds: number } | null => {
  const first = curve.find(({ loss }) => loss <= target);
  return first === undefined
    ? null
    : { steps: first.step, seconds: first.seconds + (result.selection?.ms ?? 0) / 1000 };
};

/** The row of a contestant on a task. `outcomes`: with its best learning rate, of each seed. `ownText`: the base's loss on it. */
export const rowOf = (
  { name, method, select }: Contestant,
  outcomes: readonly [Outcome, ...Outcome[]],
  target: number | null,
  ownText: number | null,
): Row => {
  const [{ trial, result: first }] = outcomes;
  const arrivals = target === null ? [] : outcomes.map((outcome) => reached(outcome, target));
  const results = outcomes.map(({ result }) => result);
  const { base: _, data: __, ...settings } = trial.config;
  return {
    ...{ task: trial.task.name, name, method, select, trainable: first.trainable },
    rank: method === 'full' ? null : (trial.config.rank ?? RANK),
    before: first.metric?.before.judged.accuracy ?? null,
    after: meanOfAll(results.map(({ metric }) => metric?.after.judged.accuracy ?? null)),
    valLoss: meanOf(outcomes.map(lossOf)),
    forgetting: meanOfAll(
      outcomes.map((outcome) => (outcome.ownText === null || ownText === null ? null : outcome.ownText - ownText)),
    ),
    residualBytes: { accounted: first.bytes.residual, measured: first.residualMeasured },
    peakBytes: Math.max(...results.map(({ peakBytes }) => peakBytes)),
    msPerStep: median(results.map(({ msPerStep }) => msPerStep)),
    tokensPerSecond: median(results.map(({ tokensPerSecond }) => tokensPerSecond)),
    adapterBytes: first.adapterBytes,
    seeds: outcomes.map(({ trial: { seed } }) => seed),
    stepsToTarget: meanOfAll(arrivals.map((arrival) => arrival?.steps ?? null)),
    secondsToTarget: meanOfAll(arrivals.map((arrival) => arrival?.seconds ?? null)),
    spikes: meanOf(outcomes.map(({ training }) => spikesIn(training.map(([, loss]) => loss)))),
    selection: first.selection,
    settings: {
      ...settings,
      ...(method !== 'full' && { alpha: trial.config.alpha ?? trial.config.rank ?? RANK }),
      lr: trial.learningRate,
    },
  };
};

/** The base as it is, in 16 bits or NF4, from what any run on it saw before its first step. */
export const untunedRow = (method: Untuned, { trial, result }: Outcome, forgetting: number | null): Row => ({
  ...{ task: trial.task.name, name: method, method, select: null, rank: null, trainable: 0 },
  before: result.metric?.before.judged.accuracy ?? null,
  after: meanOfAll([result.metric?.before.judged.accuracy ?? null]),
  valLoss: meanOf([result.lossBefore as number]),
  forgetting: forgetting === null ? null : meanOf([forgetting]),
  ...{ residualBytes: null, peakBytes: null, msPerStep: null, tokensPerSecond: null, adapterBytes: null },
  ...{ seeds: [], stepsToTarget: null, secondsToTarget: null, spikes: null, selection: null, settings: {} },
});

/** Null where nothing was learnt. */
export const learningRateOf = ({ settings }: Row): number | null =>
  typeof settings.lr === 'number' ? settings.lr : null;

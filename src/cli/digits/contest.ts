/** The rows of a comparison: every method from the same base, measured alike. */
import * as E from 'fp-ts/lib/Either.js';
import { leafPaths } from '../../core/tree.ts';
import type { Weights } from '../../models/architecture.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import { defect } from '../../spec/errors.ts';
import { bytesOf, type Slot, type Spec } from '../../spec/tensor.ts';
import { account, measure, residualOf, trainableCount } from '../../train/account.ts';
import type { Evaluation } from '../../train/evaluate.ts';
import { train } from '../../train/loop.ts';
import type { SelectionCost } from '../../train/select.ts';
import { initialState, type TrainState } from '../../train/step.ts';
import { median } from '../bench/statistics.ts';
import type { World } from '../command.ts';
import { outcomeOf } from '../run/outcome.ts';
import { progressReader } from '../show/progress-reader.ts';
import {
  type Experiment,
  evaluateBase,
  evaluateOn,
  finiteEvaluation,
  type Prepared,
  plan,
  prepare,
  pretrain,
  release,
} from './experiment.ts';
import type { Settings } from './settings.ts';

export interface Row {
  readonly method: Settings['method'];
  readonly select: string | null;
  readonly rank: number | null;
  readonly trainable: number;
  /** On the target domain's test digits. */
  readonly before: Evaluation;
  readonly after: Evaluation;
  /** Accuracy on the source domain's test digits. */
  readonly source: { readonly before: number; readonly after: number };
  /** On the target domain's validation digits, after training. */
  readonly valLoss: number;
  /** Loss on the source domain, after − before. */
  readonly forgetting: number;
  readonly residualBytes: {
    readonly accounted: number;
    readonly measured: number;
    /** Bytes by module path, as accounted. */
    readonly byModule: Readonly<Record<string, number>>;
  };
  readonly gradientBytes: { readonly accounted: number; readonly measured: number };
  readonly optimizerBytes: { readonly accounted: number; readonly measured: number };
  /** Most bytes of tensors alive at once during a step, weights among them. */
  readonly peakTensorBytes: number;
  /** Peak resident memory of a process that runs only this: not measured, as one process runs all rows. */
  readonly peakBytes: null;
  /** Steps and seconds to a target loss, and tokens a second: for language models, which are to come. */
  readonly stepsToTarget: null;
  readonly secondsToTarget: null;
  readonly tokensPerSecond: null;
  /** Median over the steps. */
  readonly msPerStep: number;
  readonly examplesPerSecond: number;
  readonly adapterBytes: number;
  readonly seeds: readonly number[];
  readonly selection: SelectionCost | null;
  readonly digest: string;
  /** `lr` is the learning rate once more, under its short name. */
  readonly settings: Settings & { readonly lr: number };
}

export interface Compared {
  readonly rows: readonly Row[];
  /** Validation loss by step, for each row. */
  readonly curves: readonly (readonly (readonly [step: number, loss: number])[])[];
}

interface Trained {
  readonly state: TrainState<Spec>;
  readonly times: readonly number[];
  readonly peakTensorBytes: number;
  readonly curve: readonly (readonly [number, number])[];
}

const trainRow = async (
  world: World,
  e: Experiment<Spec>,
  { problem, model, batchAt }: Prepared<Spec>,
  settings: Settings,
): Promise<Result<Trained>> => {
  const progress = progressReader(world);
  const times: number[] = [];
  const curve: (readonly [number, number])[] = [];
  let peakTensorBytes = 0;
  const { steps } = settings;
  const validation = e.task.target.validation;
  const evaluation = {
    every: settings.evalEvery,
    run: async ({ params }: TrainState<Spec>) => ({ ...(await evaluateOn(e, model, params, validation)) }),
  };
  const state = initialState(problem);
  const first = await evaluation.run(state);
  curve.push([0, first.loss]);
  try {
    for await (const event of train({
      problem,
      state,
      steps,
      batchAt,
      clock: e.clock,
      evaluation,
      signal: world.signal,
    })) {
      if (event.kind === 'step') {
        times.push(event.ms);
        peakTensorBytes = Math.max(peakTensorBytes, event.peakBytes);
        progress.step(event.step, steps, event.loss);
      }
      if (event.kind === 'eval') curve.push([event.step, event.metrics.loss ?? Number.NaN]);
      if (event.kind === 'failed') return E.left(event.error);
      if (event.kind === 'done') return E.right({ state: event.state, times, peakTensorBytes, curve });
    }
    return E.left(stopped(steps));
  } finally {
    progress.end();
  }
};

const stopped = (steps: number): PacaError => ({
  tag: 'Interrupted',
  expected: `${steps} steps of each method`,
  came: 'a stop',
  where: 'compare',
});

/** Accounted residual bytes by module path. */
const byModule = (prepared: Prepared<Spec>, input: Spec): Readonly<Record<string, number>> => {
  const [model] = residualOf(prepared.problem, input) as unknown as readonly [Readonly<Record<string, Slot>>];
  return Object.fromEntries(
    Object.entries(model).map(([path, tree]) => [path, leafPaths(tree).reduce((sum, [, s]) => sum + bytesOf(s), 0)]),
  );
};

const pair = (accounted: number, measured: number): { readonly accounted: number; readonly measured: number } => ({
  accounted,
  measured,
});

interface Start {
  readonly weights: Weights;
  readonly source: Evaluation;
  readonly target: Evaluation;
}

const rowOf = async (
  world: World,
  e: Experiment<Spec>,
  start: Start,
  settings: Settings,
): Promise<Result<readonly [Row, Trained['curve']]>> => {
  const before = e.kernels.memory().live;
  const prepared = await prepare(e, start.weights, settings);
  if (E.isLeft(prepared)) return prepared;
  const { problem, model, adapted, batchAt } = prepared.right;
  const batch = batchAt(0)[0] ?? defect('a step without micro-batches');
  const input: Spec = { dtype: e.kernels.float, shape: batch.inputs.shape };
  const accounted = account(problem, input);
  const measured = measure(problem, batch.inputs, batch.targets);
  const trainable = trainableCount(problem);
  const trained = await trainRow(world, e, prepared.right, settings);
  if (E.isLeft(trained)) return trained;
  const { state, times, peakTensorBytes, curve } = trained.right;
  const { files, digest } = await outcomeOf(problem, adapted, state.params, settings);
  const after = await evaluateOn(e, model, state.params, e.task.target.test);
  const source = await evaluateOn(e, model, state.params, e.task.source.test);
  release(problem, state);
  const finite = finiteEvaluation(after, `the evaluation after ${settings.method} on the test digits`);
  if (E.isLeft(finite)) return finite;
  const msPerStep = median(times);
  const row: Row = {
    method: settings.method,
    select: adapted.indices === null ? null : settings.select,
    rank: settings.method === 'full' ? null : settings.rank,
    trainable,
    before: start.target,
    after,
    source: { before: start.source.accuracy, after: source.accuracy },
    valLoss: curve.at(-1)?.[1] ?? Number.NaN,
    forgetting: source.loss - start.source.loss,
    residualBytes: { ...pair(accounted.residual, measured.residual), byModule: byModule(prepared.right, input) },
    gradientBytes: pair(accounted.gradients, measured.gradients),
    optimizerBytes: pair(accounted.optimizer, measured.optimizer),
    peakTensorBytes: peakTensorBytes - before,
    peakBytes: null,
    stepsToTarget: null,
    secondsToTarget: null,
    tokensPerSecond: null,
    msPerStep,
    examplesPerSecond: (1000 * settings.batchSize * settings.gradAccumulation) / msPerStep,
    adapterBytes: [...files.values()].reduce((sum, f) => sum + f.length, 0),
    seeds: [settings.seed],
    selection: adapted.cost,
    digest,
    settings: { ...settings, lr: settings.learningRate },
  };
  return E.right([row, curve]);
};

/** Pretrains one base and trains every contestant from it. */
export const compareMethods = async (
  world: World,
  e: Experiment<Spec>,
  contestants: readonly [Settings, ...Settings[]],
): Promise<Result<Compared>> => {
  for (const settings of contestants) {
    const planned = await plan(e.kernels, settings);
    if (E.isLeft(planned)) return planned;
  }
  const progress = progressReader(world);
  const weights = await pretrain(e, contestants[0], progress.step, world.signal);
  progress.end();
  if (E.isLeft(weights)) return weights;
  const base = await evaluateBase(e, weights.right);
  if (E.isLeft(base)) return base;
  const rows: Row[] = [];
  const curves: Trained['curve'][] = [];
  for (const settings of contestants) {
    const done = await rowOf(world, e, { weights: weights.right, ...base.right }, settings);
    if (E.isLeft(done)) return done;
    rows.push(done.right[0]);
    curves.push(done.right[1]);
  }
  return E.right({ rows, curves });
};

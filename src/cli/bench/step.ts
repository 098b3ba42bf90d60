/**
 * One training step, forward, backward and AdamW, in milliseconds, with the bytes that it keeps and the peak of the
 * process, which should run nothing else. The model is an MLP width → 4·width → width with ReLU and biases, and a squared
 * error.
 */
import process from 'node:process';
import type { AnyBackend } from '../../../backends/resolve.ts';
import { permutation, rngFromSeed, splitRng } from '../../core/rng.ts';
import { meanSquaredError } from '../../layers/losses.ts';
import type { Treatment } from '../../methods/adapt.ts';
import { columnView, type Site } from '../../methods/operation.ts';
import type { Weights } from '../../models/architecture.ts';
import { mlp } from '../../models/mlp.ts';
import { buildModel } from '../../models/model.ts';
import { adamw } from '../../optim/adamw.ts';
import { orThrow } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { account, trainableCount } from '../../train/account.ts';
import { initialState, type Problem, trainStep } from '../../train/step.ts';
import { numbers } from './numbers.ts';
import { median, round } from './statistics.ts';

export interface StepSettings {
  readonly model: 'mlp';
  readonly method: 'full' | 'paca';
  /** Columns of each weight; PaCA's alone. */
  readonly rank: number;
  /** Rows of a batch. */
  readonly batchSize: number;
  readonly width: number;
  readonly steps: number;
}

export interface StepReport extends Omit<StepSettings, 'rank'> {
  readonly backend: string;
  readonly threads: number;
  readonly rank: number | null;
  /** The median of the steps. */
  readonly msPerStep: number;
  /** Rows a second. */
  readonly tokensPerSecond: number;
  /** Peak resident memory of this process. */
  readonly peakBytes: number;
  /** Bytes alive between forward and backward. */
  readonly residualBytes: number;
  readonly trainable: number;
}

const WARM_UP = 5;
const KIBIBYTE = 1024;

/** Weights of about the size 1/√fan-in, each made when it is read, so that they are not all held at once. */
const weightsOf = (widths: readonly number[]): Weights => {
  const entries = widths.slice(1).flatMap((out, i) => {
    const fanIn = widths[i] as number;
    const bound = 1 / Math.sqrt(fanIn);
    const shapes = { weight: [out, fanIn], bias: [out] };
    return Object.entries(shapes).map(([name, shape]) => [
      `layers.${i}.${name}`,
      { get: () => numbers(shape, bound), enumerable: true },
    ]);
  });
  return Object.defineProperties({}, Object.fromEntries(entries));
};

const treatmentOf =
  ({ method, rank }: StepSettings) =>
  ({ path, operation }: Site): Treatment => {
    if (method === 'full') return { method };
    const [order] = permutation(splitRng(rngFromSeed(2), path), columnView(operation).columns);
    return { method, adapters: [{ indices: order.slice(0, rank).sort(), alpha: rank }] };
  };

const problemOf = (k: AnyBackend['kernels'], settings: StepSettings): Problem<Spec, unknown> => {
  const { width } = settings;
  const widths = [width, 4 * width, width];
  const architecture = mlp({ widths, activation: 'relu' });
  return {
    kernels: k,
    model: orThrow(buildModel(k, architecture, weightsOf(widths), treatmentOf(settings))),
    loss: meanSquaredError(k) as Problem<Spec, unknown>['loss'],
    optimizer: adamw(k, { learningRate: 1e-3 }),
    seed: 1,
  };
};

export const measureStep = (
  { name, threads, kernels: k }: AnyBackend,
  settings: StepSettings,
  clock: () => number,
): StepReport => {
  const { batchSize, width, method, rank, steps } = settings;
  const problem = problemOf(k, settings);
  const batch = {
    inputs: k.fromHost(numbers([batchSize, width])),
    targets: k.fromHost(numbers([batchSize, width], 0.5)),
    count: batchSize * width,
  };
  const residualBytes = account(problem, batch.inputs).residual;
  const trainable = trainableCount(problem);
  const times: number[] = [];
  let state = initialState(problem, { donate: true });
  for (let step = -WARM_UP; step < steps; step++) {
    const start = clock();
    state = k.scope(() => trainStep(problem, state, [batch], { donate: true })[0]);
    if (step >= 0) times.push(clock() - start);
  }
  const msPerStep = median(times);
  return {
    backend: name,
    threads,
    ...settings,
    rank: method === 'paca' ? rank : null,
    msPerStep: round(msPerStep, 3),
    tokensPerSecond: Math.round((1000 * batchSize) / msPerStep),
    peakBytes: process.resourceUsage().maxRSS * KIBIBYTE,
    residualBytes,
    trainable,
  };
};

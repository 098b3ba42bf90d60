/**
 * One training step, forward, backward and AdamW, in milliseconds, with the bytes that it keeps and the peak of the
 * process, which should run nothing else.
 */
import process from 'node:process';
import type { AnyBackend } from '../../../backends/resolve.ts';
import type { TrainingMethod } from '../../methods/adapt.ts';
import { account, trainableCount } from '../../train/account.ts';
import { initialState, trainStep } from '../../train/step.ts';
import { llamaProblem, llamaSizes, mlpProblem } from './problems.ts';
import { median, round } from './statistics.ts';

export interface StepSettings {
  readonly model: 'mlp' | 'llama';
  readonly method: TrainingMethod;
  /** Columns of each weight, or the width between LoRA's two factors. */
  readonly rank: number;
  /** The type in which the adapted weights are stored. */
  readonly dtype: 'f32' | 'nf4';
  /** Rows of a batch, and features; the MLP's alone. */
  readonly batchSize: number;
  readonly width: number;
  readonly steps: number;
}

export interface StepReport extends Omit<StepSettings, 'rank'> {
  readonly backend: string;
  readonly threads: number;
  /** Null where all is trained. */
  readonly rank: number | null;
  /** The median of the steps. */
  readonly msPerStep: number;
  /** Tokens a second; of the MLP, rows. */
  readonly tokensPerSecond: number;
  /** Peak resident memory of this process. */
  readonly peakBytes: number;
  /** Bytes alive between forward and backward. */
  readonly residualBytes: number;
  readonly trainable: number;
}

const WARM_UP = 5;
const KIBIBYTE = 1024;

export const measureStep = (
  { name, threads, kernels: k }: AnyBackend,
  settings: StepSettings,
  clock: () => number,
): StepReport => {
  const { model, method, rank, dtype, steps } = settings;
  const isMlp = model === 'mlp';
  const { batchSize, width, tokens } = isMlp ? { ...settings, tokens: 1 } : llamaSizes;
  const { problem, batch } = isMlp ? mlpProblem(k, settings, batchSize, width) : llamaProblem(k, settings);
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
    ...{ backend: name, threads, model, method, dtype, batchSize, width, steps },
    rank: method === 'full' ? null : rank,
    msPerStep: round(msPerStep, 3),
    tokensPerSecond: Math.round((1000 * batchSize * tokens) / msPerStep),
    peakBytes: process.resourceUsage().maxRSS * KIBIBYTE,
    residualBytes,
    trainable,
  };
};

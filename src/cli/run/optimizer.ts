/** Optimizer and schedule from the settings of a run. */
import type { Kernels } from '../../core/fused.ts';
import type { Tree } from '../../core/tree.ts';
import { adamw } from '../../optim/adamw.ts';
import { clipByGlobalNorm } from '../../optim/clip.ts';
import { constant, cosine, linear, type Schedule, warmUp } from '../../optim/schedule.ts';
import { momentum, sgd } from '../../optim/sgd.ts';
import { chain, type Transform } from '../../optim/transform.ts';
import type { Spec } from '../../spec/tensor.ts';

export interface OptimizerSettings {
  readonly optimizer: 'adamw' | 'sgd' | 'momentum';
  readonly learningRate: number;
  readonly schedule: 'constant' | 'linear' | 'cosine';
  readonly warmUpSteps: number;
  readonly steps: number;
  readonly momentum: number;
  readonly decay: number;
  readonly clip: number | null;
}

export const scheduleOf = ({ schedule, learningRate, warmUpSteps, steps }: OptimizerSettings): Schedule => {
  const after = steps - warmUpSteps;
  const decaying = {
    constant: constant(learningRate),
    linear: linear(learningRate, 0, after),
    cosine: cosine(learningRate, 0, after),
  };
  return warmUpSteps > 0 ? warmUp(warmUpSteps, decaying[schedule]) : decaying[schedule];
};

export const optimizerOf = <T extends Spec>(
  k: Kernels<T>,
  s: OptimizerSettings,
  target: Tree<T> | null,
): Transform<T> => {
  const learningRate = scheduleOf(s);
  const { decay } = s;
  const optimizers: { readonly [O in OptimizerSettings['optimizer']]: () => Transform<T> } = {
    adamw: () => adamw(k, { learningRate, decay, decayTarget: target }),
    sgd: () => sgd(k, { learningRate, decay, decayTarget: target }),
    momentum: () => momentum(k, { learningRate, decay, decayTarget: target, momentum: s.momentum }),
  };
  const optimizer = optimizers[s.optimizer]();
  return s.clip === null ? optimizer : chain(clipByGlobalNorm(k, s.clip), optimizer);
};

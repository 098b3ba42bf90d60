/** A model with the optimizer that the settings name: what the loop trains. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../../core/fused.ts';
import type { Loss } from '../../layers/losses.ts';
import { type DecayTowards, decayTarget } from '../../methods/decay.ts';
import { type Architecture, evaluate, sitesOf } from '../../models/architecture.ts';
import type { Model } from '../../models/model.ts';
import type { Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import type { Problem } from '../../train/step.ts';
import { type OptimizerSettings, optimizerOf } from './optimizer.ts';
import type { Adaptation } from './selection.ts';

export interface ProblemSettings extends OptimizerSettings {
  readonly decayTowards: DecayTowards;
  readonly seed: number;
}

/** Errors: a decay that the method does not know. */
export const problemOf = <T extends Spec>(
  k: Kernels<T>,
  architecture: Architecture,
  model: Model<T>,
  { treatmentOf }: Adaptation,
  s: ProblemSettings & Pick<Problem<T, unknown>, 'dropBackward'>,
  loss: Loss<T, unknown>,
): Result<Problem<T, unknown>> => {
  const { params } = model;
  return pipe(
    s.decay > 0
      ? decayTarget(
          k,
          s.decayTowards,
          sitesOf(architecture),
          treatmentOf,
          params,
          model.layer(evaluate).trainable(params),
        )
      : E.right(null),
    E.map((target) => ({
      kernels: k,
      model,
      loss,
      optimizer: optimizerOf(k, s, target),
      seed: s.seed,
      dropBackward: s.dropBackward ?? 0,
    })),
  );
};

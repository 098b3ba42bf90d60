/**
 * Inverted dropout (Srivastava et al. 2014): each element is 0 with probability `rate`, else divided by 1 − rate.
 *
 * The mask is a function of the layer's random state and the shape, so the backward pass draws it again and nothing is
 * kept. A model for training is built with a new state for each step; for evaluation the layer is left out.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import { type Rng, uniforms } from '../core/rng.ts';
import { type None, none } from '../core/tree.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensorOf, type Shape, type Spec, sizeOf } from '../spec/tensor.ts';
import { type Pointwise, untrained } from './activations.ts';
import { checkFloat, fresh } from './checks.ts';

export interface DropoutConfig {
  /** Probability of 0, in [0, 1). */
  readonly rate: number;
  readonly rng: Rng;
}

const checkRate = (rate: number): Result<number> =>
  rate >= 0 && rate < 1 ? E.right(rate) : fail('ConfigError', 'a rate in [0, 1)', String(rate), 'dropout.rate');

/** 0 where an element is dropped, else 1. */
export const dropoutMask = ({ rate, rng }: DropoutConfig, shape: Shape): HostTensorOf<'f32'> => {
  const [draws] = uniforms(rng, sizeOf(shape));
  return { dtype: 'f32', shape, data: Float32Array.from(draws, (u) => (u < rate ? 0 : 1)) };
};

export const dropout = <T extends Spec>(k: Kernels<T>, config: DropoutConfig): Pointwise<T, None> => {
  const { rate } = config;
  const drop = (x: T): T =>
    k.scope(() => k.where(k.fromHost(dropoutMask(config, x.shape)), k.mul(x, 1 / (1 - rate)), 0));
  return {
    forward: (_, x) => [drop(x), none],
    backward: (_, __, dy) => [none, drop(dy)],
    ...untrained,
    output: (x) =>
      pipe(
        checkRate(rate),
        E.chain(() => checkFloat(x, 'dropout')),
        E.map((s) => fresh(s, 'dropout', s.shape)),
      ),
    residual: () => none,
  };
};

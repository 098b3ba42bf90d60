/**
 * AdamW: Adam (Kingma & Ba 2015) with decoupled decay (Loshchilov & Hutter 2019) towards a target. The formula of one
 * step stands in `core/derived/adamw.ts`. βᵗ is a running product in the state, so no power is ever computed.
 *
 * Decay and PaCA: the trained numbers are δ, so decay towards 0 pulls the columns towards their pretrained values
 * (`decayTowards: 'pretrained'`). The paper's first code trained the columns' values themselves, which decay pulls
 * towards 0: with the target −W[:, I] this is what happens here (`'zero'`, for s = 1).
 */
import type { AdamwCoefficients } from '../core/derived/adamw.ts';
import type { Kernels } from '../core/fused.ts';
import { mapTree, type Tree, withLeaves, zipLeaves } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';
import { type LearningRate, scheduleOf } from './sgd.ts';
import type { Transform } from './transform.ts';

export interface AdamwConfig<T> {
  readonly learningRate: LearningRate;
  /** Default 0.9. */
  readonly beta1?: number;
  /** Default 0.999. */
  readonly beta2?: number;
  /** Default 1e−8. */
  readonly epsilon?: number;
  /** λ, default 0: plain Adam. */
  readonly decay?: number;
  /** θ*, what the decay pulls towards, in the shape of the trained parameters; 0 if not given. */
  readonly decayTarget?: Tree<T> | null;
}

/** The state's numbers: steps done, and the running products β₁ᵗ, β₂ᵗ. */
type Counters = readonly [step: number, power1: number, power2: number];

export const adamw = <T extends Spec>(k: Kernels<T>, config: AdamwConfig<T>): Transform<T> => {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decay = 0, decayTarget = null } = config;
  const schedule = scheduleOf(config.learningRate);

  const coefficients = ([step, power1, power2]: Counters): AdamwCoefficients => ({
    learningRate: schedule(step),
    beta1,
    beta2,
    epsilon,
    decay,
    correction1: 1 - power1 * beta1,
    correction2: 1 - power2 * beta2,
  });

  return {
    init: (params) => {
      const zeros = (): Tree<T> => mapTree(params, (p) => k.full(p.shape, 0));
      return { tensors: { m: zeros(), v: zeros() }, numbers: [0, 1, 1] };
    },
    update: (gradients, { tensors, numbers }, params, release) => {
      const { m, v } = tensors as { readonly m: Tree<T>; readonly v: Tree<T> };
      const [step, power1, power2] = numbers as Counters;
      const c = coefficients([step, power1, power2]);
      const steps = zipLeaves([gradients, m, v, params, decayTarget ?? params], ([g, m, v, p, target]) =>
        k.adamw.update(g as T, { m: m as T, v: v as T }, p as T, decayTarget && (target as T), c, release),
      );
      return [
        withLeaves(
          gradients,
          steps.map(([delta]) => delta),
        ),
        {
          tensors: {
            m: withLeaves(
              gradients,
              steps.map(([, s]) => s.m),
            ),
            v: withLeaves(
              gradients,
              steps.map(([, s]) => s.v),
            ),
          },
          numbers: [step + 1, power1 * beta1, power2 * beta2],
        },
      ];
    },
    stateSpec: (params) => ({ m: params, v: params }),
  };
};

/** LoRA, DoRA and MosLoRA applied to one place: their matrices before they are on a backend, checked and put there. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import { type AnyLayer, anyLayer } from '../core/layer.ts';
import { type Rng, splitRng } from '../core/rng.ts';
import type { LinearConfig } from '../layers/linear.ts';
import { fail, type Result } from '../spec/errors.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import { checkShape, type HostAffine, toDevice } from './base.ts';
import { doraLinear, rowNorms } from './dora.ts';
import { freshLora, loraLinear, loraWeight } from './lora.ts';
import type { LowRankConfig } from './low-rank.ts';
import { freshMoslora, mosloraLinear } from './moslora.ts';
import type { Module, Site } from './operation.ts';

/** One LoRA adapter before it is on a backend; `freshLora` makes A and B. */
export interface LoraPlan {
  /** `[r, in]` */
  readonly a: HostTensor;
  /** `[out, r]` */
  readonly b: HostTensor;
  /** s, α/r as a rule. */
  readonly scale: number;
  /** Default true. */
  readonly active?: boolean;
  readonly trains?: boolean;
  /** A stays as it is (LoRA-FA). Default false. */
  readonly freezeA?: boolean;
  /** Probability with which each number of x is left out in training. Default 0. */
  readonly dropout?: number;
}

/** One DoRA adapter. */
export interface DoraPlan extends LoraPlan {
  /** m `[out]`; by default ‖W + s·B A‖ row by row, with which y is LoRA's. */
  readonly magnitude?: HostTensor;
}

/** One MosLoRA adapter; `freshMoslora` makes its matrices. */
export interface MosloraPlan extends LoraPlan {
  /** M `[r, r]` */
  readonly mixer: HostTensor;
}

export type LowRankTreatment =
  | { readonly method: 'lora'; readonly adapters: readonly LoraPlan[] }
  | { readonly method: 'dora'; readonly adapters: readonly DoraPlan[] }
  | { readonly method: 'moslora'; readonly adapters: readonly MosloraPlan[] };

export type LowRankMethod = LowRankTreatment['method'];

/** Fresh matrices for one place: with them it computes what the base does. */
export const freshLowRank = (
  method: LowRankMethod,
  rng: Rng,
  config: LinearConfig,
  rank: number,
  common: Pick<LoraPlan, 'scale' | 'freezeA' | 'dropout'>,
): LowRankTreatment =>
  method === 'moslora'
    ? { method, adapters: [{ ...freshMoslora(rng, config, rank), ...common }] }
    : { method, adapters: [{ ...freshLora(rng, config, rank), ...common }] };

export const lowRankConfig = ({
  a,
  scale,
  active = true,
  trains = true,
  freezeA = false,
}: LoraPlan): LowRankConfig => ({ rank: a.shape[0] ?? 0, scale, active, trains, freezeA });

/** The same in training, with a random state of its own. */
const trainingConfig = (plan: LoraPlan, rng: Rng): LowRankConfig => {
  const { dropout: rate = 0 } = plan;
  return rate === 0 ? lowRankConfig(plan) : { ...lowRankConfig(plan), dropout: { rate, rng } };
};

const checkDropout = ({ dropout = 0 }: LoraPlan, path: string): Result<void> =>
  dropout >= 0 && dropout < 1 ? E.right(undefined) : fail('ConfigError', 'a dropout in [0, 1)', String(dropout), path);

const checkPlan = (
  { in: width, out }: LinearConfig,
  plan: LoraPlan & Partial<DoraPlan> & Partial<MosloraPlan>,
  path: string,
): Result<LoraPlan> => {
  const rank = plan.a.shape[0] ?? 0;
  return pipe(
    checkShape(plan.a, [rank, width], `${path}.lora_A`),
    E.chain(() => checkShape(plan.b, [out, rank], `${path}.lora_B`)),
    E.chain((b) => (plan.mixer ? checkShape(plan.mixer, [rank, rank], `${path}.lora_mixer`) : E.right(b))),
    E.chain((b) => (plan.magnitude ? checkShape(plan.magnitude, [out], `${path}.lora_magnitude_vector`) : E.right(b))),
    E.chain(() =>
      Number.isFinite(plan.scale) ? E.right(plan) : fail('ConfigError', 'a finite scale', String(plan.scale), path),
    ),
  );
};

const layerOf = <T extends Spec>(
  k: Kernels<T>,
  config: LinearConfig,
  method: LowRankTreatment['method'],
  configs: readonly LowRankConfig[],
): AnyLayer<T> => {
  if (method === 'dora') return anyLayer(doraLinear(k, config, configs));
  return method === 'lora' ? anyLayer(loraLinear(k, config, configs)) : anyLayer(mosloraLinear(k, config, configs));
};

type Matrices<T> = Readonly<Record<string, T>>;

const startOf = <T extends Spec>(k: Kernels<T>, weight: T, a: T, b: T, scale: number): T =>
  k.scope(() => rowNorms(k, loraWeight(k, weight, { a, b }, scale)));

/** The matrices of each adapter, in the order in which x passes through them. */
const matricesOf = <T extends Spec>(k: Kernels<T>, weight: T, treatment: LowRankTreatment): readonly Matrices<T>[] => {
  switch (treatment.method) {
    case 'lora':
      return treatment.adapters.map(({ a, b }) => ({ a: k.fromHost(a), b: k.fromHost(b) }));
    case 'moslora':
      return treatment.adapters.map(({ a, mixer, b }) => ({
        ...{ a: k.fromHost(a), mixer: k.fromHost(mixer), b: k.fromHost(b) },
      }));
    case 'dora':
      return treatment.adapters.map(({ magnitude, scale, ...plan }) => {
        const [a, b] = [k.fromHost(plan.a), k.fromHost(plan.b)];
        return { a, b, magnitude: magnitude ? k.fromHost(magnitude) : startOf(k, weight, a, b, scale) };
      });
  }
};

/** Errors: matrices of another shape, a scale that is no number, a dropout outside [0, 1), a convolution. `base` was found good. */
export const adaptLowRank = <T extends Spec>(
  k: Kernels<T>,
  { path, operation: { kind, config } }: Site,
  base: HostAffine,
  treatment: LowRankTreatment,
): Result<Module<T>> => {
  if (kind !== 'linear')
    return fail('ConfigError', `a linear map, which ${treatment.method} adapts`, `a ${kind}`, path);
  return pipe(
    treatment.adapters as readonly LoraPlan[],
    E.traverseArray((plan) =>
      pipe(
        checkPlan(config, plan, path),
        E.chainFirst(() => checkDropout(plan, path)),
      ),
    ),
    E.map((plans) => {
      const affine = toDevice(k, base);
      const { method } = treatment;
      return {
        layer: layerOf(k, config, method, plans.map(lowRankConfig)),
        ...(plans.some(({ dropout = 0 }) => dropout > 0) && {
          training: (rng: Rng) =>
            layerOf(
              k,
              config,
              method,
              plans.map((plan, i) => trainingConfig(plan, splitRng(rng, `adapters.${i}`))),
            ),
        }),
        params: { ...affine, adapters: matricesOf(k, affine.weight, treatment) },
      };
    }),
  );
};

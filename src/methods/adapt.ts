/**
 * A method applied to one place of a model: base weights in, a layer with its parameters out. Models call this for
 * every linear map and convolution that they hold, and do not know which method they got.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import { type AnyLayer, anyLayer } from '../core/layer.ts';
import type { Rng } from '../core/rng.ts';
import type { Tree } from '../core/tree.ts';
import { conv2d, frozenConv2d } from '../layers/conv2d.ts';
import { frozenLinear, linear } from '../layers/linear.ts';
import { checkIndices } from '../select/indices.ts';
import { fail, type Result } from '../spec/errors.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import { adaptLowRank, type LowRankTreatment } from './adapt-low-rank.ts';
import { checkBase, checkShape, type HostAffine, toDevice } from './base.ts';
import { columnView, deltaShape, type Module, type Operation, type Site } from './operation.ts';
import { type PacaAdapterConfig, pacaConv2d, pacaLinear } from './paca.ts';
import { withTrainedBias } from './trained-bias.ts';

/** What happens to one place. */
export type Treatment = (
  | { readonly method: 'frozen' }
  | { readonly method: 'full' }
  | { readonly method: 'paca'; readonly adapters: readonly PacaPlan[] }
  | LowRankTreatment
) & {
  /** Whether the bias of a linear map trains, if it has one; in full training it does. */
  readonly trainsBias?: boolean;
};

/** One PaCA adapter before it is on a backend. */
export interface PacaPlan {
  readonly indices: Int32Array;
  /** α; s = α/r. */
  readonly alpha: number;
  /** Where δ starts; 0 if not given. */
  readonly delta?: HostTensor;
  /** Default true. */
  readonly active?: boolean;
  readonly trains?: boolean;
}

/** The methods that train something. */
export const trainingMethods = ['full', 'paca', 'lora', 'dora', 'moslora'] as const;

export type TrainingMethod = (typeof trainingMethods)[number];

/** Names that a config may give as method. */
export const methodNames: readonly string[] = [...trainingMethods, 'frozen'];

export const checkMethod = (name: string): Result<Treatment['method']> =>
  methodNames.includes(name)
    ? E.right(name as Treatment['method'])
    : fail('ConfigError', `one of ${methodNames.join(', ')}`, `'${name}'`, 'method');

export const adapterConfig = ({ indices, alpha, active = true, trains = true }: PacaPlan): PacaAdapterConfig => ({
  rank: indices.length,
  scale: alpha / indices.length,
  active,
  trains,
});

const checkPlan = (plan: PacaPlan, { path, operation }: Site): Result<PacaPlan> =>
  pipe(
    checkIndices(plan.indices, columnView(operation).columns, path),
    E.chain(() =>
      Number.isFinite(plan.alpha) && plan.alpha > 0
        ? E.right(plan.alpha)
        : fail('ConfigError', 'an alpha above 0', String(plan.alpha), path),
    ),
    E.chain(() =>
      plan.delta === undefined
        ? E.right(plan)
        : pipe(
            checkShape(plan.delta, deltaShape(operation, plan.indices.length), `${path}.delta`),
            E.map(() => plan),
          ),
    ),
  );

/** The layer of an operation whose weight trains in full, or not at all. */
const plainLayer = <T extends Spec>(k: Kernels<T>, { kind, config }: Operation, trains: boolean): AnyLayer<T> => {
  if (kind === 'linear') return trains ? anyLayer(linear(k, config)) : anyLayer(frozenLinear(k, config));
  return trains ? anyLayer(conv2d(k, config)) : anyLayer(frozenConv2d(k, config));
};

const pacaLayer = <T extends Spec>(
  k: Kernels<T>,
  { kind, config }: Operation,
  adapters: readonly PacaAdapterConfig[],
): AnyLayer<T> =>
  kind === 'linear' ? anyLayer(pacaLinear(k, config, adapters)) : anyLayer(pacaConv2d(k, config, adapters));

const pacaParams = <T extends Spec>(
  k: Kernels<T>,
  operation: Operation,
  base: HostAffine,
  plans: readonly PacaPlan[],
): Tree<T> => ({
  ...toDevice(k, base),
  adapters: plans.map(({ indices, delta }) => ({
    indices: k.fromHost({ dtype: 'i32', shape: [indices.length], data: indices }),
    delta: delta === undefined ? k.full(deltaShape(operation, indices.length), 0) : k.fromHost(delta),
  })),
});

const buildPaca = <T extends Spec>(
  k: Kernels<T>,
  site: Site,
  base: HostAffine,
  adapters: readonly PacaPlan[],
): Result<Module<T>> =>
  pipe(
    E.traverseArray((plan: PacaPlan) => checkPlan(plan, site))(adapters),
    E.map((plans) => ({
      layer: pacaLayer(k, site.operation, plans.map(adapterConfig)),
      params: pacaParams(k, site.operation, base, plans),
    })),
  );

const withBias =
  <T extends Spec>(k: Kernels<T>, { operation }: Site, base: HostAffine, { method, trainsBias = false }: Treatment) =>
  ({ layer, training, params }: Module<T>): Module<T> =>
    trainsBias && method !== 'full' && operation.kind === 'linear' && base.bias !== undefined
      ? {
          layer: withTrainedBias(k, layer),
          ...(training && { training: (rng: Rng) => withTrainedBias(k, training(rng)) }),
          params,
        }
      : { layer, ...(training && { training }), params };

/**
 * Errors: a weight, bias, δ or matrix of another shape; indices repeated, unsorted or out of range; r > in; α ≤ 0; LoRA or
 * its kin on a convolution.
 */
export const adapt = <T extends Spec>(
  k: Kernels<T>,
  site: Site,
  base: HostAffine,
  treatment: Treatment,
): Result<Module<T>> =>
  pipe(
    checkBase(base, site, treatment.method === 'full'),
    E.chain((checked): Result<Module<T>> => {
      switch (treatment.method) {
        case 'paca':
          return buildPaca(k, site, checked, treatment.adapters);
        case 'full':
        case 'frozen':
          return E.right({
            layer: plainLayer(k, site.operation, treatment.method === 'full'),
            params: { ...toDevice(k, checked) },
          });
        default:
          return adaptLowRank(k, site, checked, treatment);
      }
    }),
    E.map(withBias(k, site, base, treatment)),
  );

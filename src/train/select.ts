/**
 * Choosing the columns of every adapted place: gathers the statistics that a selector needs, then asks it. Gradient
 * statistics come from full gradients over calibration batches, without updating anything (paper, section 5), so they
 * cost full fine-tuning's memory while they last; the report says how much.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { columnNorms } from '../core/derived/column-norms.ts';
import type { Kernels } from '../core/fused.ts';
import { andThen } from '../core/layer.ts';
import { rngFromSeed, splitRng } from '../core/rng.ts';
import type { Tree } from '../core/tree.ts';
import { widenHost } from '../io/widen-host.ts';
import type { Affine } from '../layers/linear.ts';
import type { Loss } from '../layers/losses.ts';
import { columnView, type Site } from '../methods/operation.ts';
import type { Architecture, Weights } from '../models/architecture.ts';
import { buildModel, type Model } from '../models/model.ts';
import { type ColumnStatistics, runSelector, type Selector, type Statistic } from '../select/selector.ts';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import { type HostBatch, toDevice } from './host-batch.ts';

/** What statistics are gathered from. */
export interface StatisticsPlan<T extends Spec, R> {
  readonly kernels: Kernels<T>;
  readonly architecture: Architecture;
  readonly weights: Weights;
  /** The places to select columns of. */
  readonly sites: readonly Site[];
  readonly loss: Loss<T, R>;
  /** Calibration batches, for selectors that need gradients. */
  readonly batches: readonly HostBatch[];
}

export interface SelectionPlan<T extends Spec, R> extends StatisticsPlan<T, R> {
  readonly selector: Selector;
  readonly rank: number;
  /** The selection's own seed, beside the data's and the training's. */
  readonly seed: number;
  /** Milliseconds, from any start. */
  readonly clock: () => number;
}

/** What the selection cost. */
export interface SelectionCost {
  readonly ms: number;
  /** The most bytes of tensors that were alive while it lasted. */
  readonly peakBytes: number;
  /** Calibration batches used. */
  readonly batches: number;
}

export interface Selected {
  readonly indices: Readonly<Record<string, Int32Array>>;
  readonly cost: SelectionCost;
}

/** By module path. */
export type Statistics = Readonly<Record<string, ColumnStatistics>>;

const weightAt = <T>(tree: Tree<T>, { path }: Site): T =>
  ((tree as unknown as Readonly<Record<string, Affine<T>>>)[path] as Affine<T>).weight;

const numbers = (t: HostTensor): Float64Array => Float64Array.from(t.data as Float64Array);

/** ‖·[:, j]‖₂ of a weight-shaped tensor at a place. */
const normsAt = <T extends Spec>(k: Kernels<T>, weight: T, site: Site): T => {
  const { shape, axis } = columnView(site.operation);
  return k.scope(() => columnNorms(k, weight, shape, axis));
};

const weightStatistics = async <T extends Spec, R>({
  kernels: k,
  weights,
  sites,
}: StatisticsPlan<T, R>): Promise<Statistics> => {
  const at = async (site: Site): Promise<readonly [string, ColumnStatistics]> => {
    const weight = weights[`${site.path}.weight`] as HostTensor;
    const norms = k.scope(() => normsAt(k, k.fromHost(weight), site));
    const weightNorm = numbers(await k.toHost(norms));
    k.donate(norms);
    return [site.path, { weightNorm }];
  };
  const entries: (readonly [string, ColumnStatistics])[] = [];
  for (const site of sites) entries.push(await at(site));
  return Object.fromEntries(entries);
};

/** Σₜ ∂Wₜ and Σₜ ‖∂Wₜ[:, j]‖₂ at each place, in the order of the batches. */
type Sums<T> = Readonly<Record<string, { readonly gradient: T; readonly norms: T }>>;

const batchSums = <T extends Spec, R>(plan: StatisticsPlan<T, R>, model: Model<T>, batch: HostBatch): Sums<T> => {
  const { kernels: k, sites, loss } = plan;
  const { inputs, targets, count, starts } = toDevice(k, batch);
  const whole = andThen(k, model.layer({ kind: 'evaluate', starts }), loss);
  const p = [model.params, { targets, denominator: count }] as const;
  const [, residual] = whole.forward(p, inputs);
  const [gradients] = whole.gradient(p, residual, k.full([], 1));
  return Object.fromEntries(
    sites.map((site) => {
      const gradient = weightAt(gradients, site);
      return [site.path, { gradient, norms: normsAt(k, gradient, site) }];
    }),
  );
};

const addSums = <T extends Spec>(k: Kernels<T>, a: Sums<T>, b: Sums<T>): Sums<T> =>
  Object.fromEntries(
    Object.entries(a).map(([path, { gradient, norms }]) => {
      const next = b[path];
      return [
        path,
        next ? { gradient: k.add(gradient, next.gradient), norms: k.add(norms, next.norms) } : { gradient, norms },
      ];
    }),
  );

/** The weights, those of the places in f32, in which gradients are. */
const trainable = (weights: Weights, paths: ReadonlySet<string>): Result<Weights> =>
  pipe(
    Object.entries(weights),
    E.traverseArray(([name, tensor]) =>
      pipe(
        paths.has(name.slice(0, name.lastIndexOf('.'))) && tensor.dtype !== 'f64'
          ? widenHost(tensor, name)
          : E.right(tensor),
        E.map((wide) => [name, wide] as const),
      ),
    ),
    E.map(Object.fromEntries),
  );

const gradientStatistics = async <T extends Spec, R>(plan: StatisticsPlan<T, R>): Promise<Result<Statistics>> => {
  const { kernels: k, architecture, weights, sites, batches } = plan;
  if (batches.length === 0) return fail('ConfigError', 'at least one calibration batch', 'none', 'select');
  const paths = new Set(sites.map(({ path }) => path));
  const built = pipe(
    trainable(weights, paths),
    E.chain((wide) =>
      buildModel(k, architecture, wide, ({ path }) => ({ method: paths.has(path) ? 'full' : 'frozen' })),
    ),
  );
  if (E.isLeft(built)) return built;
  const model = built.right;
  let sums: Sums<T> = {};
  for (const [i, batch] of batches.entries()) {
    const before = sums;
    sums = k.scope(() => {
      const added = batchSums(plan, model, batch);
      return i === 0 ? added : addSums(k, before, added);
    });
    k.donate(before);
  }
  const entries: (readonly [string, ColumnStatistics])[] = [];
  for (const site of sites) {
    const { gradient, norms } = sums[site.path] as Sums<T>[string];
    const ofSum = normsAt(k, gradient, site);
    entries.push([
      site.path,
      { gradientNormOfSum: numbers(await k.toHost(ofSum)), gradientSumOfNorms: numbers(await k.toHost(norms)) },
    ]);
    k.donate(ofSum);
  }
  k.donate([sums, model.params]);
  return E.right(Object.fromEntries(entries));
};

/** The statistics of the columns of every place. Errors: gradients asked for without calibration batches. */
export const columnStatistics = async <T extends Spec, R>(
  plan: StatisticsPlan<T, R>,
  needs: readonly Statistic[],
): Promise<Result<Statistics>> => {
  const ofWeights = needs.includes('weightNorm') ? await weightStatistics(plan) : {};
  const ofGradients = needs.some((need) => need !== 'weightNorm') ? await gradientStatistics(plan) : E.right({});
  return pipe(
    ofGradients,
    E.map((gradients: Statistics) =>
      Object.fromEntries(plan.sites.map(({ path }) => [path, { ...ofWeights[path], ...gradients[path] }])),
    ),
  );
};

const selectAt = <T extends Spec, R>(
  plan: SelectionPlan<T, R>,
  statistics: Statistics,
  site: Site,
): Result<Int32Array> =>
  runSelector(plan.selector, {
    path: site.path,
    columns: columnView(site.operation).columns,
    rank: plan.rank,
    statistics: statistics[site.path] ?? {},
    rng: splitRng(rngFromSeed(plan.seed), site.path),
  });

/** Indices for every place, and what finding them cost. Errors: r > in; a statistic that can't be had. */
export const selectColumns = async <T extends Spec, R>(plan: SelectionPlan<T, R>): Promise<Result<Selected>> => {
  const { kernels: k, sites, clock, selector } = plan;
  const start = clock();
  const before = k.memory().live;
  k.resetPeak();
  const statistics = await columnStatistics(plan, selector.needs);
  const cost = (): SelectionCost => ({
    ms: clock() - start,
    peakBytes: k.memory().peak - before,
    batches: selector.needs.some((need) => need !== 'weightNorm') ? plan.batches.length : 0,
  });
  return pipe(
    statistics,
    E.chain((found) =>
      pipe(
        sites,
        E.traverseArray((site) =>
          pipe(
            selectAt(plan, found, site),
            E.map((indices) => [site.path, indices] as const),
          ),
        ),
      ),
    ),
    E.map((entries) => ({ indices: Object.fromEntries(entries), cost: cost() })),
    E.mapLeft((e): PacaError => e),
  );
};

/** Which places a run adapts, and how: the method, its columns or fresh matrices, from the settings. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../../core/fused.ts';
import { rngFromSeed, splitRng } from '../../core/rng.ts';
import type { TrainedBiases } from '../../io/adapter-saved.ts';
import type { Loss } from '../../layers/losses.ts';
import type { TrainingMethod, Treatment } from '../../methods/adapt.ts';
import { freshLowRank, type LowRankMethod } from '../../methods/adapt-low-rank.ts';
import { columnView, type Site } from '../../methods/operation.ts';
import { patternsOf, valueAt } from '../../methods/patterns.ts';
import { type ModulePattern, matchTargets } from '../../methods/targets.ts';
import { type Architecture, leafSteps, sitesOf, type Weights } from '../../models/architecture.ts';
import { besides, type SavedPlace, savedPlaces, trainsAt } from '../../models/saved-places.ts';
import { checkRank } from '../../select/indices.ts';
import { findSelector, selectors } from '../../select/selector.ts';
import { fail, type Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import { type Selected, type SelectionCost, selectColumns } from '../../train/select.ts';

/** What LoRA, DoRA and MosLoRA may be told beside rank and alpha. */
export interface LowRankSettings {
  /** Whether s is α/√r and not α/r. */
  readonly rankStabilized: boolean;
  /** Whether A stays as it was drawn (LoRA-FA). */
  readonly freezeA: boolean;
  /** Share of x that is left out before A, in training. */
  readonly loraDropout: number;
  /** Ranks and alphas of modules that have their own, as PEFT's `rank_pattern` and `alpha_pattern`. */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Which biases train: none, all of linear maps, or those of the maps that are adapted, as PEFT's `bias`. */
  readonly bias: 'none' | TrainedBiases;
}

export interface SelectionSettings {
  readonly method: TrainingMethod;
  readonly rank: number;
  readonly alpha: number;
  readonly select: string;
  readonly selectSeed: number;
  readonly targetModules: ModulePattern;
  readonly excludeModules: ModulePattern;
}

/** What trains beside an adapter. */
export interface BesideSettings {
  /** Modules that train in full and are saved whole. */
  readonly modulesToSave: readonly string[];
}

export type AdaptationSettings = SelectionSettings & Partial<LowRankSettings> & Partial<BesideSettings>;

/** A backend and an architecture, and the weights to choose columns of. */
export interface Places<T extends Spec> {
  readonly kernels: Kernels<T>;
  readonly architecture: Architecture;
  readonly weights: Weights;
  readonly clock: () => number;
}

export interface Adaptation {
  readonly treatmentOf: (site: Site) => Treatment;
  /** Whether the weights of a norm or an embedding train. */
  readonly trains: (path: string) => boolean;
  /** The places that are saved whole beside the adapter. */
  readonly saved: readonly SavedPlace[];
  /** The places that are adapted; all of them in full training. */
  readonly paths: readonly string[];
  /** PaCA's columns, by path; null for other methods. */
  readonly indices: Selected['indices'] | null;
  /** What choosing the columns cost; null for other methods. */
  readonly cost: SelectionCost | null;
  /** α of a place that is adapted. */
  readonly alphaAt: (path: string) => number;
}

/** What adapters alone make of the places. */
type Adapters = Omit<Adaptation, 'trains' | 'saved'>;

const full = (sites: readonly Site[]): Adaptation => ({
  treatmentOf: () => ({ method: 'full' }),
  trains: () => true,
  saved: [],
  paths: sites.map(({ path }) => path),
  indices: null,
  cost: null,
  alphaAt: () => 1,
});

const paca = ({ indices, cost }: Selected, alpha: number): Adapters => ({
  treatmentOf: ({ path }) =>
    indices[path] === undefined
      ? { method: 'frozen' }
      : { method: 'paca', adapters: [{ indices: indices[path], alpha }] },
  paths: Object.keys(indices),
  indices,
  cost,
  alphaAt: () => alpha,
});

/** Fresh matrices for each place, a function of the seed and the place alone; one A for a seed, whatever the method. */
const lowRank = (
  method: LowRankMethod,
  sites: readonly Site[],
  {
    rank,
    alpha,
    selectSeed,
    rankStabilized = false,
    freezeA = false,
    loraDropout: dropout = 0,
    rankPattern = {},
    alphaPattern = {},
  }: AdaptationSettings,
): Result<Adapters> => {
  const other = sites.find(({ operation }) => operation.kind !== 'linear');
  if (other !== undefined)
    return fail('ConfigError', `linear maps, which ${method} adapts`, other.path, 'targetModules');
  const paths = sites.map(({ path }) => path);
  return pipe(
    E.Do,
    E.bind('ranks', () => patternsOf(rankPattern, 'rankPattern')),
    E.bind('alphas', () => patternsOf(alphaPattern, 'alphaPattern')),
    E.map(({ ranks, alphas }) => {
      const alphaAt = (path: string): number => valueAt(alphas, path, alpha);
      return {
        treatmentOf: ({ path, operation: { kind, config } }) => {
          if (kind !== 'linear' || !paths.includes(path)) return { method: 'frozen' };
          const own = valueAt(ranks, path, rank);
          const scale = alphaAt(path) / (rankStabilized ? Math.sqrt(own) : own);
          return freshLowRank(method, splitRng(rngFromSeed(selectSeed), path), config, own, {
            scale,
            freezeA,
            dropout,
          });
        },
        paths,
        indices: null,
        cost: null,
        alphaAt,
      };
    }),
  );
};

/** The places that the settings name and that are not saved whole. Errors: a pattern that names none, an unknown module. */
export const adaptedSites = (
  architecture: Architecture,
  s: Pick<AdaptationSettings, 'targetModules' | 'excludeModules' | 'modulesToSave'>,
): Result<readonly Site[]> =>
  pipe(
    savedPlaces(architecture, s.modulesToSave ?? []),
    E.chain((saved) => {
      const all = sitesOf(architecture).filter((site) => !saved.some(({ path }) => path === site.path));
      return pipe(
        matchTargets(
          s,
          all.map(({ path }) => path),
          architecture.head,
        ),
        E.map((paths) => all.filter(({ path }) => paths.includes(path))),
      );
    }),
  );

/** The adapters with the biases that train beside them. Errors: a model in which none would. */
const withBiases = (architecture: Architecture, bias: 'none' | TrainedBiases, adapters: Adapters): Result<Adapters> => {
  const trainsBias = ({ path }: Site): boolean =>
    bias === 'all' || (bias === 'lora_only' && adapters.paths.includes(path));
  const isThere = leafSteps(architecture.steps).some(
    (step) => step.kind === 'site' && step.bias && trainsBias(step.site),
  );
  return bias === 'none' || isThere
    ? E.right({
        ...adapters,
        treatmentOf: (site) => ({ ...adapters.treatmentOf(site), trainsBias: trainsBias(site) }),
      })
    : fail('ConfigError', `linear maps with biases, which ${bias} is to train`, 'none', 'bias');
};

const withSaved =
  (saved: readonly SavedPlace[]) =>
  (adapters: Adapters): Adaptation => ({
    ...adapters,
    treatmentOf: besides(saved, adapters.treatmentOf),
    trains: trainsAt(saved),
    saved,
  });

/** What {@link adaptation} would refuse once weights are read: a place with fewer columns than PaCA's rank. */
export const checkRanks = (architecture: Architecture, s: SelectionSettings): Result<unknown> =>
  s.method === 'full'
    ? E.right(null)
    : pipe(
        adaptedSites(architecture, s),
        E.chain(
          E.traverseArray(({ path, operation }) =>
            s.method === 'paca' ? checkRank(s.rank, columnView(operation).columns, path) : E.right(s.rank),
          ),
        ),
      );

/** `batches`: calibration batches, for selectors that need gradients. */
export const adaptation = async <T extends Spec>(
  { kernels, architecture, weights, clock }: Places<T>,
  s: AdaptationSettings,
  loss: Loss<T, unknown>,
  batches: readonly HostBatch[],
): Promise<Result<Adaptation>> => {
  if (s.method === 'full') return E.right(full(sitesOf(architecture)));
  const found = pipe(
    E.Do,
    E.bind('selector', () => findSelector(selectors, s.select)),
    E.bind('sites', () => adaptedSites(architecture, s)),
    E.bind('saved', () => savedPlaces(architecture, s.modulesToSave ?? [])),
  );
  if (E.isLeft(found)) return found;
  const { selector, sites, saved } = found.right;
  if (s.method !== 'paca') {
    return pipe(
      lowRank(s.method, sites, s),
      E.chain((adapters) => withBiases(architecture, s.bias ?? 'none', adapters)),
      E.map(withSaved(saved)),
    );
  }
  const { rank, selectSeed: seed } = s;
  const plan = { kernels, architecture, weights, sites, selector, rank, seed, loss, batches, clock };
  return E.map((selected: Selected) => withSaved(saved)(paca(selected, s.alpha)))(await selectColumns(plan));
};

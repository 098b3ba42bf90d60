/** Which places a run adapts, and how: the method, its columns or fresh matrices, from the settings. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../../core/fused.ts';
import { rngFromSeed, splitRng } from '../../core/rng.ts';
import type { Loss } from '../../layers/losses.ts';
import type { Treatment } from '../../methods/adapt.ts';
import { freshLora } from '../../methods/lora.ts';
import type { Site } from '../../methods/operation.ts';
import { type ModulePattern, matchTargets } from '../../methods/targets.ts';
import { type Architecture, sitesOf, type Weights } from '../../models/architecture.ts';
import { findSelector, selectors } from '../../select/selector.ts';
import { fail, type Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import { type Selected, type SelectionCost, selectColumns } from '../../train/select.ts';

export interface SelectionSettings {
  readonly method: 'full' | 'paca' | 'lora';
  readonly rank: number;
  readonly alpha: number;
  readonly select: string;
  readonly selectSeed: number;
  readonly targetModules: ModulePattern;
  readonly excludeModules: ModulePattern;
}

/** A backend and an architecture, and the weights to choose columns of. */
export interface Places<T extends Spec> {
  readonly kernels: Kernels<T>;
  readonly architecture: Architecture;
  readonly weights: Weights;
  readonly clock: () => number;
}

export interface Adaptation {
  readonly treatmentOf: (site: Site) => Treatment;
  /** The places that are adapted; all of them in full training. */
  readonly paths: readonly string[];
  /** PaCA's columns, by path; null for other methods. */
  readonly indices: Selected['indices'] | null;
  /** What choosing the columns cost; null for other methods. */
  readonly cost: SelectionCost | null;
}

const full = (sites: readonly Site[]): Adaptation => ({
  treatmentOf: () => ({ method: 'full' }),
  paths: sites.map(({ path }) => path),
  indices: null,
  cost: null,
});

const paca = ({ indices, cost }: Selected, alpha: number): Adaptation => ({
  treatmentOf: ({ path }) =>
    indices[path] === undefined
      ? { method: 'frozen' }
      : { method: 'paca', adapters: [{ indices: indices[path], alpha }] },
  paths: Object.keys(indices),
  indices,
  cost,
});

/** Fresh matrices for each place, a function of the seed and the place alone. */
const lora = (sites: readonly Site[], { rank, alpha, selectSeed }: SelectionSettings): Result<Adaptation> => {
  const other = sites.find(({ operation }) => operation.kind !== 'linear');
  if (other !== undefined) return fail('ConfigError', 'linear maps, which LoRA adapts', other.path, 'targetModules');
  const paths = sites.map(({ path }) => path);
  return E.right({
    treatmentOf: ({ path, operation: { kind, config } }) =>
      kind === 'linear' && paths.includes(path)
        ? {
            method: 'lora',
            adapters: [{ ...freshLora(splitRng(rngFromSeed(selectSeed), path), config, rank), scale: alpha / rank }],
          }
        : { method: 'frozen' },
    paths,
    indices: null,
    cost: null,
  });
};

/** The places that the settings name. Errors: a pattern that names none. */
export const adaptedSites = (
  architecture: Architecture,
  s: Pick<SelectionSettings, 'targetModules' | 'excludeModules'>,
): Result<readonly Site[]> => {
  const all = sitesOf(architecture);
  const names = all.map(({ path }) => path);
  return pipe(
    matchTargets(s, names, architecture.head),
    E.map((paths) => all.filter(({ path }) => paths.includes(path))),
  );
};

/** `batches`: calibration batches, for selectors that need gradients. */
export const adaptation = async <T extends Spec>(
  { kernels, architecture, weights, clock }: Places<T>,
  s: SelectionSettings,
  loss: Loss<T, unknown>,
  batches: readonly HostBatch[],
): Promise<Result<Adaptation>> => {
  if (s.method === 'full') return E.right(full(sitesOf(architecture)));
  const found = pipe(
    E.Do,
    E.bind('selector', () => findSelector(selectors, s.select)),
    E.bind('sites', () => adaptedSites(architecture, s)),
  );
  if (E.isLeft(found)) return found;
  const { selector, sites } = found.right;
  if (s.method === 'lora') return lora(sites, s);
  const { rank, selectSeed: seed } = s;
  const plan = { kernels, architecture, weights, sites, selector, rank, seed, loss, batches, clock };
  return E.map((selected: Selected) => paca(selected, s.alpha))(await selectColumns(plan));
};

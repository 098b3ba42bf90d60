/**
 * Modules that train in full beside an adapter and are saved whole with it, as PEFT's `modules_to_save`. A place that is
 * saved is no target: the adapter is not put on it.
 *
 * PEFT takes a copy of each, so that an embedding and the head tied to it come apart. Here they stay one table, which
 * trains only where both are named.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Treatment } from '../methods/adapt.ts';
import type { Site } from '../methods/operation.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type Architecture, leafSteps, nameOf } from './architecture.ts';

/** A place that trains in full. */
export interface SavedPlace {
  readonly path: string;
  /** Where its parameters lie: its own path, or that of the place whose weights it reads. */
  readonly at: string;
}

/** Every place that has weights, or reads another's. */
const placesOf = ({ steps }: Architecture): readonly SavedPlace[] =>
  leafSteps(steps).flatMap((step) =>
    step.kind === 'fixed'
      ? []
      : [{ path: nameOf(step), at: step.kind === 'plain' ? (step.tiedTo ?? step.path) : nameOf(step) }],
  );

const lastName = (path: string): string => path.slice(path.lastIndexOf('.') + 1);

const matches = (name: string, path: string): boolean => path === name || path.endsWith(`.${name}`);

/** A table that two places read is named by both. */
const checkTied = (all: readonly SavedPlace[], chosen: readonly SavedPlace[]): Result<readonly SavedPlace[]> => {
  const apart = all.find((place) => !chosen.includes(place) && chosen.some(({ at }) => at === place.at));
  if (apart === undefined) return E.right(chosen);
  const table = all.filter(({ at }) => at === apart.at).map(({ path }) => path);
  const came = chosen.filter(({ at }) => at === apart.at).map(({ path }) => path);
  return fail('ConfigError', `${table.join(' and ')}, whose weights are tied here`, came.join(', '), 'modulesToSave');
};

/**
 * The places that are named, by their paths or the ends of these behind a dot.
 * Errors: a name that is none of the model's; one of two places that are tied.
 *
 * @example
 * ```ts
 * import { mlp, orThrow, savedPlaces } from 'paca-ts';
 *
 * const places = orThrow(savedPlaces(mlp({ widths: [4, 8, 3], activation: 'tanh' }), ['layers.1']));
 * places.map(({ path }) => path); // => ['layers.1']
 * ```
 */
export const savedPlaces = (architecture: Architecture, names: readonly string[]): Result<readonly SavedPlace[]> => {
  const all = placesOf(architecture);
  const unknown = names.find((name) => !all.some(({ path }) => matches(name, path)));
  if (unknown !== undefined) {
    const known = [...new Set(all.map(({ path }) => lastName(path)))].join(', ');
    return fail('ConfigError', `paths of modules, or their ends: ${known}`, `'${unknown}'`, 'modulesToSave');
  }
  return checkTied(
    all,
    all.filter(({ path }) => names.some((name) => matches(name, path))),
  );
};

/** The treatment of each site, where `saved` ones train in full. */
export const besides =
  (saved: readonly SavedPlace[], treatmentOf: (site: Site) => Treatment): ((site: Site) => Treatment) =>
  (site) =>
    saved.some(({ path }) => path === site.path) ? { method: 'full' } : treatmentOf(site);

/** Whether the weights that lie at a path train, for `buildModel`. */
export const trainsAt =
  (saved: readonly SavedPlace[]): ((at: string) => boolean) =>
  (path) =>
    saved.some(({ at }) => at === path);

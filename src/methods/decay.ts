/**
 * What weight decay pulls the trained numbers towards.
 *
 * `pretrained`: the columns towards W, that is δ towards 0 (and LoRA's A and B, DoRA's magnitudes towards the row norms of
 * W); a fully trained weight towards where it began.
 * `zero`: the columns towards 0, as when their values are trained in place (the paper's first code, with s = 1): δ
 * towards −W[:, I]; a fully trained weight towards 0.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import { hasLeaves, mapTree, type Tree } from '../core/tree.ts';
import { fail, type Result } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';
import { adapterConfig, type Treatment } from './adapt.ts';
import { type DoraPlan, lowRankConfig } from './adapt-low-rank.ts';
import { type DoraAdapter, rowNorms } from './dora.ts';
import { type LowRankParams, trainedPart } from './low-rank.ts';
import { columnView, type Operation, type Site } from './operation.ts';
import type { PacaAdapter, PacaParams } from './paca.ts';

export type DecayTowards = 'pretrained' | 'zero';

/** −W[:, I] in the shape of δ. */
const minusColumns = <T extends Spec>(
  k: Kernels<T>,
  operation: Operation,
  weight: T,
  { indices, delta }: PacaAdapter<T>,
): T => {
  const { shape, axis } = columnView(operation);
  return k.scope(() => k.reshape(k.neg(k.gather(widen(k, k.reshape(weight, shape)), indices, axis)), delta.shape));
};

/** A and B towards 0, the magnitudes towards the row norms of W: so far gone, the layer is the pretrained one. */
const doraTarget = <T extends Spec>(k: Kernels<T>, plans: readonly DoraPlan[], params: Tree<T>): Tree<T> => {
  const { weight, adapters } = params as unknown as LowRankParams<T, DoraAdapter<T>>;
  return {
    adapters: adapters.map((adapter, i) =>
      mapTree<T, T>({ ...trainedPart(adapter, lowRankConfig(plans[i]!)) } as Tree<T>, ({ shape }, name) =>
        name === 'magnitude' ? rowNorms(k, weight) : k.full(shape, 0),
      ),
    ),
  };
};

const pacaTarget = <T extends Spec>(
  k: Kernels<T>,
  { path, operation }: Site,
  plans: Extract<Treatment, { method: 'paca' }>['adapters'],
  params: Tree<T>,
): Result<Tree<T>> => {
  const { weight, adapters } = params as unknown as PacaParams<T>;
  const configs = plans.map(adapterConfig);
  const scaled = configs.find(({ active, trains, scale }) => active && trains && scale !== 1);
  return scaled === undefined
    ? E.right({
        adapters: adapters.map((adapter, i) =>
          configs[i]?.active && configs[i]?.trains ? { delta: minusColumns(k, operation, weight, adapter) } : {},
        ),
      })
    : fail('ConfigError', "alpha = rank where decayTowards is 'zero' (s = 1)", `s = ${scaled.scale}`, path);
};

/** Weights that train in full, towards where they are now, or null for 0. */
const weightTarget = <T extends Spec>(k: Kernels<T>, towards: DecayTowards, trained: Tree<T>): Tree<T> | null =>
  towards === 'zero' || !hasLeaves(trained) ? null : mapTree(trained, (p) => k.cast(p, p.dtype));

/** The target of a site, or null for 0. */
const siteTarget = <T extends Spec>(
  k: Kernels<T>,
  towards: DecayTowards,
  site: Site,
  treatment: Treatment,
  params: Tree<T>,
  trained: Tree<T>,
): Result<Tree<T> | null> => {
  const { method } = treatment;
  if (method === 'frozen') return E.right(null);
  if (method === 'full') return E.right(weightTarget(k, towards, trained));
  if (towards === 'pretrained') return E.right(method === 'dora' ? doraTarget(k, treatment.adapters, params) : null);
  if (method === 'paca') return pacaTarget(k, site, treatment.adapters, params);
  const why = `as ${method} does not train the weight itself`;
  return fail('ConfigError', `decayTowards: 'pretrained', ${why}`, "'zero'", site.path);
};

/** The same with the target of a bias that trains: a number of its own, as a weight that trains in full. */
const withBias = <T extends Spec>(
  k: Kernels<T>,
  towards: DecayTowards,
  trained: Tree<T>,
  target: Tree<T> | null,
): Tree<T> | null => {
  const { bias } = trained as { readonly bias?: T };
  return bias === undefined || towards === 'zero'
    ? target
    : { bias: k.cast(bias, bias.dtype), ...(target as object | null) };
};

/**
 * The target in the shape of what trains, or null for 0. `params` and `trained`, the part of them that trains, have one
 * entry for each path. What trains and is no site, an embedding or a norm, trains in full.
 * Errors: `zero` for PaCA with s ≠ 1, where the value form is not defined, and for methods that add a product to W.
 */
export const decayTarget = <T extends Spec>(
  k: Kernels<T>,
  towards: DecayTowards,
  sites: readonly Site[],
  treatmentOf: (site: Site) => Treatment,
  params: Tree<T>,
  trained: Tree<T>,
): Result<Tree<T> | null> => {
  const siteAt = new Map(sites.map((site) => [site.path, site]));
  const at = params as { readonly [path: string]: Tree<T> };
  return pipe(
    Object.entries(trained as { readonly [path: string]: Tree<T> }),
    E.traverseArray(([path, part]) => {
      const site = siteAt.get(path);
      const target =
        site === undefined
          ? E.right(weightTarget(k, towards, part))
          : siteTarget(k, towards, site, treatmentOf(site), at[path] ?? {}, part);
      return pipe(
        target,
        E.map((found) => ({ path, part, found: withBias(k, towards, part, found) })),
      );
    }),
    E.map((entries) =>
      entries.every(({ found }) => found === null)
        ? null
        : Object.fromEntries(
            entries.map(({ path, part, found }) => [
              path,
              { ...(mapTree(part, ({ shape }) => k.full(shape, 0)) as object), ...(found as object | null) },
            ]),
          ),
    ),
  );
};

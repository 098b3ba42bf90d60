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
import { mapTree, type Tree } from '../core/tree.ts';
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

const siteTarget = <T extends Spec>(
  k: Kernels<T>,
  towards: DecayTowards,
  { path, operation }: Site,
  treatment: Treatment,
  params: Tree<T>,
): Result<Tree<T>> => {
  if (treatment.method === 'frozen') return E.right({});
  if (treatment.method === 'dora' && towards === 'pretrained')
    return E.right(doraTarget(k, treatment.adapters, params));
  if (treatment.method === 'lora' || treatment.method === 'dora' || treatment.method === 'moslora') {
    const why = `as ${treatment.method} does not train the weight itself`;
    return fail('ConfigError', `decayTowards: 'pretrained', ${why}`, "'zero'", path);
  }
  if (treatment.method === 'full') return E.right(mapTree(params, (p) => k.cast(p, p.dtype)));
  const { weight, adapters } = params as unknown as PacaParams<T>;
  const configs = treatment.adapters.map(adapterConfig);
  const scaled = configs.find(({ active, trains, scale }) => active && trains && scale !== 1);
  return scaled === undefined
    ? E.right({
        adapters: adapters.map((adapter, i) =>
          configs[i]?.active && configs[i]?.trains ? { delta: minusColumns(k, operation, weight, adapter) } : {},
        ),
      })
    : fail('ConfigError', "alpha = rank where decayTowards is 'zero' (s = 1)", `s = ${scaled.scale}`, path);
};

/**
 * The target in the shape of what trains, or null for 0. `params` has one entry for each site's path.
 * Errors: `zero` for PaCA with s ≠ 1, where the value form is not defined.
 */
export const decayTarget = <T extends Spec>(
  k: Kernels<T>,
  towards: DecayTowards,
  sites: readonly Site[],
  treatmentOf: (site: Site) => Treatment,
  params: Tree<T>,
): Result<Tree<T> | null> => {
  const isZero = (site: Site): boolean => {
    const { method } = treatmentOf(site);
    if (method === 'frozen') return true;
    return towards === 'zero' ? method === 'full' : method !== 'full' && method !== 'dora';
  };
  if (sites.every(isZero)) return E.right(null);
  const at = params as { readonly [path: string]: Tree<T> };
  return pipe(
    sites,
    E.traverseArray((site) =>
      pipe(
        siteTarget(k, towards, site, treatmentOf(site), at[site.path] ?? {}),
        E.map((target) => [site.path, target] as const),
      ),
    ),
    E.map((entries) => Object.fromEntries(entries)),
  );
};

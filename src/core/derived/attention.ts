/**
 * Scaled dot-product attention in which several query heads may share a head of keys and values, and its derivative.
 * For each query, over the keys that it sees:
 *
 *   s = scale·q·k    p = exp(s − max s)/Σ exp(s − max s)    y = Σ p·v
 *   ∂v = Σ p·dy      dp = dy·v      ds = p·(dp − Σ p·dp)·scale      ∂q = Σ ds·k      ∂k = Σ ds·q
 *
 * Sums over keys run over the keys in order (the two of softmax in the lane order, where a key that is not seen adds +0);
 * sums over queries run over the query heads of a group in order, and for each over its queries in order. So the heads of
 * a group are nothing but more queries. Everything is defined for finite numbers: p is 0 at a key that is not seen.
 *
 * Shapes: q, y `[batch, queries, heads, width]`; k, v `[batch, keys, groups, width]`; heads a multiple of groups, head h
 * reading group ⌊h·groups/heads⌋. Where a row holds several documents, a query sees keys of its own alone. Sources: Vaswani et al. 2017; grouped queries, Ainslie et al. 2023; window, Jiang et
 * al. 2023 (Mistral).
 */

import { checkStarts, type DocumentStarts } from '../../spec/documents.ts';
import { hostArray } from '../../spec/dtype.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { type AttentionSizes, attentionSizes } from '../shape-rules.ts';
import { asColumn } from './shapes.ts';

export interface AttentionConfig {
  /** What a score is multiplied by, 1/√width as a rule. */
  readonly scale: number;
  /** Whether a query sees only keys up to its own position; the queries are the last of the positions. */
  readonly causal: boolean;
  /** With `causal`: the most keys that a query sees, its own position's and those before; null for all. */
  readonly window: number | null;
  /** With `causal`: where the document of each query starts, `[batch, queries]`, before which it sees no key. */
  readonly starts?: DocumentStarts | undefined;
}

export interface AttentionKernels<T> {
  readonly forward: (q: T, k: T, v: T, config: AttentionConfig) => T;
  readonly backward: (q: T, k: T, v: T, dy: T, config: AttentionConfig) => readonly [dq: T, dk: T, dv: T];
}

/** The keys that a query sees: from the first to before the second. `row`: its place among the queries of all sequences. */
const visibleKeys = (
  row: number,
  { queries, keys }: Pick<AttentionSizes, 'queries' | 'keys'>,
  { causal, window, starts }: AttentionConfig,
): readonly [from: number, to: number] => {
  if (!causal) return [0, keys];
  const to = keys - queries + (row % queries) + 1;
  return [Math.max(starts?.data[row] ?? 0, window === null ? 0 : to - window), to];
};

/** 1 where a query sees a key, else 0: `[queries, keys]`, with documents `[batch, 1, 1, queries, keys]`. */
const visibility = (sizes: AttentionSizes, config: AttentionConfig): HostTensor => {
  const { batch, queries, keys } = sizes;
  if (config.starts !== undefined) checkStarts(config.starts, batch, queries, keys);
  const rows = (config.starts === undefined ? 1 : batch) * queries;
  const data = hostArray('f32', rows * keys);
  for (let row = 0; row < rows; row++) {
    const [from, to] = visibleKeys(row, sizes, config);
    data.fill(1, row * keys + from, row * keys + to);
  }
  const shape = config.starts === undefined ? [queries, keys] : [batch, 1, 1, queries, keys];
  return { dtype: 'f32', shape, data };
};

export const attention = <T extends Spec>(o: Ops<T>): AttentionKernels<T> => {
  /** `[batch, queries, heads, width]` → `[batch, groups, rows, width]`, a row being a query of a head of the group. */
  const byGroup = (q: T, { batch, queries, heads, groups, width }: AttentionSizes): T => {
    const split = o.reshape(q, [batch, queries, groups, heads / groups, width]);
    return o.reshape(o.transpose(split, [0, 2, 3, 1, 4]), [batch, groups, (heads / groups) * queries, width]);
  };
  const fromGroups = (rows: T, { batch, queries, heads, groups, width }: AttentionSizes): T => {
    const split = o.reshape(rows, [batch, groups, heads / groups, queries, width]);
    return o.reshape(o.transpose(split, [0, 3, 1, 2, 4]), [batch, queries, heads, width]);
  };
  /** `[batch, keys, groups, width]` → `[batch, groups, keys, width]`, and back. */
  const swapped = (k: T): T => o.transpose(k, [0, 2, 1, 3]);

  /** p `[batch, groups, rows, keys]` from queries and keys by group. */
  const probabilities = (q: T, k: T, sizes: AttentionSizes, config: AttentionConfig): T => {
    const { batch, queries, keys, heads, groups } = sizes;
    const visible = o.fromHost(visibility(sizes, config));
    const product = o.mul(o.matmul(q, k, 'nt'), config.scale);
    const scores = o.reshape(product, [batch, groups, heads / groups, queries, keys]);
    const largest = asColumn(o, o.maxLast(o.where(visible, scores, Number.NEGATIVE_INFINITY)));
    const powers = o.where(visible, o.exp(o.sub(scores, largest)), 0);
    return o.reshape(o.div(powers, asColumn(o, o.sumLast(powers))), product.shape);
  };

  return {
    forward: (q, k, v, config) =>
      o.scope(() => {
        const sizes = attentionSizes(q, k, v);
        const p = probabilities(byGroup(q, sizes), swapped(k), sizes, config);
        return fromGroups(o.matmul(p, swapped(v), 'nn'), sizes);
      }),
    backward: (q, k, v, dy, config) =>
      o.scope(() => {
        const sizes = attentionSizes(q, k, v);
        const [queries, gradients] = [byGroup(q, sizes), byGroup(dy, sizes)];
        const keys = swapped(k);
        const p = probabilities(queries, keys, sizes, config);
        const dp = o.matmul(gradients, swapped(v), 'nt');
        const along = asColumn(o, o.sumLast(o.mul(p, dp)));
        const ds = o.mul(o.mul(p, o.sub(dp, along)), config.scale);
        return [
          fromGroups(o.matmul(ds, keys, 'nn'), sizes),
          swapped(o.matmul(ds, queries, 'tn')),
          swapped(o.matmul(p, gradients, 'tn')),
        ];
      }),
  };
};

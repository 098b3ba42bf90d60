/**
 * Scaled dot-product attention with grouped queries (see core/derived/attention.ts). Keeps q, k and v and nothing that
 * grows with queries × keys: the backward pass computes the probabilities again. Nothing trains.
 * Shapes: q and y `[batch, queries, heads, width]`; k and v `[batch, keys, groups, width]`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { AttentionConfig as KernelConfig } from '../core/derived/attention.ts';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { leaves, type None, none } from '../core/tree.ts';
import { type Slot, type Spec, sameShape } from '../spec/tensor.ts';
import { untrained } from './activations.ts';
import { checkTuple, fresh } from './checks.ts';

export interface AttentionConfig extends KernelConfig {
  readonly heads: number;
  /** Heads of keys and values, a divisor of `heads`. */
  readonly groups: number;
  readonly width: number;
}

export interface AttentionResidual<T> {
  readonly q: T;
  readonly k: T;
  readonly v: T;
}

/** Queries, and keys with values: as two nested forks give them. */
export type AttentionInput<T> = readonly [q: T, kv: readonly [k: T, v: T]];

const fits =
  ({ heads, groups, width, causal, window, starts }: AttentionConfig) =>
  ([q, k, v, ...rest]: readonly Slot[]): boolean => {
    if (q === undefined || k === undefined || v === undefined || rest.length > 0) return false;
    const [batch = 0, queries = 0] = q.shape;
    const [, keys = 0] = k.shape;
    return (
      sameShape(q.shape, [batch, queries, heads, width]) &&
      [k, v].every(({ shape }) => sameShape(shape, [batch, keys, groups, width])) &&
      heads % groups === 0 &&
      (!causal || queries <= keys) &&
      (window === null || (causal && window > 0)) &&
      (starts === undefined || (causal && sameShape(starts.shape, [batch, queries])))
    );
  };

const expected = ({ heads, groups, width, causal, window, starts }: AttentionConfig): string =>
  `float tensors q [batch, queries, ${heads}, ${width}], k and v [batch, keys, ${groups}, ${width}], ` +
  `heads a multiple of groups${causal ? ', at least as many keys as queries' : ''}` +
  `${window === null ? '' : ', and a positive window with causal alone'}` +
  `${starts === undefined ? '' : `, and starts [batch, queries] = [${starts.shape.join(', ')}] with causal alone`}`;

export const attention = <T extends Spec>(
  { attention: kernel }: Kernels<T>,
  config: AttentionConfig,
): Layer<None, None, AttentionInput<T>, T, AttentionResidual<T>> => ({
  forward: (_, [q, [k, v]]) => [kernel.forward(q, k, v, config), { q, k, v }],
  backward: (_, { q, k, v }, dy) => {
    const [dq, dk, dv] = kernel.backward(q, k, v, dy, config);
    return [none, [dq, [dk, dv]]];
  },
  ...untrained,
  output: (x) =>
    pipe(
      checkTuple(x, expected(config), 'attention', fits(config)),
      E.map(([q]) => fresh(q!, 'attention', q!.shape)),
    ),
  residual: (x) => {
    const [q, k, v] = leaves(x);
    return { q: q!, k: k!, v: v! };
  },
});

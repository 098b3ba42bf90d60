/**
 * A table of rows read by number: ids `i32 […]` → `[…, width]`. Trained, it keeps the ids; frozen, nothing.
 * Ids are whole numbers: the input gradient is 0.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree } from '../core/tree.ts';
import type { Result } from '../spec/errors.ts';
import { freshSlot, type Spec } from '../spec/tensor.ts';
import { checkInput } from './checks.ts';

export interface EmbeddingConfig {
  readonly rows: number;
  readonly width: number;
}

export interface EmbeddingParams<T> {
  readonly weight: T;
}

const output =
  <T extends Spec>(k: Kernels<T>, { width }: EmbeddingConfig) =>
  (x: SlotTree): Result<SlotTree> =>
    pipe(
      checkInput(x, 'an i32 tensor of row numbers', 'embedding', (s) => s.dtype === 'i32'),
      E.map((s) => freshSlot(s, 'embedding', { shape: [...s.shape, width], dtype: k.float })),
    );

export const embedding = <T extends Spec>(
  k: Kernels<T>,
  config: EmbeddingConfig,
): Layer<EmbeddingParams<T>, EmbeddingParams<T>, T, T, { readonly ids: T }> => {
  const gradient = (_: EmbeddingParams<T>, { ids }: { readonly ids: T }, dy: T): EmbeddingParams<T> => ({
    weight: k.embedding.weightGradient(dy, ids, config.rows),
  });
  return {
    forward: ({ weight }, ids) => [k.embedding.forward(ids, weight), { ids }],
    backward: (p, residual, dy) => [gradient(p, residual, dy), k.full(residual.ids.shape, 0)],
    gradient,
    trainable: (p) => p,
    output: output(k, config),
    residual: (ids) => ({ ids }),
  };
};

export const frozenEmbedding = <T extends Spec>(
  k: Kernels<T>,
  config: EmbeddingConfig,
): Layer<EmbeddingParams<T>, None, T, T, None> => ({
  forward: ({ weight }, ids) => [k.embedding.forward(ids, weight), none],
  backward: (_, __, dy) => [none, k.full(dy.shape.slice(0, -1), 0)],
  gradient: () => none,
  trainable: () => none,
  output: output(k, config),
  residual: () => none,
});

/**
 * A table of rows read by number: ids `i32 […]` → `[…, width]`. Trained, it keeps the ids; frozen, nothing.
 * Ids are whole numbers: the input gradient is 0.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import type { None, SlotTree } from '../core/tree.ts';
import type { Result } from '../spec/errors.ts';
import { freshSlot, type Spec } from '../spec/tensor.ts';
import { checkInput } from './checks.ts';
import { type Formulas, frozen, keepingNothing, trained } from './parametric.ts';

export interface EmbeddingConfig {
  readonly rows: number;
  readonly width: number;
}

export interface EmbeddingParams<T> {
  readonly weight: T;
}

export interface EmbeddingResidual<T> {
  readonly ids: T;
}

const output =
  <T extends Spec>(k: Kernels<T>, { width }: EmbeddingConfig) =>
  (x: SlotTree): Result<SlotTree> =>
    pipe(
      checkInput(x, 'an i32 tensor of row numbers', 'embedding', (s) => s.dtype === 'i32'),
      E.map((s) => freshSlot(s, 'embedding', { shape: [...s.shape, width], dtype: k.float })),
    );

const inputGradient =
  <T extends Spec>(k: Kernels<T>) =>
  (_: EmbeddingParams<T>, dy: T): T =>
    k.full(dy.shape.slice(0, -1), 0);

const formulas = <T extends Spec>(
  k: Kernels<T>,
  config: EmbeddingConfig,
): Formulas<T, EmbeddingParams<T>, EmbeddingResidual<T>> => ({
  forward: ({ weight }, ids) => [k.embedding.forward(ids, weight), { ids }],
  inputGradient: (p, _, dy) => inputGradient(k)(p, dy),
  gradient: (_, { ids }, dy) => ({ weight: k.embedding.weightGradient(dy, ids, config.rows) }),
  output: output(k, config),
  residual: (ids) => ({ ids }),
});

export const embedding = <T extends Spec>(
  k: Kernels<T>,
  config: EmbeddingConfig,
): Layer<EmbeddingParams<T>, EmbeddingParams<T>, T, T, EmbeddingResidual<T>> => trained(formulas(k, config));

export const frozenEmbedding = <T extends Spec>(
  k: Kernels<T>,
  config: EmbeddingConfig,
): Layer<EmbeddingParams<T>, None, T, T, None> => frozen(keepingNothing(formulas(k, config), inputGradient(k)));

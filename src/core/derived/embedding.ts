/**
 * Rows of a table, by their numbers, and the derivative: y = table[ids], ∂table = rows of dy added where they were
 * read, in the order of the ids. Shapes: ids `i32 […]`, table `[rows, k]` in any storage type, y and dy `[…, k]`.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { flatten, toRows, widthOf } from './shapes.ts';
import { widen } from './widen.ts';

export interface EmbeddingKernels<T> {
  readonly forward: (ids: T, table: T) => T;
  readonly weightGradient: (dy: T, ids: T, rows: number) => T;
}

export const embedding = <T extends Spec>(o: Ops<T>): EmbeddingKernels<T> => ({
  forward: (ids, table) => o.reshape(widen(o, o.gather(table, flatten(o, ids), 0)), [...ids.shape, widthOf(table)]),
  weightGradient: (dy, ids, rows) => o.scatterAdd(o.full([rows, widthOf(dy)], 0), flatten(o, ids), 0, toRows(o, dy)),
});

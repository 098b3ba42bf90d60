/** What the derivations share: a tensor as rows, and back; the indices of a run of rows. */
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';

/** Length of the last axis. */
export const widthOf = (x: Spec): number => x.shape.at(-1) ?? 1;

/** `[…, k]` → `[n, k]`, n the product of the leading axes. */
export const toRows = <T extends Spec>(o: Ops<T>, x: T): T =>
  x.shape.length === 2 ? x : o.reshape(x, [x.shape.slice(0, -1).reduce((n, d) => n * d, 1), widthOf(x)]);

/** `[n, k]` → `[…, k]`, the leading axes those of `like`. */
export const sameLeading = <T extends Spec>(o: Ops<T>, rows: T, like: Spec): T =>
  like.shape.length === 2 ? rows : o.reshape(rows, [...like.shape.slice(0, -1), widthOf(rows)]);

/** `[…]` → `[…, 1]`: a value for each row, ready to broadcast along it. */
export const asColumn = <T extends Spec>(o: Ops<T>, x: T): T => o.reshape(x, [...x.shape, 1]);

/** Any tensor as `[size]`. */
export const flatten = <T extends Spec>(o: Ops<T>, x: T): T => o.reshape(x, [-1]);

/** The whole numbers of [from, to), to gather by. */
export const range = (from: number, to: number): HostTensor => ({
  dtype: 'i32',
  shape: [to - from],
  data: Int32Array.from({ length: to - from }, (_, i) => from + i),
});

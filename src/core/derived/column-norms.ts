/**
 * ‖W[:, j]‖₂ of every column j of a weight: what the weight-norm and gradient selections rank by.
 * `view`: the weight's shape with its columns on one axis of their own. The squares are added in the lane order.
 */
import type { Shape, Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { widen } from './widen.ts';

export const columnNorms = <T extends Spec>(o: Ops<T>, weight: T, view: Shape, axis: number): T => {
  const order = [axis, ...view.map((_, i) => i).filter((i) => i !== axis)];
  const columns = o.transpose(o.reshape(widen(o, weight), view), order);
  const rows = o.reshape(columns, [view[axis] ?? 0, -1]);
  return o.sqrt(o.sumLast(o.mul(rows, rows)));
};

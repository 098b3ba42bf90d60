/** Choosing, adding to and rearranging parts of a tensor. Only `scatterAdd` rounds: once for each addition. */
import { aroundAxis, checkSeparable, replaceAxis, resolveShape } from '../../src/core/shape-rules.ts';
import { defect } from '../../src/spec/errors.ts';
import { type Shape, sameShape, showSpec, sizeOf } from '../../src/spec/tensor.ts';
import type { Arithmetic } from './arithmetic.ts';
import { dataOf, floatsOf, intsOf, type Memory, type ReferenceTensor } from './memory.ts';

type Tensor = ReferenceTensor;

const inRange = (index: number, length: number): number =>
  index >= 0 && index < length ? index : defect(`index ${index} outside 0 … ${length - 1}`);

export interface Indexing {
  readonly reshape: (x: Tensor, shape: Shape) => Tensor;
  readonly transpose: (x: Tensor, order: readonly number[]) => Tensor;
  readonly gather: (x: Tensor, indices: Tensor, axis: number) => Tensor;
  readonly scatterAdd: (x: Tensor, indices: Tensor, axis: number, source: Tensor) => Tensor;
  readonly oneHot: (indices: Tensor, depth: number) => Tensor;
}

export const indexing = ({ float, round }: Arithmetic, memory: Memory): Indexing => ({
  reshape: (x, shape) => memory.view(x, resolveShape(x, shape)),

  transpose: (x, order) => {
    checkSeparable(x, 'transpose');
    const strides = order.map((axis) => sizeOf(x.shape.slice(axis + 1)));
    const result = memory.create(
      x.dtype,
      order.map((axis) => x.shape[axis]!),
    );
    const from = dataOf(x);
    const to = dataOf(result);
    let next = 0;
    const copyAxis = (axis: number, source: number): void => {
      if (axis === order.length) {
        to[next++] = from[source]!;
        return;
      }
      for (let i = 0; i < result.shape[axis]!; i++) copyAxis(axis + 1, source + i * strides[axis]!);
    };
    copyAxis(0, 0);
    return result;
  },

  gather: (x, indices, axis) => {
    checkSeparable(x, 'gather');
    const { outer, length, inner } = aroundAxis(x.shape, axis);
    const chosen = intsOf(indices);
    const result = memory.create(x.dtype, replaceAxis(x.shape, axis, chosen.length));
    const from = dataOf(x);
    const to = dataOf(result);
    for (let i = 0; i < outer; i++) {
      chosen.forEach((index, j) => {
        const source = (i * length + inRange(index, length)) * inner;
        const target = (i * chosen.length + j) * inner;
        for (let k = 0; k < inner; k++) to[target + k] = from[source + k]!;
      });
    }
    return result;
  },

  scatterAdd: (x, indices, axis, source) => {
    const { outer, length, inner } = aroundAxis(x.shape, axis);
    const chosen = intsOf(indices);
    if (!sameShape(source.shape, replaceAxis(x.shape, axis, chosen.length))) {
      defect(`scatterAdd of ${showSpec(source)} into ${showSpec(x)} at ${chosen.length} places of axis ${axis}`);
    }
    const result = memory.create(float, x.shape);
    const to = floatsOf(result);
    const from = floatsOf(source);
    to.set(floatsOf(x));
    for (let i = 0; i < outer; i++) {
      chosen.forEach((index, j) => {
        const target = (i * length + inRange(index, length)) * inner;
        const start = (i * chosen.length + j) * inner;
        for (let k = 0; k < inner; k++) to[target + k] = round(to[target + k]! + from[start + k]!);
      });
    }
    return result;
  },

  oneHot: (indices, depth) => {
    const result = memory.create(float, [...indices.shape, depth]);
    const to = floatsOf(result);
    intsOf(indices).forEach((index, i) => {
      if (index >= 0 && index < depth) to[i * depth + index] = 1;
    });
    return result;
  },
});

/** Choosing, adding to and rearranging parts of a tensor: shapes and checks here, the copying in `assembly/indexing.ts`. */
import type { Ops } from '../../src/core/ops.ts';
import { aroundAxis, checkSeparable, replaceAxis, resolveShape } from '../../src/core/shape-rules.ts';
import { bytesPerElement } from '../../src/spec/dtype.ts';
import { defect } from '../../src/spec/errors.ts';
import { type Shape, sameShape, showSpec, sizeOf } from '../../src/spec/tensor.ts';
import { type Axis, overMatrices } from './broadcast.ts';
import type { Exports } from './exports.ts';
import { floatsOf, intsOf, type Memory, type WasmTensor } from './memory.ts';

type Tensor = WasmTensor;

export type Indexing = Pick<Ops<Tensor>, 'reshape' | 'transpose' | 'gather' | 'scatterAdd' | 'oneHot'>;

/** The axes of a transposed tensor, each with its stride in x; neighbours that lie in x as they do here are joined. */
const transposedAxes = (shape: Shape, order: readonly number[]): readonly Axis[] =>
  order
    .map((axis) => ({ length: shape[axis] ?? 0, strides: [sizeOf(shape.slice(axis + 1))] }))
    .filter(({ length }) => length !== 1)
    .reduce<readonly Axis[]>((axes, inner) => {
      const outer = axes.at(-1);
      if (outer === undefined || outer.strides[0] !== inner.strides[0]! * inner.length) return [...axes, inner];
      return [...axes.slice(0, -1), { length: outer.length * inner.length, strides: inner.strides }];
    }, []);

export const indexing = (exports: Exports, memory: Memory): Indexing => {
  /** A defect unless every index is in 0 … length − 1; nothing is read, and nothing checked, where there are no slices. */
  const checkIndices = (pointer: number, count: number, outer: number, length: number): void => {
    const indices = outer === 0 ? new Int32Array(0) : new Int32Array(memory.bytes().buffer, pointer, count);
    for (const index of indices) {
      if (index < 0 || index >= length) defect(`index ${index} outside 0 … ${length - 1}`);
    }
  };

  return {
    reshape: (x, shape) => memory.view(x, resolveShape(x, shape)),

    transpose: (x, order) => {
      checkSeparable(x, 'transpose');
      const from = memory.pointerOf(x);
      const size = bytesPerElement(x.dtype);
      const result = memory.create(
        x.dtype,
        order.map((axis) => x.shape[axis]!),
      );
      const to = memory.pointerOf(result);
      const axes = transposedAxes(x.shape, order);
      const rows = axes.at(-2) ?? { length: 1, strides: [1] };
      const columns = axes.at(-1) ?? { length: 1, strides: [1] };
      overMatrices(axes, ([offset = 0], start) => {
        const [rowStep, columnStep] = [rows.strides[0]!, columns.strides[0]!];
        const [source, target] = [from + offset * size, to + start * size];
        exports.transpose(0, rows.length, size, columns.length, rowStep, columnStep, source, target);
      });
      return result;
    },

    gather: (x, indices, axis) => {
      checkSeparable(x, 'gather');
      const { outer, length, inner } = aroundAxis(x.shape, axis);
      const [from, chosen, count] = [memory.pointerOf(x), intsOf(indices), sizeOf(indices.shape)];
      checkIndices(chosen, count, outer, length);
      const result = memory.create(x.dtype, replaceAxis(x.shape, axis, count));
      const size = bytesPerElement(x.dtype);
      exports.gather(0, outer * count, size, length, inner, count, from, chosen, memory.pointerOf(result));
      return result;
    },

    scatterAdd: (x, indices, axis, source) => {
      const { outer, length, inner } = aroundAxis(x.shape, axis);
      const [chosen, count] = [intsOf(indices), sizeOf(indices.shape)];
      if (!sameShape(source.shape, replaceAxis(x.shape, axis, count))) {
        defect(`scatterAdd of ${showSpec(source)} into ${showSpec(x)} at ${count} places of axis ${axis}`);
      }
      const [from, addends] = [floatsOf(x), floatsOf(source)];
      checkIndices(chosen, count, outer, length);
      const result = memory.create('f32', x.shape);
      const to = floatsOf(result);
      exports.transpose(0, outer, 4, length * inner, length * inner, 1, from, to); // a copy, row by row
      exports.scatterAdd(0, outer * inner, length, inner, count, chosen, addends, to);
      return result;
    },

    oneHot: (indices, depth) => {
      const chosen = intsOf(indices);
      const result = memory.create('f32', [...indices.shape, depth]);
      exports.oneHot(0, sizeOf(indices.shape), depth, chosen, floatsOf(result));
      return result;
    },
  };
};

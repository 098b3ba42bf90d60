/**
 * Broadcasting, as the kernels see it: a result of as few axes as possible, and how far each operand goes on along each.
 *
 * Law: a result element at index (i₀, i₁, …) reads operand element Σ iₐ·stridesₐ; the last strides are 0 or 1.
 */
import { type Shape, sizeOf } from '../../src/spec/tensor.ts';

/** One axis of a result: its length, and the stride of each operand along it, in elements. */
export interface Axis {
  readonly length: number;
  readonly strides: readonly number[];
}

/** The stride of a tensor along axis `i` of a result of `rank` axes: 0 where it is stretched or absent. */
const strideAlong = (shape: Shape, rank: number, i: number): number => {
  const axis = shape.length - rank + i;
  return (shape[axis] ?? 1) === 1 ? 0 : sizeOf(shape.slice(axis + 1));
};

/** Whether walking `inner` from end to end leads each operand to the next step of `outer`: the two are one axis. */
const continues = (outer: Axis, inner: Axis): boolean =>
  outer.strides.every((stride, i) => stride === (inner.strides[i] ?? 0) * inner.length);

const join = (axes: readonly Axis[], inner: Axis): readonly Axis[] => {
  const outer = axes.at(-1);
  if (outer === undefined || !continues(outer, inner)) return [...axes, inner];
  return [...axes.slice(0, -1), { length: outer.length * inner.length, strides: inner.strides }];
};

/** The axes of the result, outermost first; axes of length 1 are left out, and neighbours that continue are joined. */
export const axesOf = (shape: Shape, operands: readonly Shape[]): readonly Axis[] =>
  shape
    .map((length, i) => ({ length, strides: operands.map((operand) => strideAlong(operand, shape.length, i)) }))
    .filter(({ length }) => length !== 1)
    .reduce(join, [] as readonly Axis[]);

/**
 * Calls `visit` for each matrix of a result, with the offsets of the operands and of the result in elements; the last
 * two axes are left to it.
 */
export const overMatrices = (
  axes: readonly Axis[],
  visit: (offsets: readonly number[], result: number) => void,
): void => {
  const outer = axes.slice(0, -2);
  const step = axes.slice(-2).reduce((n, { length }) => n * length, 1);
  let result = 0;
  const walk = (depth: number, offsets: readonly number[]): void => {
    const axis = outer[depth];
    if (axis === undefined) {
      visit(offsets, result);
      result += step;
      return;
    }
    for (let i = 0; i < axis.length; i++) {
      walk(
        depth + 1,
        offsets.map((offset, operand) => offset + i * (axis.strides[operand] ?? 0)),
      );
    }
  };
  walk(0, axes[0]?.strides.map(() => 0) ?? []);
};

/** W̃ computed on the host, one element after the other: an independent statement of the declared order of rounding. */
import { columnView, type Operation, weightShape } from '../../src/methods/operation.ts';
import { type HostTensorOf, sizeOf } from '../../src/spec/tensor.ts';
import type { AdapterPlan, PacaHost } from './layer-instances.ts';
import { host } from './tensors.ts';

export type Round = (x: number) => number;

/** Calls `visit` with the places of one column in the weight's elements, and of its copy among `count` columns. */
const overColumn = (
  operation: Operation,
  column: number,
  position: number,
  count: number,
  visit: (place: number, copy: number) => void,
): void => {
  const { shape, axis, columns } = columnView(operation);
  const product = (dims: readonly number[]): number => dims.reduce((a, b) => a * b, 1);
  const [outer, inner] = [product(shape.slice(0, axis)), product(shape.slice(axis + 1))];
  for (let i = 0; i < outer; i++) {
    for (let j = 0; j < inner; j++) visit((i * columns + column) * inner + j, (i * count + position) * inner + j);
  }
};

/** W̃ = fl(W + fl(s·δ)) on the columns of each active adapter, in list order. */
export const effectiveWeight = (
  operation: Operation,
  { weight, adapters }: PacaHost,
  plans: readonly AdapterPlan[],
  round: Round,
): HostTensorOf<'f64'> => {
  const values = Array.from(weight.data, round);
  plans.forEach(({ indices, scale, active }, a) => {
    if (!active) return;
    const delta = adapters[a]!.delta.data;
    indices.forEach((column, position) => {
      overColumn(operation, column, position, indices.length, (place, copy) => {
        values[place] = round(values[place]! + round(round(scale) * round(delta[copy]!)));
      });
    });
  });
  return host(weight.shape, values);
};

/** The columns `indices` of a weight-shaped tensor, in the order of the elements of δ. */
export const columnsOfWeight = (operation: Operation, weight: readonly number[], indices: Int32Array): number[] => {
  const { columns } = columnView(operation);
  const chosen = new Array<number>((weight.length / columns) * indices.length).fill(Number.NaN);
  indices.forEach((column, position) => {
    overColumn(operation, column, position, indices.length, (place, copy) => {
      chosen[copy] = weight[place]!;
    });
  });
  return chosen;
};

/** 1 on the selected columns, 0 on the frozen rest. */
export const columnMask = (operation: Operation, indices: Int32Array): HostTensorOf<'f64'> => {
  const shape = weightShape(operation);
  const mask = new Float64Array(sizeOf(shape));
  indices.forEach((column, position) => {
    overColumn(operation, column, position, indices.length, (place) => {
      mask[place] = 1;
    });
  });
  return host(shape, mask);
};

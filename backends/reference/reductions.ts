/** Sums and maxima, in the orders that `core/ops` declares. */
import { LANES } from '../../src/core/ops.ts';
import { sizeOf } from '../../src/spec/tensor.ts';
import type { Arithmetic } from './arithmetic.ts';
import { type FloatArray, floatsOf, intsOf, type Memory, type ReferenceTensor } from './memory.ts';

type Tensor = ReferenceTensor;

/** The sum of `length` numbers from `start`: element i goes to lane i mod 16, then halves of the lanes are added. */
const sumLanes = (round: (x: number) => number, x: FloatArray, start: number, length: number): number => {
  const lanes = new Float64Array(LANES);
  for (let i = 0; i < length; i++) lanes[i % LANES] = round(lanes[i % LANES]! + x[start + i]!);
  for (let half = LANES / 2; half >= 1; half /= 2) {
    for (let j = 0; j < half; j++) lanes[j] = round(lanes[j]! + lanes[j + half]!);
  }
  return lanes[0]!;
};

const maximum = (x: FloatArray, start: number, length: number): number => {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < length; i++) largest = Math.max(largest, x[start + i]!);
  return largest;
};

/** The first position whose value is the maximum; a NaN counts as the largest. */
const position = (x: FloatArray, start: number, length: number): number => {
  const largest = maximum(x, start, length);
  for (let i = 0; i < length; i++) {
    if (x[start + i] === largest || (Number.isNaN(largest) && Number.isNaN(x[start + i]))) return i;
  }
  return 0;
};

export interface Reductions {
  readonly sumLast: (x: Tensor) => Tensor;
  readonly sumFirst: (x: Tensor) => Tensor;
  readonly maxLast: (x: Tensor) => Tensor;
  readonly argmaxLast: (x: Tensor) => Tensor;
}

export const reductions = ({ float, round }: Arithmetic, memory: Memory): Reductions => {
  const overLast = (x: Tensor, result: Tensor, to: FloatArray | Int32Array, f: typeof maximum): Tensor => {
    const width = x.shape.at(-1) ?? 1;
    const from = floatsOf(x);
    for (let row = 0; row < to.length; row++) to[row] = f(from, row * width, width);
    return result;
  };
  const floatResult = (x: Tensor, f: typeof maximum): Tensor => {
    const result = memory.create(float, x.shape.slice(0, -1));
    return overLast(x, result, floatsOf(result), f);
  };

  return {
    sumLast: (x) => floatResult(x, (values, start, length) => sumLanes(round, values, start, length)),
    maxLast: (x) => floatResult(x, maximum),
    argmaxLast: (x) => {
      const result = memory.create('i32', x.shape.slice(0, -1));
      return overLast(x, result, intsOf(result), position);
    },
    sumFirst: (x) => {
      const [n = 0, ...rest] = x.shape;
      const result = memory.create(float, rest);
      const width = sizeOf(rest);
      const from = floatsOf(x);
      const to = floatsOf(result);
      for (let i = 0; i < n; i++) for (let j = 0; j < width; j++) to[j] = round(to[j]! + from[i * width + j]!);
      return result;
    },
  };
};

/** Element-wise operations: the shapes here, the arithmetic in `assembly/elementwise.ts`. */
import type { Operand, Ops } from '../../src/core/ops.ts';
import { broadcastShape } from '../../src/core/shape-rules.ts';
import { type Shape, sameShape, sizeOf } from '../../src/spec/tensor.ts';
import { type Axis, axesOf, overMatrices } from './broadcast.ts';
import type { BinaryKernel, BroadcastOperand, Exports, UnaryKernel } from './exports.ts';
import { floatsOf, type Memory, type WasmTensor } from './memory.ts';

type Tensor = WasmTensor;
type Input = Operand<Tensor>;

export type Elementwise = Pick<
  Ops<Tensor>,
  'full' | 'add' | 'sub' | 'mul' | 'div' | 'max' | 'greater' | 'where' | 'neg' | 'sqrt' | 'exp' | 'log' | 'tanh' | 'erf'
>;

const FLOAT_BYTES = 4;

const shapeOf = (x: Input): Shape => (typeof x === 'number' ? [] : x.shape);

/** The axes that a result and its operands have in common; a single one where nothing is stretched. */
const plan = (shape: Shape, operands: readonly Shape[]): readonly Axis[] =>
  operands.every((operand) => sameShape(operand, shape))
    ? [{ length: sizeOf(shape), strides: operands.map(() => 1) }]
    : axesOf(shape, operands);

/** How the kernel reads operand `i`: where it starts, and its strides along the last two axes. */
const operand = (
  x: Input,
  offset: number,
  i: number,
  rows: Axis | undefined,
  columns: Axis | undefined,
): BroadcastOperand =>
  typeof x === 'number'
    ? [0, 0, 0, x]
    : [floatsOf(x) + offset * FLOAT_BYTES, rows?.strides[i] ?? 0, columns?.strides[i] ?? 0, 0];

/** Calls `kernel` on each matrix of a result: the number of its elements and columns, its operands, where it goes. */
const broadcast = (
  shape: Shape,
  inputs: readonly Input[],
  result: Tensor,
  kernel: (count: number, columns: number, operands: readonly BroadcastOperand[], out: number) => void,
): Tensor => {
  const axes = plan(shape, inputs.map(shapeOf));
  const columns = axes.at(-1);
  const rows = axes.at(-2);
  const width = columns?.length ?? 1;
  const count = (rows?.length ?? 1) * width;
  const to = floatsOf(result);
  overMatrices(axes, (offsets, start) => {
    const operands = inputs.map((x, i) => operand(x, offsets[i] ?? 0, i, rows, columns));
    kernel(count, width, operands, to + start * FLOAT_BYTES);
  });
  return result;
};

export const elementwise = (exports: Exports, memory: Memory): Elementwise => {
  const unary =
    (kernel: UnaryKernel) =>
    (x: Tensor): Tensor => {
      const from = floatsOf(x);
      const result = memory.create('f32', x.shape);
      kernel(0, sizeOf(x.shape), from, floatsOf(result));
      return result;
    };

  const binary =
    (kernel: BinaryKernel) =>
    (a: Input, b: Input): Tensor => {
      const shape = broadcastShape(shapeOf(a), shapeOf(b));
      return broadcast(shape, [a, b], memory.create('f32', shape), (count, columns, [left, right], out) =>
        kernel(0, count, columns, ...left!, ...right!, out),
      );
    };

  return {
    full: (shape, value) => {
      const result = memory.create('f32', shape);
      exports.fill(0, sizeOf(shape), value, floatsOf(result));
      return result;
    },
    add: binary(exports.add),
    sub: binary(exports.sub),
    mul: binary(exports.mul),
    div: binary(exports.div),
    max: binary(exports.max),
    greater: binary(exports.greater),
    where: (mask, a, b) => {
      const shape = broadcastShape(mask.shape, broadcastShape(shapeOf(a), shapeOf(b)));
      const result = memory.create('f32', shape);
      return broadcast(shape, [mask, a, b], result, (count, columns, [chosen, yes, no], out) => {
        const [from, row, step] = chosen!;
        exports.where(0, count, columns, from, row, step, ...yes!, ...no!, out);
      });
    },
    neg: unary(exports.neg),
    sqrt: unary(exports.sqrt),
    exp: unary(exports.exp),
    log: unary(exports.log),
    tanh: unary(exports.tanh),
    erf: unary(exports.erf),
  };
};

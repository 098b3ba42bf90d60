/**
 * Element-wise operations over broadcast shapes. Each result is stored into an array of the float type, which rounds
 * it once; that the f32 operands were combined in f64 before does no harm, as f64 has more than 2·24 + 2 bits
 * (Figueroa 1995: double rounding is innocuous for + − × ÷ √).
 */
import type { Operand } from '../../src/core/ops.ts';
import { broadcastShape } from '../../src/core/shape-rules.ts';
import { type Shape, sameShape, sizeOf } from '../../src/spec/tensor.ts';
import type { Arithmetic } from './arithmetic.ts';
import { type FloatArray, floatsOf, type Memory, type ReferenceTensor } from './memory.ts';

type Tensor = ReferenceTensor;

/** Copies `from` to `shape`: axis by axis, an axis of length 1 is repeated. */
const stretch = (from: FloatArray, fromShape: Shape, to: FloatArray, shape: Shape): FloatArray => {
  const padded = [...new Array<number>(shape.length - fromShape.length).fill(1), ...fromShape];
  const copyAxis = (axis: number, source: number, target: number): void => {
    if (axis === shape.length) {
      to[target] = from[source]!;
      return;
    }
    const step = sizeOf(padded.slice(axis + 1));
    const stride = sizeOf(shape.slice(axis + 1));
    for (let i = 0; i < shape[axis]!; i++) {
      copyAxis(axis + 1, padded[axis] === 1 ? source : source + i * step, target + i * stride);
    }
  };
  copyAxis(0, 0, 0);
  return to;
};

export interface Elementwise {
  readonly unary: (f: (x: number) => number) => (x: Tensor) => Tensor;
  readonly binary: (f: (a: number, b: number) => number) => (a: Operand<Tensor>, b: Operand<Tensor>) => Tensor;
  readonly where: (mask: Tensor, a: Operand<Tensor>, b: Operand<Tensor>) => Tensor;
}

export const elementwise = ({ float }: Arithmetic, memory: Memory): Elementwise => {
  const newFloats = (length: number): FloatArray =>
    float === 'f32' ? new Float32Array(length) : new Float64Array(length);
  const shapeOf = (x: Operand<Tensor>): Shape => (typeof x === 'number' ? [] : x.shape);

  /** The operand's values under the broadcast shape; its own array where nothing is to stretch. */
  const values = (x: Operand<Tensor>, shape: Shape): FloatArray => {
    if (typeof x === 'number') return newFloats(sizeOf(shape)).fill(x);
    return sameShape(x.shape, shape) ? floatsOf(x) : stretch(floatsOf(x), x.shape, newFloats(sizeOf(shape)), shape);
  };

  return {
    unary: (f) => (x) => {
      const from = floatsOf(x);
      const result = memory.create(float, x.shape);
      const to = floatsOf(result);
      for (let i = 0; i < to.length; i++) to[i] = f(from[i]!);
      return result;
    },
    binary: (f) => (a, b) => {
      const shape = broadcastShape(shapeOf(a), shapeOf(b));
      const left = values(a, shape);
      const right = values(b, shape);
      const result = memory.create(float, shape);
      const to = floatsOf(result);
      for (let i = 0; i < to.length; i++) to[i] = f(left[i]!, right[i]!);
      return result;
    },
    where: (mask, a, b) => {
      const shape = broadcastShape(mask.shape, broadcastShape(shapeOf(a), shapeOf(b)));
      const chosen = values(mask, shape);
      const left = values(a, shape);
      const right = values(b, shape);
      const result = memory.create(float, shape);
      const to = floatsOf(result);
      for (let i = 0; i < to.length; i++) to[i] = chosen[i] !== 0 ? left[i]! : right[i]!;
      return result;
    },
  };
};

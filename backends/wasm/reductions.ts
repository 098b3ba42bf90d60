/** Sums and maxima: the shapes here, the declared orders in `assembly/reductions.ts`. */
import type { Ops } from '../../src/core/ops.ts';
import { sizeOf } from '../../src/spec/tensor.ts';
import type { Exports, RowKernel } from './exports.ts';
import { floatsOf, type Memory, type WasmTensor } from './memory.ts';

type Tensor = WasmTensor;

export type Reductions = Pick<Ops<Tensor>, 'sumLast' | 'sumFirst' | 'maxLast' | 'argmaxLast'>;

export const reductions = (exports: Exports, memory: Memory): Reductions => {
  const overLast =
    (kernel: RowKernel, dtype: 'f32' | 'i32') =>
    (x: Tensor): Tensor => {
      const from = floatsOf(x);
      const result = memory.create(dtype, x.shape.slice(0, -1));
      kernel(0, sizeOf(result.shape), x.shape.at(-1) ?? 1, from, memory.pointerOf(result));
      return result;
    };

  return {
    sumLast: overLast(exports.sumLast, 'f32'),
    maxLast: overLast(exports.maxLast, 'f32'),
    argmaxLast: overLast(exports.argmaxLast, 'i32'),
    sumFirst: (x) => {
      const from = floatsOf(x);
      const [rows = 0, ...rest] = x.shape;
      const width = sizeOf(rest);
      const result = memory.create('f32', rest);
      exports.sumFirst(0, width, rows, width, from, floatsOf(result));
      return result;
    },
  };
};

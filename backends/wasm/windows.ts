/** Sliding windows: shapes here, the copying and adding in `assembly/windows.ts`. */
import { type Ops, outputLength, type Window } from '../../src/core/ops.ts';
import { defect } from '../../src/spec/errors.ts';
import { type Shape, sizeOf } from '../../src/spec/tensor.ts';
import type { Exports, WindowGeometry } from './exports.ts';
import { floatsOf, type Memory, type WasmTensor } from './memory.ts';

export type Windows = Pick<Ops<WasmTensor>, 'unfold' | 'fold'>;

const areaOf = ({ kernel: [height, width] }: Window): number => height * width;

const patchShape = ([n = 0, c = 0, h = 0, w = 0]: Shape, window: Window): Shape => [
  c,
  areaOf(window),
  n * outputLength(h, window, 0) * outputLength(w, window, 1),
];

/** Image and window, in the order in which the kernels take them. */
const geometryOf = ([n = 0, c = 0, h = 0, w = 0]: Shape, window: Window): WindowGeometry => [
  ...([n, c, h, w, areaOf(window), window.kernel[1]] as const),
  ...window.stride,
  ...window.padding,
  ...window.dilation,
  outputLength(h, window, 0),
  outputLength(w, window, 1),
];

export const windows = (exports: Exports, memory: Memory): Windows => ({
  unfold: (x, window, outside) => {
    const from = floatsOf(x);
    const [n = 0, c = 0] = x.shape;
    const result = memory.create('f32', patchShape(x.shape, window));
    exports.unfold(0, c * areaOf(window) * n, ...geometryOf(x.shape, window), outside, from, floatsOf(result));
    return result;
  },
  fold: (columns, window, shape) => {
    const from = floatsOf(columns);
    if (sizeOf(patchShape(shape, window)) !== sizeOf(columns.shape)) {
      defect(`fold of [${columns.shape}] into [${shape}]`);
    }
    const [n = 0, c = 0] = shape;
    const result = memory.create('f32', shape);
    exports.fold(0, c * n, ...geometryOf(shape, window), from, floatsOf(result));
    return result;
  },
});

/** Sliding windows: images to patches, and its adjoint. */
import { outputLength, type Window } from '../../src/core/ops.ts';
import { defect } from '../../src/spec/errors.ts';
import { type Shape, sizeOf } from '../../src/spec/tensor.ts';
import type { Arithmetic } from './arithmetic.ts';
import { floatsOf, type Memory, type ReferenceTensor } from './memory.ts';

/** Calls `visit(patch, pixel)` for each element of the patch array in its order; pixel is −1 outside the image. */
const overPatches = (
  [n = 0, c = 0, h = 0, w = 0]: Shape,
  window: Window,
  visit: (patch: number, pixel: number) => void,
): void => {
  const oh = outputLength(h, window, 0);
  const ow = outputLength(w, window, 1);
  let patch = 0;
  for (let channel = 0; channel < c; channel++) {
    for (let ki = 0; ki < window.kernel[0]; ki++) {
      for (let kj = 0; kj < window.kernel[1]; kj++) {
        for (let image = 0; image < n; image++) {
          for (let i = 0; i < oh; i++) {
            const row = i * window.stride[0] - window.padding[0] + ki * window.dilation[0];
            for (let j = 0; j < ow; j++) {
              const column = j * window.stride[1] - window.padding[1] + kj * window.dilation[1];
              const inside = row >= 0 && row < h && column >= 0 && column < w;
              visit(patch++, inside ? ((image * c + channel) * h + row) * w + column : -1);
            }
          }
        }
      }
    }
  }
};

const patchShape = ([n = 0, c = 0, h = 0, w = 0]: Shape, window: Window): Shape => [
  c,
  window.kernel[0] * window.kernel[1],
  n * outputLength(h, window, 0) * outputLength(w, window, 1),
];

export interface Windows {
  readonly unfold: (x: ReferenceTensor, window: Window, outside: number) => ReferenceTensor;
  readonly fold: (columns: ReferenceTensor, window: Window, shape: Shape) => ReferenceTensor;
}

export const windows = ({ float, round }: Arithmetic, memory: Memory): Windows => ({
  unfold: (x, window, outside) => {
    const result = memory.create(float, patchShape(x.shape, window));
    const from = floatsOf(x);
    const to = floatsOf(result);
    overPatches(x.shape, window, (patch, pixel) => {
      to[patch] = pixel < 0 ? outside : from[pixel]!;
    });
    return result;
  },
  fold: (columns, window, shape) => {
    const from = floatsOf(columns);
    if (sizeOf(patchShape(shape, window)) !== from.length) defect(`fold of [${columns.shape}] into [${shape}]`);
    const result = memory.create(float, shape);
    const to = floatsOf(result);
    overPatches(shape, window, (patch, pixel) => {
      if (pixel >= 0) to[pixel] = round(to[pixel]! + from[patch]!);
    });
    return result;
  },
});

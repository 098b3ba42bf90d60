/**
 * Pooling over a sliding window, and its derivative. Shapes: x `[n, c, h, w]`, y `[n, c, oh, ow]`.
 *
 * The maximum pads with −∞ and sends the gradient to the first place of the maximum. The average pads with 0 and
 * divides by the whole window (PyTorch's count_include_pad).
 */
import type { Spec } from '../../spec/tensor.ts';
import { type Ops, outputLength, type Window } from '../ops.ts';

export interface MaxPoolKernels<T> {
  /** y, and for each output the position of its maximum in the window, `i32 [c, n·oh·ow]`. */
  readonly forward: (x: T, window: Window) => readonly [y: T, position: T];
  readonly backward: (position: T, dy: T, window: Window, height: number, width: number) => T;
}

export interface AveragePoolKernels<T> {
  readonly forward: (x: T, window: Window) => T;
  readonly backward: (dy: T, window: Window, height: number, width: number) => T;
}

const area = ({ kernel: [kh, kw] }: Window): number => kh * kw;

/** `[c, n·oh·ow]` → `[n, c, oh, ow]`. */
const asImages = <T extends Spec>(o: Ops<T>, rows: T, x: Spec, window: Window): T => {
  const [n = 0, c = 0, h = 0, w = 0] = x.shape;
  return o.transpose(o.reshape(rows, [c, n, outputLength(h, window, 0), outputLength(w, window, 1)]), [1, 0, 2, 3]);
};

/** `[n, c, oh, ow]` → `[c, n·oh·ow, 1]`. */
const asPlaces = <T extends Spec>(o: Ops<T>, y: T): T => {
  const [n = 0, c = 0, h = 0, w = 0] = y.shape;
  return o.reshape(o.transpose(y, [1, 0, 2, 3]), [c, n * h * w, 1]);
};

/** Patches with the window innermost: `[c, n·oh·ow, kh·kw]`. */
const windows = <T extends Spec>(o: Ops<T>, x: T, window: Window, outside: number): T =>
  o.transpose(o.unfold(x, window, outside), [0, 2, 1]);

const foldWindows = <T extends Spec>(
  o: Ops<T>,
  gradient: T,
  window: Window,
  dy: Spec,
  height: number,
  width: number,
): T => {
  const [n = 0, c = 0] = dy.shape;
  return o.fold(o.transpose(gradient, [0, 2, 1]), window, [n, c, height, width]);
};

export const maxPool = <T extends Spec>(o: Ops<T>): MaxPoolKernels<T> => ({
  forward: (x, window) => {
    const values = windows(o, x, window, Number.NEGATIVE_INFINITY);
    return [asImages(o, o.maxLast(values), x, window), o.argmaxLast(values)];
  },
  backward: (position, dy, window, height, width) =>
    foldWindows(o, o.mul(o.oneHot(position, area(window)), asPlaces(o, dy)), window, dy, height, width),
});

export const averagePool = <T extends Spec>(o: Ops<T>): AveragePoolKernels<T> => ({
  forward: (x, window) => asImages(o, o.div(o.sumLast(windows(o, x, window, 0)), area(window)), x, window),
  backward: (dy, window, height, width) => {
    const share = o.div(asPlaces(o, dy), area(window));
    const [c = 0, places = 0] = share.shape;
    const everywhere = o.mul(share, o.full([c, places, area(window)], 1));
    return foldWindows(o, everywhere, window, dy, height, width);
  },
});

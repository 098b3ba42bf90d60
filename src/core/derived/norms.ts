/**
 * Normalisation along the last axis, and its derivative. With x̂ the normalised row and g = dy·weight:
 *
 *   RMS:    x̂ = x/√(mean(x²) + ε)               dx = (g − x̂·mean(g·x̂))/√(mean(x²) + ε)
 *   Layer:  x̂ = (x − mean x)/√(var x + ε)       dx = (g − mean g − x̂·mean(g·x̂))/√(var x + ε)
 *
 * and ∂weight = Σ dy·x̂ over the rows. Shapes: x `[…, k]`, weight and bias `[k]`; the statistics are one number a row.
 * Sources: Zhang & Sennrich 2019 (RMS); Ba et al. 2016 (layer), with the biased variance.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { asColumn, toRows, widthOf } from './shapes.ts';

export interface RmsNormKernels<T> {
  /** y, and 1/√(mean(x²) + ε) of each row, `[…]`. */
  readonly forward: (x: T, weight: T, epsilon: number) => readonly [y: T, inverse: T];
  readonly inputGradient: (dy: T, x: T, inverse: T, weight: T) => T;
  readonly weightGradient: (dy: T, x: T, inverse: T) => T;
}

export interface LayerNormKernels<T> {
  /** y, and the mean and 1/√(var + ε) of each row, `[…]`. */
  readonly forward: (x: T, weight: T, bias: T, epsilon: number) => readonly [y: T, mean: T, inverse: T];
  readonly inputGradient: (dy: T, x: T, mean: T, inverse: T, weight: T) => T;
  readonly weightGradient: (dy: T, x: T, mean: T, inverse: T) => T;
  readonly biasGradient: (dy: T) => T;
}

const meanLast = <T extends Spec>(o: Ops<T>, x: T): T => o.div(o.sumLast(x), widthOf(x));

const inverseRoot = <T extends Spec>(o: Ops<T>, meanSquare: T, epsilon: number): T =>
  o.div(1, o.sqrt(o.add(meanSquare, epsilon)));

/** inverse·(g − x̂·mean(g·x̂)): what both norms have in common. */
const projected = <T extends Spec>(o: Ops<T>, g: T, normalised: T, inverse: T): T => {
  const along = asColumn(o, meanLast(o, o.mul(g, normalised)));
  return o.mul(o.sub(g, o.mul(normalised, along)), asColumn(o, inverse));
};

const sumRows = <T extends Spec>(o: Ops<T>, x: T): T => o.sumFirst(toRows(o, x));

export const rmsNorm = <T extends Spec>(o: Ops<T>): RmsNormKernels<T> => {
  const normalise = (x: T, inverse: T): T => o.mul(x, asColumn(o, inverse));
  return {
    forward: (x, weight, epsilon) => {
      const inverse = inverseRoot(o, meanLast(o, o.mul(x, x)), epsilon);
      return [o.mul(normalise(x, inverse), weight), inverse];
    },
    inputGradient: (dy, x, inverse, weight) => projected(o, o.mul(dy, weight), normalise(x, inverse), inverse),
    weightGradient: (dy, x, inverse) => sumRows(o, o.mul(dy, normalise(x, inverse))),
  };
};

export const layerNorm = <T extends Spec>(o: Ops<T>): LayerNormKernels<T> => {
  const centre = (x: T, mean: T): T => o.sub(x, asColumn(o, mean));
  const normalise = (x: T, mean: T, inverse: T): T => o.mul(centre(x, mean), asColumn(o, inverse));
  return {
    forward: (x, weight, bias, epsilon) => {
      const mean = meanLast(o, x);
      const centred = centre(x, mean);
      const inverse = inverseRoot(o, meanLast(o, o.mul(centred, centred)), epsilon);
      return [o.add(o.mul(normalise(x, mean, inverse), weight), bias), mean, inverse];
    },
    inputGradient: (dy, x, mean, inverse, weight) => {
      const g = o.mul(dy, weight);
      const centred = o.sub(g, asColumn(o, meanLast(o, g)));
      const normalised = normalise(x, mean, inverse);
      const along = asColumn(o, meanLast(o, o.mul(g, normalised)));
      return o.mul(o.sub(centred, o.mul(normalised, along)), asColumn(o, inverse));
    },
    weightGradient: (dy, x, mean, inverse) => sumRows(o, o.mul(dy, normalise(x, mean, inverse))),
    biasGradient: (dy) => sumRows(o, dy),
  };
};

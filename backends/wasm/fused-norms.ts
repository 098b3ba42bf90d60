/** Normalisation row by row: what is derived in `src/core/derived/norms.ts`, in `assembly/norms.ts`. */
import type { Fused } from '../../src/core/fused.ts';
import { defect } from '../../src/spec/errors.ts';
import { type Shape, sameShape, showSpec, sizeOf } from '../../src/spec/tensor.ts';
import type { Exports } from './exports.ts';
import { floatsOf, type Memory, type WasmTensor } from './memory.ts';

type Tensor = WasmTensor;

/** The gradient of the layer's bias is a plain sum over rows. */
export type FusedNorms = Pick<Fused<Tensor>, 'rmsNorm'> & {
  readonly layerNorm: Omit<Fused<Tensor>['layerNorm'], 'biasGradient'>;
};

interface Rows {
  readonly rows: number;
  readonly width: number;
  readonly leading: Shape;
}

/** A tensor as rows along its last axis, a scalar being a row of one. */
const rowsOf = ({ shape }: Tensor): Rows => {
  const leading = shape.slice(0, -1);
  return { rows: sizeOf(leading), width: shape.at(-1) ?? 1, leading };
};

/** The address of a tensor of the shape it must have. */
const floatsAs = (x: Tensor, shape: Shape): number =>
  sameShape(x.shape, shape) ? floatsOf(x) : defect(`norm: [${shape}] expected, got ${showSpec(x)}`);

export const fusedNorms = (exports: Exports, memory: Memory): FusedNorms => ({
  rmsNorm: {
    forward: (x, weight, epsilon) => {
      const { rows, width, leading } = rowsOf(x);
      const [from, w] = [floatsOf(x), floatsAs(weight, [width])];
      const y = memory.create('f32', x.shape);
      const inverse = memory.create('f32', leading);
      exports.rmsNorm(0, rows, width, from, w, epsilon, floatsOf(y), floatsOf(inverse));
      return [y, inverse];
    },
    inputGradient: (dy, x, inverse, weight) => {
      const { rows, width, leading } = rowsOf(x);
      const [gradient, from, roots] = [floatsAs(dy, x.shape), floatsOf(x), floatsAs(inverse, leading)];
      const w = floatsAs(weight, [width]);
      const dx = memory.create('f32', x.shape);
      exports.rmsNormInput(0, rows, width, gradient, from, roots, w, floatsOf(dx));
      return dx;
    },
    weightGradient: (dy, x, inverse) => {
      const { rows, width, leading } = rowsOf(x);
      const [gradient, from, roots] = [floatsAs(dy, x.shape), floatsOf(x), floatsAs(inverse, leading)];
      const result = memory.create('f32', [width]);
      exports.rmsNormWeight(0, width, rows, width, gradient, from, roots, floatsOf(result));
      return result;
    },
  },

  layerNorm: {
    forward: (x, weight, bias, epsilon) => {
      const { rows, width, leading } = rowsOf(x);
      const [from, w, b] = [floatsOf(x), floatsAs(weight, [width]), floatsAs(bias, [width])];
      const y = memory.create('f32', x.shape);
      const mean = memory.create('f32', leading);
      const inverse = memory.create('f32', leading);
      exports.layerNorm(0, rows, width, from, w, b, epsilon, floatsOf(y), floatsOf(mean), floatsOf(inverse));
      return [y, mean, inverse];
    },
    inputGradient: (dy, x, mean, inverse, weight) => {
      const { rows, width, leading } = rowsOf(x);
      const [gradient, from] = [floatsAs(dy, x.shape), floatsOf(x)];
      const [means, roots, w] = [floatsAs(mean, leading), floatsAs(inverse, leading), floatsAs(weight, [width])];
      const dx = memory.create('f32', x.shape);
      exports.layerNormInput(0, rows, width, gradient, from, means, roots, w, floatsOf(dx));
      return dx;
    },
    weightGradient: (dy, x, mean, inverse) => {
      const { rows, width, leading } = rowsOf(x);
      const [gradient, from] = [floatsAs(dy, x.shape), floatsOf(x)];
      const [means, roots] = [floatsAs(mean, leading), floatsAs(inverse, leading)];
      const result = memory.create('f32', [width]);
      exports.layerNormWeight(0, width, rows, width, gradient, from, means, roots, floatsOf(result));
      return result;
    },
  },
});

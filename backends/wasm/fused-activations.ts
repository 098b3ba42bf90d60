/** Activations in one pass each: what is derived in `src/core/derived/activations.ts`, in `assembly/activations.ts`. */
import type { Fused } from '../../src/core/fused.ts';
import { defect } from '../../src/spec/errors.ts';
import { sameShape, showSpec, sizeOf } from '../../src/spec/tensor.ts';
import type { Exports, PairKernel, UnaryKernel } from './exports.ts';
import { floatsOf, intsOf, type Memory, type WasmTensor } from './memory.ts';

type Tensor = WasmTensor;

/** The forward pass of tanh is the primitive itself. */
export type FusedActivations = Pick<Fused<Tensor>, 'relu' | 'gelu' | 'silu'> & {
  readonly tanhActivation: Pick<Fused<Tensor>['tanhActivation'], 'backward'>;
};

const WORD = 32;

const wordsFor = (x: Tensor): number => Math.ceil(sizeOf(x.shape) / WORD);

export const fusedActivations = (exports: Exports, memory: Memory): FusedActivations => {
  const unary =
    (kernel: UnaryKernel) =>
    (x: Tensor): Tensor => {
      const from = floatsOf(x);
      const y = memory.create('f32', x.shape);
      kernel(0, sizeOf(x.shape), from, floatsOf(y));
      return y;
    };

  /** The derivative reads one kept tensor and dy, of one shape. */
  const backward =
    (kernel: PairKernel) =>
    (kept: Tensor, dy: Tensor): Tensor => {
      if (!sameShape(kept.shape, dy.shape)) defect(`activation: ${showSpec(kept)} and ${showSpec(dy)} differ`);
      const [from, gradient] = [floatsOf(kept), floatsOf(dy)];
      const dx = memory.create('f32', dy.shape);
      kernel(0, sizeOf(dy.shape), from, gradient, floatsOf(dx));
      return dx;
    };

  return {
    relu: {
      forward: (x) => {
        const from = floatsOf(x);
        const y = memory.create('f32', x.shape);
        const mask = memory.create('i32', [wordsFor(x)]);
        exports.relu(0, wordsFor(x), sizeOf(x.shape), from, floatsOf(y), intsOf(mask));
        return [y, mask];
      },
      backward: (mask, dy) => {
        if (sizeOf(mask.shape) < wordsFor(dy)) defect(`relu: ${showSpec(mask)} is no mask of ${showSpec(dy)}`);
        const [bits, gradient] = [intsOf(mask), floatsOf(dy)];
        const dx = memory.create('f32', dy.shape);
        exports.reluBackward(0, wordsFor(dy), sizeOf(dy.shape), bits, gradient, floatsOf(dx));
        return dx;
      },
    },
    gelu: { forward: unary(exports.gelu), backward: backward(exports.geluBackward) },
    silu: { forward: unary(exports.silu), backward: backward(exports.siluBackward) },
    tanhActivation: { backward: backward(exports.tanhBackward) },
  };
};

/** Activations in one pass each: what is derived in `src/core/derived/activations.ts`, in `assembly/activations.ts`. */
import type { Fused } from '../../src/core/fused.ts';
import { defect } from '../../src/spec/errors.ts';
import { sameShape, showSpec, sizeOf } from '../../src/spec/tensor.ts';
import type { Exports, PairKernel, UnaryKernel } from './exports.ts';
import { floatsOf, intsOf, type Memory, type WasmTensor } from './memory.ts';

type Tensor = WasmTensor;

/** The forward pass of tanh is the primitive itself. */
export type FusedActivations = Pick<Fused<Tensor>, 'relu' | 'gelu' | 'silu' | 'swiglu'> & {
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

  const checkAlike = (a: Tensor, b: Tensor): void => {
    if (!sameShape(a.shape, b.shape)) defect(`activation: ${showSpec(a)} and ${showSpec(b)} differ`);
  };

  /** Two tensors of one shape: a kept one and dy, or a gate and a branch. */
  const pair =
    (kernel: PairKernel) =>
    (a: Tensor, b: Tensor): Tensor => {
      checkAlike(a, b);
      const [left, right] = [floatsOf(a), floatsOf(b)];
      const result = memory.create('f32', b.shape);
      kernel(0, sizeOf(b.shape), left, right, floatsOf(result));
      return result;
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
    gelu: { forward: unary(exports.gelu), backward: pair(exports.geluBackward) },
    silu: { forward: unary(exports.silu), backward: pair(exports.siluBackward) },
    swiglu: {
      forward: pair(exports.swiglu),
      backward: (gate, up, dy) => {
        for (const x of [up, dy]) checkAlike(gate, x);
        const [g, u, gradient] = [floatsOf(gate), floatsOf(up), floatsOf(dy)];
        const [dgate, dup] = [memory.create('f32', gate.shape), memory.create('f32', up.shape)];
        exports.swigluBackward(0, sizeOf(dy.shape), g, u, gradient, floatsOf(dgate), floatsOf(dup));
        return [dgate, dup];
      },
    },
    tanhActivation: { backward: pair(exports.tanhBackward) },
  };
};

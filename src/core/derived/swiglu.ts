/**
 * SwiGLU: a gate through SiLU, times the other branch, element by element; and its derivative.
 *
 *   y = silu(gate)·up      dup = dy·silu(gate)      dgate = dy·up·silu'(gate)
 *
 * All of one shape. Source: Shazeer 2020, without the linear maps around it.
 */
import type { Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { silu } from './activations.ts';

export interface SwigluKernels<T> {
  readonly forward: (gate: T, up: T) => T;
  readonly backward: (gate: T, up: T, dy: T) => readonly [dgate: T, dup: T];
}

export const swiglu = <T extends Spec>(o: Ops<T>): SwigluKernels<T> => {
  const activation = silu(o);
  return {
    forward: (gate, up) => o.mul(activation.forward(gate), up),
    backward: (gate, up, dy) => [activation.backward(gate, o.mul(dy, up)), o.mul(dy, activation.forward(gate))],
  };
};

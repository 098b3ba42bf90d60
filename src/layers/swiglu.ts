/** SwiGLU without its linear maps (Shazeer 2020). Keeps both of its inputs; any shape, the same for both. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { leaves, type None, none } from '../core/tree.ts';
import { type Slot, type Spec, sameShape } from '../spec/tensor.ts';
import { untrained } from './activations.ts';
import { checkTuple, fresh } from './checks.ts';

export interface SwigluResidual<T> {
  readonly gate: T;
  readonly up: T;
}

const fits = ([gate, up, ...rest]: readonly Slot[]): boolean =>
  gate !== undefined && up !== undefined && rest.length === 0 && sameShape(gate.shape, up.shape);

export const swiglu = <T extends Spec>({
  swiglu: kernel,
}: Kernels<T>): Layer<None, None, readonly [gate: T, up: T], T, SwigluResidual<T>> => ({
  forward: (_, [gate, up]) => [kernel.forward(gate, up), { gate, up }],
  backward: (_, { gate, up }, dy) => [none, kernel.backward(gate, up, dy)],
  ...untrained,
  output: (x) =>
    pipe(
      checkTuple(x, 'a gate and a branch, float tensors of one shape', 'swiglu', fits),
      E.map(([gate]) => fresh(gate!, 'swiglu', gate!.shape)),
    ),
  residual: (x) => {
    const [gate, up] = leaves(x);
    return { gate: gate!, up: up! };
  },
});

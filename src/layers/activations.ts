/**
 * Activation layers. ReLU keeps one bit an element, tanh its output, GELU and SiLU their input.
 * Any shape; nothing trains.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { ActivationKernels } from '../core/derived/activations.ts';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree, theSlot } from '../core/tree.ts';
import type { Result } from '../spec/errors.ts';
import { freshSlot, type Slot, type Spec, sizeOf } from '../spec/tensor.ts';
import { checkFloat, fresh } from './checks.ts';

/** A layer without parameters over one tensor. */
export type Pointwise<T, R> = Layer<None, None, T, T, R>;

const result = (x: Slot, name: string): Slot => fresh(x, name, x.shape);

const outputNamed =
  (name: string) =>
  (x: SlotTree): Result<SlotTree> =>
    pipe(
      checkFloat(x, name),
      E.map((s) => result(s, name)),
    );

/** What a layer without parameters has besides its formulas. */
export const untrained = { gradient: (): None => none, trainable: (): None => none };

export const relu = <T extends Spec>({ relu: kernel }: Kernels<T>): Pointwise<T, { readonly mask: T }> => ({
  forward: (_, x) => {
    const [y, mask] = kernel.forward(x);
    return [y, { mask }];
  },
  backward: (_, { mask }, dy) => [none, kernel.backward(mask, dy)],
  ...untrained,
  output: outputNamed('relu'),
  residual: (x) => {
    const s = theSlot(x);
    return { mask: freshSlot(s, 'mask', { shape: [Math.ceil(sizeOf(s.shape) / 32)], dtype: 'i32' }) };
  },
});

export const tanh = <T extends Spec>({ tanhActivation: kernel }: Kernels<T>): Pointwise<T, { readonly y: T }> => ({
  forward: (_, x) => {
    const y = kernel.forward(x);
    return [y, { y }];
  },
  backward: (_, { y }, dy) => [none, kernel.backward(y, dy)],
  ...untrained,
  output: outputNamed('tanh'),
  residual: (x) => ({ y: result(theSlot(x), 'tanh') }),
});

const keepsInput = <T>(name: string, kernel: ActivationKernels<T>): Pointwise<T, { readonly x: T }> => ({
  forward: (_, x) => [kernel.forward(x), { x }],
  backward: (_, { x }, dy) => [none, kernel.backward(x, dy)],
  ...untrained,
  output: outputNamed(name),
  residual: (x) => ({ x }),
});

export const gelu = <T extends Spec>(k: Kernels<T>): Pointwise<T, { readonly x: T }> => keepsInput('gelu', k.gelu);
export const silu = <T extends Spec>(k: Kernels<T>): Pointwise<T, { readonly x: T }> => keepsInput('silu', k.silu);

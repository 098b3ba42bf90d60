/**
 * A case is a test, a golden vector and a piece of documentation at once: named inputs, and a pure function from them
 * to named outputs that runs on any backend. A rejection case is an input that must be refused.
 */
import type { Kernels } from '../core/fused.ts';
import type { AnyLayer } from '../core/layer.ts';
import { normals, rngFromSeed, splitRng } from '../core/rng.ts';
import { leafPaths, mapTree, type Tree } from '../core/tree.ts';
import type { ErrorTag, Result } from '../spec/errors.ts';
import { type HostTensor, type HostTensorOf, inputSlot, type Shape, type Spec, sizeOf } from '../spec/tensor.ts';
import { residualBytes } from '../train/account.ts';

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

export type Tensors<T> = Readonly<Record<string, T>>;

export interface VectorCase {
  /** Its place in the suite: `paca/linear-bias`. */
  readonly id: string;
  /** What an implementer is to compute, in a line or two, with the formula. */
  readonly note: string;
  /** Numbers that are not tensors: scale, ε, learning rates. */
  readonly settings: Readonly<Record<string, Json>>;
  readonly inputs: Tensors<HostTensor>;
  /** `host`: the same inputs in host memory, for what is chosen or built from their numbers. */
  readonly run: <T extends Spec>(k: Kernels<T>, inputs: Tensors<T>, host: Tensors<HostTensor>) => Tensors<T>;
  /** Bytes that the layer keeps between forward and backward, in f32. */
  readonly residualBytes?: <T extends Spec>(k: Kernels<T>) => number;
}

export interface RejectionCase {
  readonly id: string;
  readonly note: string;
  readonly settings: Readonly<Record<string, Json>>;
  readonly expected: ErrorTag;
  readonly run: <T extends Spec>(k: Kernels<T>) => Result<unknown>;
}

/** The seed of all drawn inputs. */
export const INPUT_SEED = 1;

/** Standard normals, rounded to f32; the stream is named by the case and the tensor. */
export const drawn = (name: string, ...shape: readonly number[]): HostTensorOf<'f32'> => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(normals(splitRng(rngFromSeed(INPUT_SEED), name), sizeOf(shape))[0]),
});

export const integers = (...values: readonly number[]): HostTensorOf<'i32'> => ({
  dtype: 'i32',
  shape: [values.length],
  data: Int32Array.from(values),
});

export const floats = (shape: Shape, values: readonly number[]): HostTensorOf<'f32'> => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(values),
});

/** An input that the case cannot be without. */
export const input = <T>(inputs: Tensors<T>, name: string): T => {
  const found = inputs[name];
  if (found === undefined) throw new Error(`the case has no input '${name}'`);
  return found;
};

/** A tree under a prefix, as flat names: `parameter.weight`. */
export const named = <A extends Spec>(prefix: string, tree: Tree<A>): Tensors<A> =>
  Object.fromEntries(leafPaths(tree).map(([path, leaf]) => [path === '' ? prefix : `${prefix}.${path}`, leaf]));

interface LayerCase {
  readonly id: string;
  readonly note: string;
  readonly settings?: Readonly<Record<string, Json>>;
  readonly layer: <T extends Spec>(k: Kernels<T>) => AnyLayer<T>;
  readonly params: Tree<HostTensor>;
  readonly x: HostTensor;
  readonly dy: HostTensor;
  /** False for integer inputs, which have no derivative. */
  readonly inputGradient?: boolean;
}

/** Forward and backward of a layer: outputs `y`, `dx` and `gradient.<path>` for all that trains. */
export const layerCase = (c: LayerCase): VectorCase => ({
  id: c.id,
  note: c.note,
  settings: c.settings ?? {},
  inputs: { x: c.x, dy: c.dy, ...named('parameter', c.params) },
  run: (k, inputs) => {
    const layer = c.layer(k);
    const params = mapTree(c.params, (_, path) => input(inputs, `parameter.${path}`));
    const [y, residual] = layer.forward(params, input(inputs, 'x'));
    const [gradient, dx] = layer.backward(params, residual, input(inputs, 'dy'));
    return { y, ...(c.inputGradient !== false && { dx }), ...named('gradient', gradient) };
  },
  residualBytes: (k) => {
    const x: Spec = { shape: c.x.shape, dtype: c.x.dtype === 'f32' ? k.float : c.x.dtype };
    return residualBytes(c.layer(k).residual(inputSlot('x', x)));
  },
});

/**
 * A bias that trains beside whatever a method makes of its linear map, PEFT's `bias`: it is added last, so that
 *
 *   ∂b = Σ dy over the rows, in order
 *
 * and nothing more is kept.
 */
import type { Kernels } from '../core/fused.ts';
import type { AnyLayer } from '../core/layer.ts';
import type { Tree } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';

/** `layer`: of a linear map, with the bias among its parameters. */
export const withTrainedBias = <T extends Spec>(k: Kernels<T>, layer: AnyLayer<T>): AnyLayer<T> => {
  const beside = (own: Tree<T>, bias: T): Tree<T> => ({ ...(own as Readonly<Record<string, Tree<T>>>), bias });
  return {
    ...layer,
    backward: (p, residual, dy) => {
      const [own, dx] = layer.backward(p, residual, dy);
      return [beside(own, k.linear.biasGradient(dy as T)), dx];
    },
    gradient: (p, residual, dy) => beside(layer.gradient(p, residual, dy), k.linear.biasGradient(dy as T)),
    trainable: (p) => beside(layer.trainable(p), (p as { readonly bias: T }).bias),
  };
};

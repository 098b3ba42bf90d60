/**
 * Clipping by global norm (Pascanu et al. 2013) over everything that trains: gradients are scaled by max/‖g‖ where
 * ‖g‖ exceeds max, else left as they are, bit for bit.
 */
import type { Kernels } from '../core/fused.ts';
import { leaves, mapTree, type Tree } from '../core/tree.ts';
import type { Spec } from '../spec/tensor.ts';
import { stateless, type Transform } from './transform.ts';

/** Σ g² of each leaf, a scalar, in the lane order. */
export const squaredNorms = <T extends Spec>(k: Kernels<T>, gradients: Tree<T>): Tree<T> =>
  mapTree(gradients, (g) => k.scope(() => k.sumLast(k.reshape(k.mul(g, g), [-1]))));

/** The root of the sum of scalars, in the tree's order. */
export const rootOfSum = <T extends Spec>(k: Kernels<T>, squares: Tree<T>): T =>
  k.scope(() => k.sqrt(leaves(squares).reduce((sum, square) => k.add(sum, square), k.full([], 0))));

/** ‖g‖₂ over all leaves, a scalar: each leaf's squares in the lane order, then the leaves in the tree's order. */
export const globalNorm = <T extends Spec>(k: Kernels<T>, gradients: Tree<T>): T =>
  k.scope(() => rootOfSum(k, squaredNorms(k, gradients)));

export const clipByGlobalNorm = <T extends Spec>(k: Kernels<T>, max: number): Transform<T> =>
  stateless((gradients, _, release) => {
    const norm = globalNorm(k, gradients);
    const exceeds = k.greater(norm, max);
    const factor = k.div(max, norm);
    return mapTree(gradients, (g) => {
      const clipped = k.scope(() => k.where(exceeds, k.mul(g, factor), g));
      release?.(g);
      return clipped;
    });
  });

/**
 * Rotary position embedding: in each head, the elements i and i + width/2 are a point of the plane, turned by an angle
 * that grows with the position. The derivative is the turn back.
 *
 *   y₁ = x₁·cos − x₂·sin      y₂ = x₂·cos + x₁·sin
 *
 * Shapes: x `[batch, tokens, heads, width]`; cos, sin `[positions, width/2]`, of which the first `tokens` rows are read.
 * Source: Su et al. 2021, in the arrangement of Hugging Face (`rotate_half` in modeling_llama.py).
 */
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { type RopeSizes, ropeSizes } from '../shape-rules.ts';
import { range } from './shapes.ts';

export interface RopeKernels<T> {
  readonly forward: (x: T, cos: T, sin: T) => T;
  readonly backward: (dy: T, cos: T, sin: T) => T;
}

/** Column vectors on the host: which half is which, and the sign of sin in each. */
const halves: HostTensor = { dtype: 'i32', shape: [2], data: Int32Array.of(1, 0) };
const signs = (...data: readonly [number, number]): HostTensor => ({
  dtype: 'f32',
  shape: [2, 1],
  data: Float32Array.from(data),
});

export const rope = <T extends Spec>(o: Ops<T>): RopeKernels<T> => {
  /** The first rows of a table, one for each token, ready to broadcast over heads and halves. */
  const table = (t: T, { tokens, half }: RopeSizes): T => {
    const rows = t.shape[0] === tokens ? t : o.gather(t, o.fromHost(range(0, tokens)), 0);
    return o.reshape(rows, [tokens, 1, 1, half]);
  };

  const turn = (x: T, cos: T, sin: T, sign: HostTensor): T => {
    const sizes = ropeSizes(x, cos, sin);
    const points = o.reshape(x, [sizes.batch, sizes.tokens, sizes.heads, 2, sizes.half]);
    const swapped = o.gather(points, o.fromHost(halves), 3);
    const along = o.mul(points, table(cos, sizes));
    const across = o.mul(swapped, o.mul(table(sin, sizes), o.fromHost(sign)));
    return o.reshape(o.add(along, across), x.shape);
  };

  return {
    forward: (x, cos, sin) => turn(x, cos, sin, signs(-1, 1)),
    backward: (dy, cos, sin) => turn(dy, cos, sin, signs(1, -1)),
  };
};

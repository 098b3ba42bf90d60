/**
 * Rotary position embedding: in each head, the elements i and i + width/2 are a point of the plane, turned by an angle
 * that grows with the position. The derivative is the turn back.
 *
 *   y₁ = x₁·cos − x₂·sin      y₂ = x₂·cos + x₁·sin
 *
 * Shapes: x `[batch, tokens, heads, width]`; cos, sin `[positions, width/2]`, of which the first `tokens` rows are read,
 * or for each token the row that `places` says, `[batch, tokens]`.
 * Source: Su et al. 2021, in the arrangement of Hugging Face (`rotate_half` in modeling_llama.py).
 */
import type { HostTensor, HostTensorOf, Spec } from '../../spec/tensor.ts';
import type { Ops } from '../ops.ts';
import { type RopeSizes, ropeSizes } from '../shape-rules.ts';
import { range } from './shapes.ts';

export interface RopeKernels<T> {
  readonly forward: (x: T, cos: T, sin: T, places?: HostTensorOf<'i32'>) => T;
  readonly backward: (dy: T, cos: T, sin: T, places?: HostTensorOf<'i32'>) => T;
}

/** Column vectors on the host: which half is which, and the sign of sin in each. */
const halves: HostTensor = { dtype: 'i32', shape: [2], data: Int32Array.of(1, 0) };
const signs = (...data: readonly [number, number]): HostTensor => ({
  dtype: 'f32',
  shape: [2, 1],
  data: Float32Array.from(data),
});

export const rope = <T extends Spec>(o: Ops<T>): RopeKernels<T> => {
  /** Rows of a table, one for each token, ready to broadcast over heads and halves: the first ones, or those at `places`. */
  const table = (t: T, { batch, tokens, half }: RopeSizes, places: HostTensorOf<'i32'> | undefined): T => {
    if (places !== undefined) {
      const flat = o.fromHost({ ...places, shape: [batch * tokens] });
      return o.reshape(o.gather(t, flat, 0), [batch, tokens, 1, 1, half]);
    }
    const rows = t.shape[0] === tokens ? t : o.gather(t, o.fromHost(range(0, tokens)), 0);
    return o.reshape(rows, [tokens, 1, 1, half]);
  };

  const turn = (x: T, cos: T, sin: T, sign: HostTensor, places: HostTensorOf<'i32'> | undefined): T => {
    const sizes = ropeSizes(x, cos, sin, places);
    const points = o.reshape(x, [sizes.batch, sizes.tokens, sizes.heads, 2, sizes.half]);
    const swapped = o.gather(points, o.fromHost(halves), 3);
    const along = o.mul(points, table(cos, sizes, places));
    const across = o.mul(swapped, o.mul(table(sin, sizes, places), o.fromHost(sign)));
    return o.reshape(o.add(along, across), x.shape);
  };

  return {
    forward: (x, cos, sin, places) => turn(x, cos, sin, signs(-1, 1), places),
    backward: (dy, cos, sin, places) => turn(dy, cos, sin, signs(1, -1), places),
  };
};

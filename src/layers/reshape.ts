/**
 * The same buffer under another shape: images as rows, the features of a token as heads. Nothing is kept or trained.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import { type None, none } from '../core/tree.ts';
import { type Shape, type Spec, sameShape, sizeOf } from '../spec/tensor.ts';
import { type Pointwise, untrained } from './activations.ts';
import { checkInput, isFloat } from './checks.ts';

/** Leaves the leading axes, `names`, as they are and gives the others, `from`, the shape `to`. */
const reshaping = <T extends Spec>(
  k: Kernels<T>,
  layer: string,
  names: readonly string[],
  from: Shape,
  to: Shape,
): Pointwise<T, None> => {
  const under = ({ shape }: Spec, item: Shape): Shape => [...shape.slice(0, names.length), ...item];
  return {
    forward: (_, x) => [k.reshape(x, under(x, to)), none],
    backward: (_, __, dy) => [none, k.reshape(dy, under(dy, from))],
    ...untrained,
    output: (x) =>
      pipe(
        checkInput(
          x,
          `a float tensor [${[...names, ...from].join(', ')}]`,
          layer,
          (s) => isFloat(s) && sameShape(s.shape.slice(names.length), from),
        ),
        E.map((s) => ({ ...s, shape: under(s, to) })),
      ),
    residual: () => none,
  };
};

/** Images as rows: `[n, …item]` → `[n, k]`. */
export const flatten = <T extends Spec>(k: Kernels<T>, item: Shape): Pointwise<T, None> =>
  reshaping(k, 'flatten', ['n'], item, [sizeOf(item)]);

export interface HeadsConfig {
  readonly heads: number;
  readonly width: number;
}

/** `[batch, tokens, heads·width]` → `[batch, tokens, heads, width]`. */
export const splitHeads = <T extends Spec>(k: Kernels<T>, { heads, width }: HeadsConfig): Pointwise<T, None> =>
  reshaping(k, 'splitHeads', ['batch', 'tokens'], [heads * width], [heads, width]);

/** `[batch, tokens, heads, width]` → `[batch, tokens, heads·width]`. */
export const mergeHeads = <T extends Spec>(k: Kernels<T>, { heads, width }: HeadsConfig): Pointwise<T, None> =>
  reshaping(k, 'mergeHeads', ['batch', 'tokens'], [heads, width], [heads * width]);

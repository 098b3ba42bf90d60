/** Images as rows: `[n, …]` → `[n, k]`. The same buffer under another shape; nothing is kept or trained. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { None } from '../core/tree.ts';
import { none } from '../core/tree.ts';
import { type Shape, type Spec, sizeOf } from '../spec/tensor.ts';
import { type Pointwise, untrained } from './activations.ts';
import { checkInput } from './checks.ts';

/** `item`: the shape of one example, without the batch axis. */
export const flatten = <T extends Spec>(k: Kernels<T>, item: Shape): Pointwise<T, None> => ({
  forward: (_, x) => [k.reshape(x, [x.shape[0] ?? 0, sizeOf(item)]), none],
  backward: (_, __, dy) => [none, k.reshape(dy, [dy.shape[0] ?? 0, ...item])],
  ...untrained,
  output: (x) =>
    pipe(
      checkInput(x, `[n, ${item.join(', ')}]`, 'flatten', (s) => s.shape.slice(1).join() === item.join()),
      E.map((s) => ({ ...s, shape: [s.shape[0] ?? 0, sizeOf(item)] })),
    ),
  residual: () => none,
});

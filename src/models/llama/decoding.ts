/**
 * Layers for decoding token by token: keys and values of earlier tokens come from the residual of the pass before, where
 * attention keeps them in any case. They have no backward pass.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { range } from '../../core/derived/shapes.ts';
import type { Kernels } from '../../core/fused.ts';
import { type AnyLayer, anyInput, type Layer } from '../../core/layer.ts';
import { type None, none, type Tree } from '../../core/tree.ts';
import {
  type AttentionConfig,
  type AttentionInput,
  type AttentionResidual,
  attention,
} from '../../layers/attention.ts';
import { checkInput, fresh, isFloat } from '../../layers/checks.ts';
import type { HeadsConfig } from '../../layers/reshape.ts';
import { type RopeTables, rope } from '../../layers/rope.ts';
import { defect } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';

const noBackward = (): never => defect('decoding has no backward pass');

/** {@link rope} for tokens that follow `position` others. */
export const laterRope = <T extends Spec>(
  k: Kernels<T>,
  heads: HeadsConfig,
  position: number,
): Layer<RopeTables<T>, None, T, T, None> => {
  const layer = rope(k, heads);
  return {
    ...layer,
    forward: ({ cos, sin }, x) => {
      const rows = k.fromHost(range(position, position + (x.shape[1] ?? 0)));
      return layer.forward({ cos: k.gather(cos, rows, 0), sin: k.gather(sin, rows, 0) }, x);
    },
    backward: noBackward,
    gradient: noBackward,
  };
};

/** Rows of b after those of a, along the axis of tokens. Adding to −0 changes no bit. */
const appended = <T extends Spec>(k: Kernels<T>, a: T, b: T): T => {
  const [batch = 0, first = 0, ...rest] = a.shape;
  const second = b.shape[1] ?? 0;
  const empty = k.full([batch, first + second, ...rest], -0);
  const head = k.scatterAdd(empty, k.fromHost(range(0, first)), 1, a);
  return k.scatterAdd(head, k.fromHost(range(first, first + second)), 1, b);
};

/** Keys and values of all tokens so far. */
type Kept<T> = Pick<AttentionResidual<T>, 'k' | 'v'>;

/** Attention over earlier keys and values too; its residual has them all. `past`: the residuals of the pass before. */
export const decodingAttention = <T extends Spec>(
  k: Kernels<T>,
  config: AttentionConfig,
  name: string,
  past: Tree<Spec> | null,
): AnyLayer<T> => {
  const layer = attention(k, config);
  const before = past === null ? null : ((past as Readonly<Record<string, unknown>>)[name] as Kept<T>);
  const decoding: Layer<None, None, AttentionInput<T>, T, Kept<T>> = {
    ...layer,
    forward: (_, [q, [key, value]]) =>
      k.scope(() => {
        const all = before === null ? key : appended(k, before.k, key);
        const values = before === null ? value : appended(k, before.v, value);
        return [layer.forward(none, [q, [all, values]])[0], { k: all, v: values }];
      }),
    backward: noBackward,
    gradient: noBackward,
  };
  return anyInput(decoding);
};

/** The last token of each sequence: `[batch, tokens, width]` → `[batch, 1, width]`. */
export const lastToken = <T extends Spec>(k: Kernels<T>): Layer<None, None, T, T, None> => ({
  forward: (_, x) => {
    const tokens = x.shape[1] ?? 0;
    return [k.gather(x, k.fromHost(range(tokens - 1, tokens)), 1), none];
  },
  backward: noBackward,
  gradient: noBackward,
  trainable: () => none,
  output: (x) =>
    pipe(
      checkInput(x, 'a float tensor [batch, tokens, width]', 'lastToken', (s) => isFloat(s) && s.shape.length === 3),
      E.map((s) => fresh(s, 'lastToken', [s.shape[0] ?? 0, 1, s.shape[2] ?? 0])),
    ),
  residual: () => none,
});

/**
 * Named layers one after the other: {@link andThen} over a list, with one flat record of parameters, gradients and
 * residuals in place of nested pairs. Law: `chain([a, b, c])` has the bits of `andThen(andThen(a, b), c)`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { type AnyLayer, andThen } from './layer.ts';
import type { Scope } from './ops.ts';
import type { SlotTree, Tree } from './tree.ts';

type Entries<T> = { readonly [name: string]: Tree<T> };

export const chain = <T>(o: Scope, steps: readonly (readonly [name: string, layer: AnyLayer<T>])[]): AnyLayer<T> =>
  steps.map(([name, layer]) => named(name, layer)).reduce((before, next) => joined(o, before, next), empty<T>());

const at = <A>(entries: Tree<A>, name: string): Tree<A> =>
  (entries as { readonly [name: string]: Tree<A> })[name] ?? {};

/** The layer that finds its parameters and its residual under a name. */
const named = <T>(name: string, layer: AnyLayer<T>): AnyLayer<T> => ({
  forward: (p, x) => {
    const [y, residual] = layer.forward(at(p, name), x);
    return [y, { [name]: residual }];
  },
  backward: (p, r, dy) => {
    const [g, dx] = layer.backward(at(p, name), at(r, name), dy);
    return [{ [name]: g }, dx];
  },
  gradient: (p, r, dy) => ({ [name]: layer.gradient(at(p, name), at(r, name), dy) }),
  trainable: (p) => ({ [name]: layer.trainable(at(p, name)) }),
  output: layer.output,
  residual: (x) => ({ [name]: layer.residual(x) }),
});

/** `andThen` on named layers: both read the same records, and what they give is one record. */
const joined = <T>(o: Scope, f: AnyLayer<T>, g: AnyLayer<T>): AnyLayer<T> => {
  const pair = andThen(o, f, g);
  const merge = <A>([a, b]: readonly [Tree<A>, Tree<A>]): Tree<A> => ({ ...(a as Entries<A>), ...(b as Entries<A>) });
  return {
    forward: (p, x) => {
      const [y, residuals] = pair.forward([p, p], x);
      return [y, merge(residuals)];
    },
    backward: (p, r, dy) => {
      const [gradients, dx] = pair.backward([p, p], [r, r], dy);
      return [merge(gradients), dx];
    },
    gradient: (p, r, dy) => merge(pair.gradient([p, p], [r, r], dy)),
    trainable: (p) => merge(pair.trainable([p, p])),
    output: pair.output,
    residual: (x) => merge(pair.residual(x) as readonly [SlotTree, SlotTree]),
  };
};

/** Does nothing: the unit of the chain. */
const empty = <T>(): AnyLayer<T> => ({
  forward: (_, x) => [x, {}],
  backward: (_, __, dy) => [{}, dy],
  gradient: () => ({}),
  trainable: () => ({}),
  output: E.right,
  residual: () => ({}),
});

/**
 * Layers over one flat record: parameters, gradients and residuals by name, in place of nested pairs. Layers that name
 * the same parameters share them, and their gradients add up in the order of the layers.
 *
 * Laws: `chain([a, b, c])` has the bits of `andThen(andThen(a, b), c)`, and less memory; `both(f, g)` has those of `fork(f, g)`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { orThrow, type Result } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';
import { type AnyLayer, fork } from './layer.ts';
import type { Ops } from './ops.ts';
import { hasLeaves, type SlotTree, type Tree, zipTrees } from './tree.ts';

type Entries<T> = { readonly [name: string]: Tree<T> };

const at = <A>(entries: Tree<A>, name: string): Tree<A> =>
  (entries as { readonly [name: string]: Tree<A> })[name] ?? {};

/** The layer that keeps its residual under `name`, and finds its parameters there too, or under `params`. */
export const named = <T>(name: string, layer: AnyLayer<T>, params: string = name): AnyLayer<T> => ({
  forward: (p, x) => {
    const [y, residual] = layer.forward(at(p, params), x);
    return [y, { [name]: residual }];
  },
  backward: (p, r, dy) => {
    const [g, dx] = layer.backward(at(p, params), at(r, name), dy);
    return [{ [params]: g }, dx];
  },
  gradient: (p, r, dy) => ({ [params]: layer.gradient(at(p, params), at(r, name), dy) }),
  trainable: (p) => ({ [params]: layer.trainable(at(p, params)) }),
  output: layer.output,
  residual: (x) => ({ [name]: layer.residual(x) }),
});

/** Two records as one. A name in both is one residual kept twice, or one set of parameters read twice. */
const merged = <A>(first: Tree<A>, second: Tree<A>): Tree<A> => ({
  ...(first as Entries<A>),
  ...(second as Entries<A>),
});

/** The gradients of two layers: of shared parameters the sum, the first layer's first. */
const summed = <T extends Spec>(o: Ops<T>, first: Tree<T>, second: Tree<T>): Tree<T> => {
  const [a, b] = [first as Entries<T>, second as Entries<T>];
  const shared = Object.keys(a).filter((name) => Object.hasOwn(b, name));
  const sums = shared.map((name) => [
    name,
    zipTrees([a[name] as Tree<T>, b[name] as Tree<T>], (x, y) => o.add(x as T, y as T)),
  ]);
  return { ...a, ...b, ...Object.fromEntries(sums) };
};

/**
 * Layers over one record, one after the other: `andThen` of them all. Of what goes from layer to layer, forward or
 * backward, only what the next one reads is alive.
 */
export const sequence = <T extends Spec>(o: Ops<T>, layers: readonly AnyLayer<T>[]): AnyLayer<T> => {
  /** The first `count` layers. */
  const forward = (p: Tree<T>, x: T, count: number): readonly [y: T, residual: Tree<T>] => {
    const last = layers[count - 1];
    if (last === undefined) return [x, {}];
    return o.scope(() => {
      const [y, r] = forward(p, x, count - 1);
      const [z, s] = last.forward(p, y);
      return [z, merged(r, s)];
    });
  };

  type Gradients = readonly Tree<T>[];

  /** The layers from this one on; the gradients in their order. */
  const backward = (p: Tree<T>, r: Tree<T>, dy: T, from: number): readonly [Gradients, dx: T] => {
    const first = layers[from];
    if (first === undefined) return [[], dy];
    return o.scope(() => {
      const [later, between] = backward(p, r, dy, from + 1);
      const [g, dx] = first.backward(p, r, between);
      return [[g, ...later], dx];
    });
  };

  /** The same, without the gradient of what the first of them with something to train reads. */
  const gradient = (p: Tree<T>, r: Tree<T>, dy: T, from: number): Gradients => {
    const first = layers[from];
    if (first === undefined) return [];
    const frozen = first.trainable(p);
    if (!hasLeaves(frozen)) return [frozen, ...gradient(p, r, dy, from + 1)];
    return o.scope(() => {
      const [later, between] = backward(p, r, dy, from + 1);
      return [first.gradient(p, r, between), ...later];
    });
  };

  const inOrder = (gradients: Gradients): Tree<T> => gradients.reduce<Tree<T>>((sum, next) => summed(o, sum, next), {});

  return {
    forward: (p, x) => forward(p, x, layers.length),
    backward: (p, r, dy) =>
      o.scope(() => {
        const [gradients, dx] = backward(p, r, dy, 0);
        return [inOrder(gradients), dx];
      }),
    gradient: (p, r, dy) => o.scope(() => inOrder(gradient(p, r, dy, 0))),
    trainable: (p) => layers.reduce<Tree<T>>((all, layer) => merged(all, layer.trainable(p)), {}),
    output: (x) => layers.reduce<Result<SlotTree>>((y, layer) => E.chain(layer.output)(y), E.right(x)),
    residual: (x) => {
      let [y, kept]: readonly [SlotTree, SlotTree] = [x, {}];
      for (const layer of layers) {
        kept = merged(kept, layer.residual(y));
        y = orThrow(layer.output(y));
      }
      return kept;
    },
  };
};

/** Named layers one after the other. */
export const chain = <T extends Spec>(
  o: Ops<T>,
  steps: readonly (readonly [name: string, layer: AnyLayer<T>])[],
): AnyLayer<T> =>
  sequence(
    o,
    steps.map(([name, layer]) => named(name, layer)),
  );

/** One input, two outputs, over one record; the output is the pair. */
export const both = <T extends Spec>(o: Ops<T>, f: AnyLayer<T>, g: AnyLayer<T>): AnyLayer<T> => {
  const pair = fork(o, f, g);
  const layer = {
    forward: (p: Tree<T>, x: T) => {
      const [y, [r, s]] = pair.forward([p, p], x);
      return [y, merged(r, s)];
    },
    backward: (p: Tree<T>, r: Tree<T>, dy: readonly [T, T]) => {
      const [[a, b], dx] = pair.backward([p, p], [r, r], dy);
      return [summed(o, a, b), dx];
    },
    gradient: (p: Tree<T>, r: Tree<T>, dy: readonly [T, T]) => {
      const [a, b] = pair.gradient([p, p], [r, r], dy);
      return summed(o, a, b);
    },
    trainable: (p: Tree<T>) => {
      const [a, b] = pair.trainable([p, p]);
      return merged(a, b);
    },
    output: pair.output,
    residual: (x: SlotTree) => {
      const [r, s] = pair.residual(x) as readonly [SlotTree, SlotTree];
      return merged(r, s);
    },
  };
  return layer as unknown as AnyLayer<T>;
};

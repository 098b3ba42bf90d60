/**
 * A layer is a pure function and its derivative, with everything that survives the forward pass written in its type.
 *
 * Laws (`core/laws.ts`): `backward` is the transposed derivative of `forward`; `gradient` has the bits of `backward`'s
 * gradient; `residual` describes what `forward` returns, leaf by leaf; `andThen` is associative up to nesting.
 */

import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { defect, orThrow, type Result } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';
import type { Ops, Scope } from './ops.ts';
import { hasLeaves, isLeaf, mapTree, type None, none, type SlotTree, type Tree } from './tree.ts';

/**
 * P: parameters. G: all that trains, a sub-tree of P. X, Y: input and output. R: all that outlives `forward`.
 */
export interface Layer<P, G, X, Y, R> {
  readonly forward: (p: P, x: X) => readonly [y: Y, residual: R];
  readonly backward: (p: P, residual: R, dy: Y) => readonly [g: G, dx: X];
  /** `backward` without the input gradient: for a layer with nothing trainable before it. */
  readonly gradient: (p: P, residual: R, dy: Y) => G;
  /** The part of the parameters that trains: what gradients have the shape of. */
  readonly trainable: (p: P) => G;
  /** The output's spec, or the reason why the layer does not take this input. Checked when a model is built. */
  readonly output: (x: SlotTree) => Result<SlotTree>;
  /** What `forward` will keep, known before anything runs; for an input that `output` accepts. */
  readonly residual: (x: SlotTree) => SlotTree;
}

/** First f, then g. What f hands to g is released as soon as g has read it, unless a residual holds it. */
export const andThen = <P, Q, G, H, X, Y, Z, R, S>(
  o: Scope,
  f: Layer<P, G, X, Y, R>,
  g: Layer<Q, H, Y, Z, S>,
): Layer<readonly [P, Q], readonly [G, H], X, Z, readonly [R, S]> => ({
  forward: ([p, q], x) =>
    o.scope(() => {
      const [y, r] = f.forward(p, x);
      const [z, s] = g.forward(q, y);
      return [z, [r, s]];
    }),
  backward: ([p, q], [r, s], dz) =>
    o.scope(() => {
      const [h, dy] = g.backward(q, s, dz);
      const [k, dx] = f.backward(p, r, dy);
      return [[k, h], dx];
    }),
  gradient: ([p, q], [r, s], dz) =>
    o.scope(() => {
      const frozen = f.trainable(p);
      if (!hasLeaves(frozen)) return [frozen, g.gradient(q, s, dz)];
      const [h, dy] = g.backward(q, s, dz);
      return [f.gradient(p, r, dy), h];
    }),
  trainable: ([p, q]) => [f.trainable(p), g.trainable(q)],
  output: (x) => pipe(f.output(x), E.chain(g.output)),
  residual: (x) => [f.residual(x), g.residual(orThrow(f.output(x)))],
});

/** One input, two outputs. */
export const fork = <T extends Spec, P, Q, G, H, Y, Z, R, S>(
  o: Ops<T>,
  f: Layer<P, G, T, Y, R>,
  g: Layer<Q, H, T, Z, S>,
): Layer<readonly [P, Q], readonly [G, H], T, readonly [Y, Z], readonly [R, S]> => ({
  forward: ([p, q], x) => {
    const [y, r] = f.forward(p, x);
    const [z, s] = g.forward(q, x);
    return [
      [y, z],
      [r, s],
    ];
  },
  backward: ([p, q], [r, s], [dy, dz]) =>
    o.scope(() => {
      const [a, da] = f.backward(p, r, dy);
      const [b, db] = g.backward(q, s, dz);
      return [[a, b], o.add(da, db)];
    }),
  gradient: ([p, q], [r, s], [dy, dz]) => [f.gradient(p, r, dy), g.gradient(q, s, dz)],
  trainable: ([p, q]) => [f.trainable(p), g.trainable(q)],
  output: (x) =>
    pipe(
      f.output(branch(x, 0)),
      E.chain((y) =>
        pipe(
          g.output(branch(x, 1)),
          E.map((z): SlotTree => [y, z]),
        ),
      ),
    ),
  residual: (x) => [f.residual(branch(x, 0)), g.residual(branch(x, 1))],
});

/** The same buffers, read by one of several branches: what the branch creates gets names of its own. */
const branch = (x: SlotTree, index: number): SlotTree => rescope(x, String(index));

const rescope = (x: SlotTree, name: string): SlotTree =>
  isLeaf(x)
    ? { ...x, scope: `${x.scope}/${name}` }
    : Array.isArray(x)
      ? x.map((c: SlotTree) => rescope(c, name))
      : Object.fromEntries(Object.entries(x as Record<string, SlotTree>).map(([k, c]) => [k, rescope(c, name)]));

/** y = x + f(x), the skip connection of He et al. 2015. */
export const residualAdd = <T extends Spec, P, G, R>(o: Ops<T>, f: Layer<P, G, T, T, R>): Layer<P, G, T, T, R> => ({
  forward: (p, x) =>
    o.scope(() => {
      const [y, r] = f.forward(p, x);
      return [o.add(x, y), r];
    }),
  backward: (p, r, dy) =>
    o.scope(() => {
      const [g, dx] = f.backward(p, r, dy);
      return [g, o.add(dy, dx)];
    }),
  gradient: f.gradient,
  trainable: f.trainable,
  output: (x) =>
    pipe(
      f.output(x),
      E.map((y) => rescope(asSum(y), 'sum')),
    ),
  residual: f.residual,
});

/**
 * y = x + f(x), in whose backward pass f is left out: ∂x = ∂y, f's gradient is 0, and nothing is kept (DropBP, Woo et
 * al. 2024). It is the derivative of x + c at c = f(x).
 */
export const dropBackward = <T extends Spec, P, G, R>(o: Ops<T>, f: Layer<P, G, T, T, R>): Layer<P, G, T, T, None> => {
  const zeros = (p: P): G => mapTree(f.trainable(p) as Tree<T>, ({ shape }) => o.full(shape, 0)) as G;
  return {
    ...residualAdd(o, f),
    forward: (p, x) => o.scope(() => [o.add(x, f.forward(p, x)[0]), none]),
    backward: (p, _, dy) => [zeros(p), dy],
    gradient: zeros,
    residual: () => none,
  };
};

/** The slot of x + y is a new buffer, named after y's. */
const asSum = (y: SlotTree): SlotTree => (isLeaf(y) ? { ...y, slot: `${y.scope}+` } : y);

/**
 * The front of a network in which nothing trains: it keeps nothing, for no backward pass ever reaches it. Asking for one
 * is a defect; {@link andThen}'s `gradient` does not. Its gradient, the empty tree, needs none.
 */
export const frozenFront = <P, G, X, Y, R>(f: Layer<P, G, X, Y, R>): Layer<P, G, X, Y, None> => {
  return {
    forward: (p, x) => [f.forward(p, x)[0], {}],
    backward: () => defect('a frozen front has no backward pass'),
    gradient: f.trainable,
    trainable: f.trainable,
    output: f.output,
    residual: () => ({}),
  };
};

/** Keeps only the input and runs `forward` again in the backward pass (gradient checkpointing, Chen et al. 2016). */
export const recompute = <P, G, X, Y, R>(o: Scope, f: Layer<P, G, X, Y, R>): Layer<P, G, X, Y, X> => ({
  forward: (p, x) => o.scope(() => [f.forward(p, x)[0], x]),
  backward: (p, x, dy) => o.scope(() => f.backward(p, f.forward(p, x)[1], dy)),
  gradient: (p, x, dy) => o.scope(() => f.gradient(p, f.forward(p, x)[1], dy)),
  trainable: f.trainable,
  output: f.output,
  residual: (x) => x,
});

/**
 * A layer whose types are forgotten, for models whose methods are chosen at run time. Its parameters must come from
 * the constructor that made it.
 */
export type AnyLayer<T> = Layer<Tree<T>, Tree<T>, T, T, Tree<T>>;

/** The one place where a layer's types are forgotten: function parameters do not widen, so this is a cast. */
export const anyLayer = <T, P, G, R>(layer: Layer<P, G, T, T, R>): AnyLayer<T> => layer as unknown as AnyLayer<T>;

/** The same for a layer that takes several tensors. */
export const anyInput = <T, P, G, X, R>(layer: Layer<P, G, X, T, R>): AnyLayer<T> => layer as unknown as AnyLayer<T>;

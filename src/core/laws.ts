/**
 * The laws of the engine as predicates, over any backend. A test draws the inputs; a predicate says whether the law
 * holds for them. So a new backend, and a new layer, is held to everything that is written here.
 *
 * Bits are compared, NaN as NaN. The laws of linear maps ask for inputs on which nothing rounds (small integers), so
 * they need no tolerance; the one law that has a tolerance, {@link vjpExcess}, derives it.
 */
import * as E from 'fp-ts/lib/Either.js';
import { hostArray } from '../spec/dtype.ts';
import { bytesOf, type HostTensor, inputSlot, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import type { Kernels } from './fused.ts';
import type { Layer } from './layer.ts';
import { hasLeaves, leafPaths, leaves, mapTree, overlay, type SlotTree, type Tree, withLeaves } from './tree.ts';

// ---------------------------------------------------------------------------------------------------- comparison

/** Equal type, shape and bits; any NaN equals any NaN. */
export const sameTensor = (a: HostTensor, b: HostTensor): boolean =>
  a.dtype === b.dtype && sameShape(a.shape, b.shape) && a.data.every((x, i) => Object.is(x, b.data[i]));

type Reader<T extends Spec> = Pick<Kernels<T>, 'toHost'>;

/** The leaves of two trees have the same bits, in order, however they are nested. */
const sameLeaves = async <T extends Spec>(k: Reader<T>, a: Tree<T>, b: Tree<T>): Promise<boolean> => {
  const [left, right] = await Promise.all([a, b].map((tree) => Promise.all(leaves(tree).map(k.toHost))));
  return left!.length === right!.length && left!.every((x, i) => sameTensor(x, right![i]!));
};

/** The tree as text: its names, its order, and the spec of each leaf. */
const structure = <A extends Spec>(tree: Tree<A>): string => JSON.stringify(mapTree(tree, showSpec));

/** Two trees have the same structure and the same bits. */
export const sameTree = async <T extends Spec>(k: Reader<T>, a: Tree<T>, b: Tree<T>): Promise<boolean> =>
  structure(a) === structure(b) && sameLeaves(k, a, b);

// -------------------------------------------------------------------------------------------------------- tensors

/** gather(scatterAdd(0, I, source), I) = source for distinct I. The 0 is −0, to which adding −0 gives −0. */
export const gatherAfterScatter = <T extends Spec>(
  k: Kernels<T>,
  shape: readonly number[],
  indices: T,
  axis: number,
  source: T,
): Promise<boolean> =>
  sameTree(k, k.gather(k.scatterAdd(k.full(shape, -0), indices, axis, source), indices, axis), source);

/** `scatterAdd` leaves the slices that it is not told to change as they are; `others` are their indices. */
export const scatterLeavesOthers = <T extends Spec>(
  k: Kernels<T>,
  x: T,
  indices: T,
  others: T,
  axis: number,
  source: T,
): Promise<boolean> =>
  sameTree(k, k.gather(k.scatterAdd(x, indices, axis, source), others, axis), k.gather(x, others, axis));

/** `scatterAdd` of many slices is `scatterAdd` of each, one after the other: a repeated index adds in order. */
export const scatterAddsInOrder = async <T extends Spec>(
  k: Kernels<T>,
  x: T,
  indices: T,
  axis: number,
  source: T,
): Promise<boolean> => {
  const chosen = Array.from((await k.toHost(indices)).data, Number);
  const one = (j: number): T => k.fromHost({ dtype: 'i32', shape: [1], data: Int32Array.of(j) });
  const stepwise = chosen.reduce(
    (sum, index, j) => k.scatterAdd(sum, one(index), axis, k.gather(source, one(j), axis)),
    x,
  );
  return sameTree(k, k.scatterAdd(x, indices, axis, source), stepwise);
};

/** ⟨a, b⟩ on the host. */
const dot = async <T extends Spec>(k: Reader<T>, a: T, b: T): Promise<number> => {
  const [x, y] = await Promise.all([k.toHost(a), k.toHost(b)]);
  return Array.from(x.data, Number).reduce((sum, value, i) => sum + value * Number(y.data[i]), 0);
};

/** ⟨f(x), y⟩ = ⟨x, fᵀ(y)⟩, exactly: for values on which nothing rounds. */
export const adjoint = async <T extends Spec>(
  k: Reader<T>,
  f: (x: T) => T,
  transposed: (y: T) => T,
  x: T,
  y: T,
): Promise<boolean> => (await dot(k, f(x), y)) === (await dot(k, x, transposed(y)));

/** f(x + 2y) = f(x) + 2·f(y), exactly: for values on which nothing rounds. */
export const linearMap = <T extends Spec>(k: Kernels<T>, f: (x: T) => T, x: T, y: T): Promise<boolean> =>
  sameTree(k, f(k.add(x, k.mul(y, 2))), k.add(f(x), k.mul(f(y), 2)));

// --------------------------------------------------------------------------------------------------------- memory

/** A scope releases what its body made and did not return: what stays is the bytes of the result's leaves. */
export const scopeReleases = <T extends Spec>(k: Kernels<T>, body: () => T): boolean => {
  const before = k.memory().live;
  const result = k.scope(body);
  return k.memory().live - before === bytesOf(result);
};

/** A computation over inputs that are then given up has the bits of one over inputs that are kept. */
export const donationIsInvisible = async <T extends Spec>(
  k: Kernels<T>,
  inputs: readonly HostTensor[],
  compute: (inputs: readonly T[]) => Tree<T>,
): Promise<boolean> => {
  const kept = inputs.map(k.fromHost);
  const donated = inputs.map(k.fromHost);
  const expected = compute(kept);
  const result = compute(donated);
  k.donate(donated);
  for (const { shape } of inputs) k.full(shape, Number.NaN);
  return sameTree(k, result, expected);
};

// --------------------------------------------------------------------------------------------------------- layers

/** A layer as the laws see it: whatever goes in and out is a tree. */
export type TreeLayer<T> = Layer<Tree<T>, Tree<T>, Tree<T>, Tree<T>, Tree<T>>;

/** Where a law is tried: a layer at a point, and a gradient dy of its output there. */
export interface Point<T extends Spec> {
  readonly k: Kernels<T>;
  readonly layer: TreeLayer<T>;
  readonly p: Tree<T>;
  readonly x: Tree<T>;
  readonly dy: Tree<T>;
}

const slotsOf = (x: Tree<Spec>): SlotTree => mapTree(x, (leaf, path) => inputSlot(`x${path}`, leaf));

/** `residual` describes what `forward` keeps: the tree, and the type and shape of each leaf. */
export const residualIsAsDescribed = <T extends Spec>({ layer, p, x }: Point<T>): boolean =>
  structure(layer.forward(p, x)[1]) === structure(layer.residual(slotsOf(x)));

/** `output` describes what `forward` gives. */
export const outputIsAsDescribed = <T extends Spec>({ layer, p, x }: Point<T>): boolean => {
  const described = layer.output(slotsOf(x));
  return E.isRight(described) && structure(layer.forward(p, x)[0]) === structure(described.right);
};

/**
 * What stays alive after `forward`, when its output is let go, is the residual: each slot once, but for x, which the
 * caller holds.
 */
export const keepsTheResidualAlone = <T extends Spec>({ k, layer, p, x }: Point<T>): boolean => {
  const before = k.memory().live;
  const kept = k.scope(() => layer.forward(p, x)[1]);
  const grown = k.memory().live - before;
  const slots = new Map(leaves(layer.residual(slotsOf(x))).map((s) => [s.slot, s]));
  for (const { slot } of leaves(slotsOf(x))) slots.delete(slot);
  return hasLeaves(kept) ? grown === [...slots.values()].reduce((sum, s) => sum + bytesOf(s), 0) : grown === 0;
};

/** `backward` reads its residual and nothing else of the forward pass: x and y may be gone, unless the residual is x. */
export const backwardNeedsTheResidualAlone = async <T extends Spec>({
  k,
  layer,
  p,
  x,
  dy,
}: Point<T>): Promise<boolean> => {
  const expected = layer.backward(p, layer.forward(p, x)[1], dy);
  const read = await Promise.all(leaves(x).map(k.toHost));
  const copy = withLeaves(x, read.map(k.fromHost));
  const [y, residual] = layer.forward(p, copy);
  const kept = new Set(leaves(residual));
  k.donate([...leaves(copy), ...leaves(y)].filter((leaf) => !kept.has(leaf)));
  return sameTree(k, layer.backward(p, residual, dy), expected);
};

/** `gradient` has the bits of the gradient of `backward`, and the structure of `trainable`. */
export const gradientIsOfBackward = async <T extends Spec>({ k, layer, p, x, dy }: Point<T>): Promise<boolean> => {
  const residual = layer.forward(p, x)[1];
  const gradient = layer.gradient(p, residual, dy);
  const ofBackward = layer.backward(p, residual, dy)[0];
  return structure(gradient) === structure(layer.trainable(p)) && sameTree(k, gradient, ofBackward);
};

/** Two layers are one function with one derivative, bit for bit, up to the nesting of their trees. */
export const sameFunction = async <T extends Spec>(a: Point<T>, b: Point<T>): Promise<boolean> => {
  const run = ({ layer, p, x, dy }: Point<T>): readonly Tree<T>[] => {
    const [y, residual] = layer.forward(p, x);
    const [g, dx] = layer.backward(p, residual, dy);
    return [y, g, dx, layer.gradient(p, residual, dy)];
  };
  return sameLeaves(a.k, run(a), run(b));
};

// ----------------------------------------------------------------------------------------------------- derivative

/** The step of the differences, 2⁻¹². */
const H = 1 / 4096;

/**
 * Rounding of one output in f64: fewer than 2⁷ roundings, each of an intermediate value below 2⁵, with u = 2⁻⁵³. That is
 * what the shapes and values of these laws must keep to.
 */
const ROUNDING = (128 * 32) / 9007199254740992;

const isFloat = ({ dtype }: Spec): boolean => dtype === 'f64' || dtype === 'f32';

/** Σ dy·(y₊ − y₋). */
const change = (dy: readonly HostTensor[], plus: readonly HostTensor[], minus: readonly HostTensor[]): number =>
  dy.reduce(
    (sum, { data }, leaf) =>
      Array.from(data, Number).reduce(
        (s, d, i) => s + d * (Number(plus[leaf]!.data[i]) - Number(minus[leaf]!.data[i])),
        sum,
      ),
    0,
  );

/**
 * `backward` against central differences, over f64: the largest |g − D(h)| / tolerance over every element of x and of
 * what trains. The law is that it is at most 1.
 *
 * D(h) = (φ(+h) − φ(−h))/2h with φ = ⟨forward, dy⟩ errs by h²φ'''/6 + O(h⁴), and so does D(2h) by four times as much: their
 * distance is three times the error of D(h), to leading order, and is taken as its bound. Rounding adds Σ|dy|·ε/h, where
 * ε bounds the rounding of one output.
 */
export const vjpExcess = async <T extends Spec>({ k, layer, p, x, dy }: Point<T>): Promise<number> => {
  const read = (tree: Tree<T>): Promise<HostTensor[]> => Promise.all(leaves(tree).map(k.toHost));
  const cotangent = await read(dy);
  const rounding = cotangent.reduce(
    (s, { data }) => s + Array.from(data, Number).reduce((n, d) => n + Math.abs(d), 0),
    0,
  );

  const difference = async (leaf: T, at: (moved: T) => Tree<T>, i: number, h: number): Promise<number> => {
    const moved = async (by: number): Promise<HostTensor[]> => {
      const host = await k.toHost(leaf);
      const data = hostArray('f64', host.data.length);
      data.set(Array.from(host.data, Number));
      data[i] = data[i]! + by;
      return read(at(k.fromHost({ dtype: 'f64', shape: leaf.shape, data })));
    };
    return change(cotangent, await moved(h), await moved(-h)) / (2 * h);
  };

  const worst = async (leaf: T, gradient: T, at: (moved: T) => Tree<T>): Promise<number> => {
    const g = (await k.toHost(gradient)).data;
    let largest = 0;
    for (let i = 0; i < g.length; i++) {
      const near = await difference(leaf, at, i, H);
      const far = await difference(leaf, at, i, 2 * H);
      const tolerance = Math.abs(far - near) + (rounding * ROUNDING) / H;
      largest = Math.max(largest, Math.abs(Number(g[i]) - near) / tolerance);
    }
    return largest;
  };

  /** The worst over the leaves of `tree`, whose gradients are those of `gradient` at the same paths. */
  const worstOf = (tree: Tree<T>, gradient: Tree<T>, at: (moved: Tree<T>) => Tree<T>): readonly Promise<number>[] => {
    const gradients = new Map(leafPaths(gradient));
    const all = leaves(tree);
    return leafPaths(tree)
      .filter(([, leaf]) => isFloat(leaf))
      .map(([path, leaf]) => {
        const put = (moved: T): Tree<T> =>
          withLeaves(
            tree,
            all.map((l) => (l === leaf ? moved : l)),
          );
        return worst(leaf, gradients.get(path)!, (moved) => at(put(moved)));
      });
  };

  const [gradient, dx] = layer.backward(p, layer.forward(p, x)[1], dy);
  const ofParams = worstOf(layer.trainable(p), gradient, (moved) => layer.forward(overlay(p, moved), x)[0]);
  const ofInput = worstOf(x, dx, (moved) => layer.forward(p, moved)[0]);
  return Math.max(0, ...(await Promise.all([...ofParams, ...ofInput])));
};

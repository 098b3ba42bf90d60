/**
 * Trees: nested tuples and records whose leaves are tensors, or whatever else carries a spec. Parameters, gradients,
 * residuals and optimizer states are trees.
 *
 * Laws: `map(id) = id`; `map(g ∘ f) = map(g) ∘ map(f)`; `leaves` lists in the order of `map`; `overlay(p, part(p)) = p`.
 */
import { defect } from '../spec/errors.ts';
import type { Slot, Spec } from '../spec/tensor.ts';

export type Tree<A> = A | readonly Tree<A>[] | { readonly [name: string]: Tree<A> };

/** The tree without leaves: parameters of a layer that has none. */
export type None = Readonly<Record<string, never>>;
export const none: None = {};

export type SlotTree = Tree<Slot>;

/** A leaf is what carries a spec: an object with a `dtype`. */
export const isLeaf = <A extends Spec>(t: Tree<A>): t is A => typeof (t as { dtype?: unknown }).dtype === 'string';

const isList = <A>(t: Tree<A>): t is readonly Tree<A>[] => Array.isArray(t);

const children = <A extends Spec>(t: Tree<A>): readonly (readonly [name: string, child: Tree<A>])[] =>
  isLeaf(t) ? [] : isList(t) ? t.map((c, i) => [String(i), c] as const) : Object.entries(t);

/** The tree of the same shape with `f` applied to each leaf; `f` also sees the leaf's path, as in `layers.0.delta`. */
export const mapTree = <A extends Spec, B>(t: Tree<A>, f: (leaf: A, path: string) => B, path = ''): Tree<B> => {
  const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
  if (isLeaf(t)) return f(t, path);
  if (isList(t)) return t.map((c, i) => mapTree(c, f, at(String(i))));
  return Object.fromEntries(Object.entries(t).map(([name, c]) => [name, mapTree(c, f, at(name))]));
};

/** The leaves with their paths, in the tree's own order. */
export const leafPaths = <A extends Spec>(t: Tree<A>): readonly (readonly [path: string, leaf: A])[] =>
  isLeaf(t)
    ? [['', t]]
    : children(t).flatMap(([name, c]) =>
        leafPaths(c).map(([path, leaf]) => [path === '' ? name : `${name}.${path}`, leaf] as const),
      );

/** Visits the leaves until `visit` says that it has seen enough, and says whether it did. */
const anyLeaf = (value: unknown, visit: (leaf: Spec) => boolean): boolean => {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return false;
  if (isLeaf(value as Tree<Spec>)) return visit(value as Spec);
  return Object.values(value).some((child) => anyLeaf(child, visit));
};

/** The leaves of a value of any type: plain lists and records are searched, anything else has none. */
export const leavesIn = (value: unknown): readonly Spec[] => {
  const found: Spec[] = [];
  anyLeaf(value, (leaf) => {
    found.push(leaf);
    return false;
  });
  return found;
};

export const leaves = <A extends Spec>(t: Tree<A>): readonly A[] => leavesIn(t) as readonly A[];

/** Whether anything is in the tree at all. */
export const hasLeaves = (t: unknown): boolean => anyLeaf(t, () => true);

/** The leaves of trees of one shape, side by side, in the order of the first. Trees of other shapes are a defect. */
export const zipLeaves = <A extends Spec, B>(
  trees: readonly Tree<A>[],
  f: (leaves: readonly A[], path: string) => B,
): readonly B[] => {
  const [first, ...rest] = trees.map(leafPaths);
  if (first === undefined) return [];
  const columns = rest.map((entries) => new Map(entries));
  if (columns.some((column) => column.size !== first.length)) defect('trees of different shapes');
  const at = (column: ReadonlyMap<string, A>, path: string): A =>
    column.get(path) ?? defect(`trees of different shapes: no leaf at '${path}'`);
  return first.map(([path, leaf]) => f([leaf, ...columns.map((column) => at(column, path))], path));
};

/** The tree of this shape with other leaves, in the order of {@link leaves}. */
export const withLeaves = <A extends Spec, B>(shape: Tree<A>, values: readonly B[]): Tree<B> => {
  const byPath = new Map(leafPaths(shape).map(([path], i) => [path, values[i] as B]));
  return mapTree(shape, (_, path) => byPath.get(path) as B);
};

/** Combines trees of one shape leaf by leaf, in the shape of the first. */
export const zipTrees = <A extends Spec, B>(
  trees: readonly [Tree<A>, ...Tree<A>[]],
  f: (...leaves: readonly A[]) => B,
): Tree<B> =>
  withLeaves(
    trees[0],
    zipLeaves(trees, (column) => f(...column)),
  );

/** `whole` with each leaf that `part` holds put in its place. `part` is a sub-tree: its paths are paths of `whole`. */
export const overlay = <A extends Spec>(whole: Tree<A>, part: Tree<A>): Tree<A> => {
  const given = new Map(leafPaths(part));
  const result = mapTree(whole, (leaf, path) => given.get(path) ?? leaf);
  const paths = new Set(leafPaths(whole).map(([path]) => path));
  for (const path of given.keys()) if (!paths.has(path)) defect(`overlay: no leaf at '${path}'`);
  return result;
};

/** The one slot of a value that is a single tensor. */
export const theSlot = (t: SlotTree): Slot => (isLeaf(t) ? t : defect('a single tensor was expected, not a tree'));

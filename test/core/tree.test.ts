/** Laws of trees: mapping, listing, zipping and overlaying agree on one order. */
import { describe, expect, it } from 'vitest';
import {
  hasLeaves,
  leafPaths,
  leaves,
  leavesIn,
  mapTree,
  none,
  overlay,
  type Tree,
  theSlot,
  withLeaves,
  zipLeaves,
  zipTrees,
} from '../../src/core/tree.ts';
import { inputSlot, type Spec, spec } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';

interface Leaf extends Spec {
  readonly id: number;
}

const leaf: fc.Arbitrary<Leaf> = fc.nat(999).map((id) => ({ id, ...spec('f32', id) }));
const { tree } = fc.letrec<{ tree: Tree<Leaf> }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    fc.array(tie('tree'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('weight', 'bias', 'layers', 'b', 'a'), tie('tree'), {
      maxKeys: 3,
      noNullPrototype: true,
    }),
  ),
}));

const next = (l: Leaf): Leaf => ({ ...l, id: l.id + 1 });
const twice = (l: Leaf): Leaf => ({ ...l, id: l.id * 2 });

/** The leaves whose position in the tree is even, in the tree's own nesting. */
const part = (whole: Tree<Leaf>): Tree<Leaf> => {
  const chosen = new Set(leafPaths(whole).flatMap(([path], i) => (i % 2 === 0 ? [path] : [])));
  const keep = (t: Tree<Leaf>, path: string): Tree<Leaf> => {
    const at = (name: string): string => (path === '' ? name : `${path}.${name}`);
    if ('dtype' in t) return chosen.has(path) ? t : none;
    return Array.isArray(t)
      ? t.map((c: Tree<Leaf>, i) => keep(c, at(String(i))))
      : Object.fromEntries(Object.entries(t).map(([name, c]) => [name, keep(c as Tree<Leaf>, at(name))]));
  };
  return keep(whole, '');
};

describe('trees', () => {
  it('map(id) = id and map(g ∘ f) = map(g) ∘ map(f)', () =>
    fc.assert(
      fc.property(tree, (t) => {
        expect(mapTree(t, (l) => l)).toEqual(t);
        expect(mapTree(t, (l) => twice(next(l)))).toEqual(mapTree(mapTree(t, next), twice));
      }),
    ));

  it('leaves, paths and map follow one order', () =>
    fc.assert(
      fc.property(tree, (t) => {
        const visited: (readonly [string, Leaf])[] = [];
        mapTree(t, (l, path) => visited.push([path, l]));
        expect(leafPaths(t)).toEqual(visited);
        expect(leaves(t)).toEqual(visited.map(([, l]) => l));
        expect(leavesIn(t)).toEqual(leaves(t));
        expect(hasLeaves(t)).toBe(visited.length > 0);
      }),
    ));

  it('withLeaves(t, leaves(t)) = t, and zipTrees is map over one tree', () =>
    fc.assert(
      fc.property(tree, (t) => {
        expect(withLeaves(t, leaves(t))).toEqual(t);
        expect(
          zipTrees([t, mapTree(t, next)], (a, b) => ({ ...spec('f32'), id: (b as Leaf).id - (a as Leaf).id })),
        ).toEqual(mapTree(t, () => ({ ...spec('f32'), id: 1 })));
      }),
    ));

  it('overlay(t, part(t)) = t, and overlays what the part has alone', () =>
    fc.assert(
      fc.property(tree, (t) => {
        expect(overlay(t, part(t))).toEqual(t);
        const changed = leaves(overlay(t, mapTree(part(t), next)));
        expect(changed).toEqual(leaves(t).map((l, i) => (i % 2 === 0 ? next(l) : l)));
      }),
    ));

  it('zips by path, not by the order of names', () => {
    const a = { weight: { ...spec('f32'), id: 1 }, bias: { ...spec('f32'), id: 2 } };
    const b = { bias: { ...spec('f32'), id: 20 }, weight: { ...spec('f32'), id: 10 } };
    expect(zipLeaves<Leaf, number>([a, b], ([x, y]) => x!.id + y!.id)).toEqual([11, 22]);
  });

  it('refuses trees of different shapes as a defect', () => {
    const one = { ...spec('f32'), id: 1 };
    expect(() => zipLeaves<Leaf, number>([{ a: one }, { b: one }], () => 0)).toThrow("no leaf at 'a'");
    expect(() => zipLeaves<Leaf, number>([{ a: one }, { a: one, b: one }], () => 0)).toThrow('different shapes');
    expect(() => overlay<Leaf>({ a: one }, { b: one })).toThrow("no leaf at 'b'");
    expect(() => theSlot([inputSlot('x', one)])).toThrow('a single tensor');
  });
});

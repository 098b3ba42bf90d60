/** Who owns memory on the reference backend: scopes, views, donation. */
import { describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { donationIsInvisible, sameTree, scopeReleases } from '../../src/core/laws.ts';
import { leaves, type Tree, withLeaves } from '../../src/core/tree.ts';
import { fc } from '../support/fast-check.ts';
import { pointOf } from '../support/layer-instances.ts';
import { layerTable } from '../support/layer-table.ts';
import { f32, type K, normal, numbersOf, type R } from '../support/tensors.ts';

/** A backend whose counters nobody else moves. */
const fresh = (): K => referenceF32().kernels;
const vector = (k: K, n = 4): R => k.fromHost(normal(n, [n]));

describe('scope', () => {
  it('releases what it made and did not return', () => {
    const k = fresh();
    const a = vector(k);
    expect(scopeReleases(k, () => k.add(k.mul(a, 2), k.exp(a)))).toBe(true);
  });

  it('keeps what the result holds at any depth, and nothing else of the tree', () => {
    const k = fresh();
    const before = k.memory().live;
    const kept = k.scope(() => {
      const [a, b, c] = [vector(k), vector(k), vector(k)];
      k.add(a, b);
      return { list: [a, { deep: b }], number: 3, nothing: null, c: [c] };
    });
    expect(k.memory().live - before).toBe(3 * 16);
    expect(() => k.add(kept.c[0]!, 1)).not.toThrow();
  });

  it('hands to the outer scope what it returns', () => {
    const k = fresh();
    const before = k.memory().live;
    k.scope(() => {
      const inner = k.scope(() => vector(k));
      expect(k.memory().live - before).toBe(16);
      k.neg(inner);
    });
    expect(k.memory().live).toBe(before);
  });

  it('releases when its body throws', () => {
    const k = fresh();
    const before = k.memory().live;
    let made: R | undefined;
    expect(() =>
      k.scope(() => {
        made = vector(k);
        throw new Error('of the body');
      }),
    ).toThrow('of the body');
    expect(k.memory().live).toBe(before);
    expect(() => k.neg(made!)).toThrow('use of a released tensor f32[4]');
  });

  it('leaves what came from outside alone', () => {
    const k = fresh();
    const a = vector(k);
    k.scope(() => k.reshape(a, [2, 2]));
    expect(k.memory().live).toBe(16);
    expect(() => k.neg(a)).not.toThrow();
  });

  it('counts the peak, from where it was reset', () => {
    const k = fresh();
    const a = vector(k);
    k.scope(() => {
      k.add(k.mul(a, 2), k.exp(a));
    });
    expect(k.memory()).toEqual({ live: 16, peak: 64 });
    k.resetPeak();
    expect(k.memory()).toEqual({ live: 16, peak: 16 });
  });
});

describe('views', () => {
  it('share storage: they cost nothing, and keep it alive when the original is gone', async () => {
    const k = fresh();
    const a = k.fromHost(normal(1, [2, 3]));
    const expected = await numbersOf(k, a);
    const view = k.reshape(a, [3, -1]);
    expect(k.memory().live).toBe(24);
    k.donate(a);
    expect(k.memory().live).toBe(24);
    expect(await numbersOf(k, view)).toEqual(expected);
    k.donate(view);
    expect(k.memory().live).toBe(0);
  });

  it('returned from a scope keep what was made inside', async () => {
    const k = fresh();
    const view = k.scope(() => k.reshape(k.full([6], 2), [2, 3]));
    expect(k.memory().live).toBe(24);
    expect(await numbersOf(k, view)).toEqual(new Array(6).fill(2));
  });
});

describe('a handle that is gone', () => {
  const uses: Readonly<Record<string, (k: K, x: R) => unknown>> = {
    add: (k, x) => k.add(x, 1),
    neg: (k, x) => k.neg(x),
    where: (k, x) => k.where(x, 1, 0),
    reshape: (k, x) => k.reshape(x, [4]),
    transpose: (k, x) => k.transpose(x, [0, 1]),
    sumLast: (k, x) => k.sumLast(x),
    sumFirst: (k, x) => k.sumFirst(x),
    matmul: (k, x) => k.matmul(x, k.full([2, 2], 1), 'nn'),
    cast: (k, x) => k.cast(x, 'bf16'),
    gather: (k, x) => k.gather(x, k.cast(k.full([1], 0), 'i32'), 0),
    scatterAdd: (k, x) => k.scatterAdd(k.full([2, 2], 0), k.cast(k.full([2], 0), 'i32'), 0, x),
    packMask: (k, x) => k.packMask(x),
    donate: (k, x) => k.donate(x),
    unfold: (k, x) => k.unfold(x, { kernel: [1, 1], stride: [1, 1], padding: [0, 0], dilation: [1, 1] }, 0),
  };

  it.each(Object.entries(uses))('throws in %s', (_, use) => {
    const k = fresh();
    const x = k.full([2, 2], 1);
    k.donate({ some: ['tree', x] });
    expect(() => use(k, x)).toThrow('use of a donated tensor f32[2, 2]');
  });

  it('throws when it is read back', async () => {
    const k = fresh();
    const x = vector(k);
    k.donate(x);
    await expect(k.toHost(x)).rejects.toThrow('use of a donated tensor');
  });

  it('may be in the result of a scope that donated it', () => {
    const k = fresh();
    const [old] = k.scope(() => {
      const x = vector(k);
      k.donate(x);
      return [x];
    });
    expect(k.memory().live).toBe(0);
    expect(() => k.neg(old!)).toThrow('donated');
  });
});

describe('donation is invisible', () => {
  it('to a chain of operations', () =>
    fc.assert(
      fc.asyncProperty(fc.nat(1000), (seed) =>
        donationIsInvisible(f32, [normal(seed, [3, 5]), normal(seed + 1, [3, 5])], ([a, b]) => [
          f32.add(f32.mul(a!, b!), f32.exp(a!)),
          f32.reshape(b!, [15]),
          f32.transpose(a!, [1, 0]),
        ]),
      ),
    ));

  it.each(Object.entries(layerTable))('to forward and backward of %s', async (_, { minimal }) => {
    const k = fresh();
    const { layer, p, dy } = pointOf(k, minimal);
    const run = (x: readonly R[]): Tree<R> => {
      const [y, residual] = layer.forward(p, withLeaves(minimal.x, x));
      return [y, ...layer.backward(p, residual, dy)];
    };
    const inputs = leaves(minimal.x);
    expect(await donationIsInvisible(k, inputs, run)).toBe(true);
    expect(
      await sameTree(
        k,
        k.scope(() => run(inputs.map(k.fromHost))),
        run(inputs.map(k.fromHost)),
      ),
    ).toBe(true);
  });
});

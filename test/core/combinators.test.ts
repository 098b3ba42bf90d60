/** The combinators against each other and against what they abbreviate, bit for bit. */
import { describe, expect, it } from 'vitest';
import { chain } from '../../src/core/chain.ts';
import { type Point, sameFunction, sameTree } from '../../src/core/laws.ts';
import { type AnyLayer, andThen, anyLayer, dropBackward, fork, recompute, residualAdd } from '../../src/core/layer.ts';
import { mapTree, type Tree } from '../../src/core/tree.ts';
import { gelu, relu, tanh } from '../../src/layers/activations.ts';
import { layerNorm } from '../../src/layers/layer-norm.ts';
import { frozenLinear, linear } from '../../src/layers/linear.ts';
import { bytesOf, inputSlot } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { asTree, pointOf } from '../support/layer-instances.ts';
import { layerTable } from '../support/layer-table.ts';
import { expectSame, f32 as k, normal, type R } from '../support/tensors.ts';

type Step = readonly [layer: AnyLayer<R>, params: Tree<R>];

const width = 5;
const tensor = (seed: number, ...shape: number[]): R => k.fromHost(normal(seed, shape));

/** Layers from `[n, 5]` to `[n, 5]`. */
const kinds: readonly ((seed: number) => Step)[] = [
  (s) => [
    anyLayer(linear(k, { in: width, out: width })),
    { weight: tensor(s, width, width), bias: tensor(s + 1, width) },
  ],
  (s) => [anyLayer(frozenLinear(k, { in: width, out: width })), { weight: tensor(s, width, width) }],
  (s) => [anyLayer(layerNorm(k, { width, epsilon: 0.1 })), { weight: tensor(s, width), bias: tensor(s + 1, width) }],
  () => [anyLayer(tanh(k)), {}],
  () => [anyLayer(gelu(k)), {}],
  () => [anyLayer(relu(k)), {}],
];

const step: fc.Arbitrary<Step> = fc.tuple(fc.constantFrom(...kinds), any.seed).map(([kind, seed]) => kind(seed));

const x = tensor(100, 3, width);
const dy = tensor(101, 3, width);
const at = (layer: unknown, p: unknown): Point<R> => ({ k, layer: asTree(layer), p: p as Tree<R>, x, dy });

describe('andThen', () => {
  it('is associative up to nesting', () =>
    fc.assert(
      fc.asyncProperty(step, step, step, ([f, p], [g, q], [h, r]) =>
        sameFunction(
          at(andThen(k, andThen(k, f, g), h), [[p, q], r]),
          at(andThen(k, f, andThen(k, g, h)), [p, [q, r]]),
        ),
      ),
    ));

  it('is one layer after the other', () =>
    fc.assert(
      fc.asyncProperty(step, step, async ([f, p], [g, q]) => {
        const both = andThen(k, f, g);
        const [y, r] = f.forward(p, x);
        const [z, s] = g.forward(q, y);
        const [gOfG, between] = g.backward(q, s, dy);
        const [gOfF, dx] = f.backward(p, r, between);
        const [zz, residual] = both.forward([p, q], x);
        return (
          (await sameTree<R>(k, [zz, residual] as Tree<R>, [z, [r, s]])) &&
          (await sameTree<R>(k, both.backward([p, q], residual, dy) as Tree<R>, [[gOfF, gOfG], dx]))
        );
      }),
    ));

  it('lets go of what lies between the layers as soon as the second has read it', () => {
    const [[f, p], [g, q]] = [kinds[1]!(1), kinds[1]!(2)];
    k.scope(() => {
      const before = k.memory().live;
      const [y, residual] = andThen(k, f, g).forward([p, q], x);
      expect(k.memory().live - before).toBe(bytesOf(y));
      const [, dx] = andThen(k, f, g).backward([p, q], residual, dy);
      expect(k.memory().live - before).toBe(bytesOf(y) + bytesOf(dx));
    });
  });

  it('does not ask the first layer for a gradient when nothing in it trains', () => {
    const [frozen, p] = kinds[1]!(1);
    const untouchable: AnyLayer<R> = {
      ...frozen,
      gradient: () => expect.unreachable('gradient of a frozen layer'),
      backward: () => expect.unreachable('backward of a frozen layer'),
    };
    const [head, q] = kinds[0]!(2);
    const both = andThen(k, untouchable, head);
    const [, residual] = both.forward([p, q], x);
    expect(Object.keys(both.gradient([p, q], residual, dy)[1])).toEqual(['weight', 'bias']);
  });
});

describe('chain', () => {
  it('has the bits of nested andThen', () =>
    fc.assert(
      fc.asyncProperty(step, fc.array(step, { maxLength: 3 }), (first, rest) => {
        const list = [first, ...rest];
        const names = list.map((_, i) => `step${i}`);
        const flat = chain(
          k,
          list.map(([layer], i) => [names[i]!, layer] as const),
        );
        const [nested, params] = rest.reduce<readonly [unknown, unknown]>(
          ([layer, p], [next, q]) => [andThen(k, layer as AnyLayer<R>, next), [p, q]],
          first,
        );
        return sameFunction(at(flat, Object.fromEntries(list.map(([, p], i) => [names[i], p]))), at(nested, params));
      }),
    ));

  it('of no layers does nothing', async () => {
    const empty = chain<R>(k, []);
    expect(empty.forward({}, x)).toEqual([x, {}]);
    expect(empty.backward({}, {}, dy)).toEqual([{}, dy]);
    expect(empty.residual(inputSlot('x', x))).toEqual({});
  });
});

describe('recompute', () => {
  it.each(Object.entries(layerTable))('of %s has the bits of the layer itself', async (_, { minimal }) => {
    const plain = pointOf(k, minimal);
    expect(await sameFunction(plain, { ...plain, layer: asTree(recompute(k, plain.layer)) })).toBe(true);
  });

  it('keeps its input and nothing else, and lets go of the rest at once', () => {
    const [layer, p] = kinds[2]!(1);
    k.scope(() => {
      const before = k.memory().live;
      const [y, residual] = recompute(k, layer).forward(p, x);
      expect(residual).toBe(x);
      expect(k.memory().live - before).toBe(bytesOf(y));
    });
  });
});

describe('fork and residualAdd', () => {
  it('fork gives both outputs and adds both input gradients', () =>
    fc.assert(
      fc.asyncProperty(step, step, async ([f, p], [g, q]) => {
        const both = fork(k, f, g);
        const [outputs, residual] = both.forward([p, q], x);
        const [, dx] = both.backward([p, q], residual, [dy, outputs[0]]);
        const [y, r] = f.forward(p, x);
        const [z, s] = g.forward(q, x);
        await expectSame(k, outputs[0], y);
        await expectSame(k, outputs[1], z);
        await expectSame(k, dx, k.add(f.backward(p, r, dy)[1], g.backward(q, s, outputs[0])[1]));
      }),
    ));

  it('residualAdd is x + f(x)', () =>
    fc.assert(
      fc.asyncProperty(step, async ([f, p]) => {
        const skip = residualAdd(k, f);
        const [y, residual] = skip.forward(p, x);
        await expectSame(k, y, k.add(x, f.forward(p, x)[0]));
        await expectSame(k, skip.backward(p, residual, dy)[1], k.add(dy, f.backward(p, residual, dy)[1]));
      }),
    ));

  it('dropBackward is residualAdd forward, and backward the derivative of x + c', () =>
    fc.assert(
      fc.asyncProperty(step, async ([f, p]) => {
        const dropped = dropBackward(k, f);
        const [y, residual] = dropped.forward(p, x);
        await expectSame(k, y, residualAdd(k, f).forward(p, x)[0]);
        expect(residual).toEqual({});
        const [g, dx] = dropped.backward(p, residual, dy);
        await expectSame(k, dx, dy);
        const zeros = mapTree(f.trainable(p), ({ shape }) => k.full(shape, 0));
        expect(await sameTree(k, g, zeros)).toBe(true);
        expect(await sameTree(k, dropped.gradient(p, residual, dy), zeros)).toBe(true);
      }),
    ));

  it('names a shared buffer once: both branches of a fork keep the same x', () => {
    const [f] = kinds[0]!(1);
    const [norm] = kinds[2]!(2);
    const slots = fork(k, f, norm).residual(inputSlot('x', x)) as unknown as readonly { x: { slot: string } }[];
    expect(slots.map((branch) => branch.x.slot)).toEqual(['x', 'x']);
  });
});

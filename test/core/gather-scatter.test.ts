/** Gathering and scattering along any axis: they undo each other, touch nothing else, and add in order. */
import { describe, expect, it } from 'vitest';
import { gatherAfterScatter, scatterAddsInOrder, scatterLeavesOthers } from '../../src/core/laws.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { expectSame, f32, f64, host, ints, normal, numbersOf } from '../support/tensors.ts';

/** A shape, one of its axes, distinct indices along it, and a seed. */
const place = fc
  .array(any.axis, { minLength: 1, maxLength: 3 })
  .chain((shape) => fc.nat(shape.length - 1).map((axis) => ({ shape, axis })))
  .chain(({ shape, axis }) =>
    fc.record({
      shape: fc.constant(shape),
      axis: fc.constant(axis),
      indices: any.indexSet(shape[axis]!),
      seed: any.seed,
    }),
  );

const withAxis = (shape: readonly number[], axis: number, length: number): readonly number[] =>
  shape.map((d, i) => (i === axis ? length : d));

const special = [0, -0, Number.MIN_VALUE, 1e-45, -1e-45, 3.4e38, Number.POSITIVE_INFINITY, Number.NaN];

describe.each([
  ['f32', f32],
  ['f64', f64],
])('%s', (_, k) => {
  it('gather(scatterAdd(0, I, source), I) = source', () =>
    fc.assert(
      fc.asyncProperty(place, async ({ shape, axis, indices, seed }) => {
        const source = normal(seed, withAxis(shape, axis, indices.length));
        source.data.set(special.slice(0, source.data.length));
        return gatherAfterScatter(k, shape, k.fromHost(ints([indices.length], indices)), axis, k.fromHost(source));
      }),
    ));

  it('leaves the other slices as they are, with their −0, NaN and subnormals', () =>
    fc.assert(
      fc.asyncProperty(place, async ({ shape, axis, indices, seed }) => {
        const x = normal(seed, shape);
        x.data.set(special.slice(0, x.data.length));
        const others = Array.from({ length: shape[axis]! }, (_, i) => i).filter((i) => !indices.includes(i));
        return scatterLeavesOthers(
          k,
          k.fromHost(x),
          k.fromHost(ints([indices.length], indices)),
          k.fromHost(ints([others.length], others)),
          axis,
          k.fromHost(normal(seed + 1, withAxis(shape, axis, indices.length))),
        );
      }),
    ));

  it('adds slice after slice, repeated indices too', () =>
    fc.assert(
      fc.asyncProperty(
        place,
        fc.array(fc.nat(6), { minLength: 1, maxLength: 6 }),
        async ({ shape, axis, seed }, draws) => {
          const indices = draws.map((i) => i % shape[axis]!);
          return scatterAddsInOrder(
            k,
            k.fromHost(normal(seed, shape)),
            k.fromHost(ints([indices.length], indices)),
            axis,
            k.fromHost(normal(seed + 1, withAxis(shape, axis, indices.length))),
          );
        },
      ),
    ));
});

describe('where the order shows', () => {
  it('f32 loses the small number to the large one that came before it', async () => {
    const add = (...values: number[]) =>
      numbersOf(
        f32,
        f32.scatterAdd(
          f32.fromHost(host([1], [0])),
          f32.fromHost(ints([3], [0, 0, 0])),
          0,
          f32.fromHost(host([3], values)),
        ),
      );
    expect(await add(1, 2 ** 24, -(2 ** 24))).toEqual([0]);
    expect(await add(2 ** 24, -(2 ** 24), 1)).toEqual([1]);
  });

  it('a repeated index loses data when it is gathered back', async () => {
    const twice = f32.fromHost(ints([2], [1, 1]));
    const back = f32.gather(f32.scatterAdd(f32.full([3], 0), twice, 0, f32.fromHost(host([2], [3, 5]))), twice, 0);
    expect(await numbersOf(f32, back)).toEqual([8, 8]);
  });

  it('scatters into the base and not over it', async () => {
    const base = f32.fromHost(host([2, 3], [1, 2, 3, 4, 5, 6]));
    const sum = f32.scatterAdd(base, f32.fromHost(ints([1], [2])), 1, f32.fromHost(host([2, 1], [10, 20])));
    await expectSame(f32, sum, f32.fromHost(host([2, 3], [1, 2, 13, 4, 5, 26])));
    await expectSame(f32, base, f32.fromHost(host([2, 3], [1, 2, 3, 4, 5, 6])));
  });
});

/**
 * Three forms of one map: (A) x W̃ᵀ, (B) x Wᵀ + s·x[:, I] δᵀ, (C) the LoRA whose A selects the columns and whose B is δ.
 * They sum in other orders: equal on values where nothing rounds, and else each within the bound of a matrix product.
 */
import { describe, expect, it } from 'vitest';
import { type HostPaca, pacaToLora } from '../../src/methods/paca-to-lora.ts';
import type { HostTensorOf } from '../../src/spec/tensor.ts';
import { gamma, ieee } from '../../src/spec/tolerance.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { expectWithin, f64, ints, type K, f32 as k, normal32, numbersOf, type R, whole } from '../support/tensors.ts';

interface Situation {
  readonly x: HostTensorOf<'f64'>;
  readonly weight: HostTensorOf<'f64'>;
  readonly delta: HostTensorOf<'f64'>;
  readonly indices: Int32Array;
  readonly scale: number;
}

const inF32 = ({ shape, data }: HostTensorOf<'f64'>): HostTensorOf<'f32'> => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from(data),
});

const toLora = ({ indices, delta, scale, weight }: Situation) =>
  pacaToLora({ indices, delta: inF32(delta), scale } satisfies HostPaca, weight.shape[1]!);

const forms: Readonly<Record<string, (k: K, s: Situation) => R>> = {
  A: (k, { x, weight, delta, indices, scale }) =>
    k.pacaLinear.forward(k.fromHost(x), k.fromHost(weight), null, [
      { indices: k.fromHost(ints([indices.length], indices)), delta: k.fromHost(delta), scale },
    ]),
  B: (k, { x, weight, delta, indices, scale }) => {
    const selected = k.gather(k.fromHost(x), k.fromHost(ints([indices.length], indices)), 1);
    return k.add(
      k.matmul(k.fromHost(x), k.fromHost(weight), 'nt'),
      k.mul(k.matmul(selected, k.fromHost(delta), 'nt'), scale),
    );
  },
  C: (k, s) => {
    const { a, b, scale } = toLora(s);
    const x = k.fromHost(s.x);
    return k.add(
      k.matmul(x, k.fromHost(s.weight), 'nt'),
      k.mul(k.matmul(k.matmul(x, k.fromHost(a), 'nt'), k.fromHost(b), 'nt'), scale),
    );
  },
};

type Draw = (seed: number, shape: readonly number[]) => HostTensorOf<'f64'>;

const situation = (draw: Draw, scales: readonly number[]): fc.Arbitrary<Situation> =>
  fc
    .record({ in: any.axis, out: any.axis, n: any.axis, seed: any.seed, scale: fc.constantFrom(...scales) })
    .chain((s) =>
      any.indexSet(s.in).map((indices) => ({
        indices,
        scale: s.scale,
        x: draw(s.seed, [s.n, s.in]),
        weight: draw(s.seed + 1, [s.out, s.in]),
        delta: draw(s.seed + 2, [s.out, indices.length]),
      })),
    );

/** |x|·(|W| + s·|δ| on the columns)ᵀ: the sum that every error is measured against. */
const magnitude = ({ x, weight, delta, ...rest }: Situation): R => {
  const abs = (t: HostTensorOf<'f64'>): HostTensorOf<'f64'> => ({ ...t, data: t.data.map(Math.abs) });
  return forms.A!(f64, { ...rest, x: abs(x), weight: abs(weight), delta: abs(delta) });
};

/**
 * A term takes at most K roundings in x·Wᵀ (one product, K − 1 sums), or K in x·Aᵀ and r in its product with B; and three
 * more: of s·δ and of W + s·δ in A, of s times the product and of the last sum in B and C, of s itself.
 */
const bound = async (s: Situation): Promise<number[]> => {
  const terms = s.weight.shape[1]! + s.indices.length;
  return (await numbersOf(f64, magnitude(s))).map((m) => gamma(terms + 3, ieee) * m + terms * ieee.underflow);
};

describe.each(Object.entries(forms))('form %s', (_, form) => {
  it('lies within the bound of a matrix product', () =>
    fc.assert(
      fc.asyncProperty(situation(normal32, [1, 0.5, 1.3, 4]), async (s) => {
        expectWithin(await numbersOf(k, form(k, s)), await numbersOf(f64, form(f64, s)), await bound(s));
      }),
    ));

  it('has the bits of form A where nothing rounds', () =>
    fc.assert(
      fc.asyncProperty(situation(whole, [0.25, 1, 2]), async (s) => {
        expect(await numbersOf(k, form(k, s))).toEqual(await numbersOf(k, forms.A!(k, s)));
      }),
    ));

  it('is form A to the last places of f64', () =>
    fc.assert(
      fc.asyncProperty(situation(normal32, [1, 0.5, 1.3]), async (s) => {
        const slack = (await bound(s)).map((b) => b * 2 ** -28);
        expectWithin(await numbersOf(f64, form(f64, s)), await numbersOf(f64, forms.A!(f64, s)), slack);
      }),
    ));
});

describe('pacaToLora', () => {
  it('is exact in its parameters: A has a single 1 in each row, at the column, B is δ, s is s', () =>
    fc.assert(
      fc.property(situation(normal32, [1, 1.3]), (s) => {
        const { a, b, scale } = toLora(s);
        const columns = s.weight.shape[1]!;
        expect(a.shape).toEqual([s.indices.length, columns]);
        s.indices.forEach((column, row) => {
          expect([...a.data.slice(row * columns, (row + 1) * columns)]).toEqual(
            Array.from({ length: columns }, (_, j) => (j === column ? 1 : 0)),
          );
        });
        expect(b).toEqual(inF32(s.delta));
        expect(scale).toBe(s.scale);
      }),
    ));

  it('loses nothing: the selector and δ give the indices and δ back', () =>
    fc.assert(
      fc.property(situation(normal32, [1]), (s) => {
        const { a } = toLora(s);
        const columns = s.weight.shape[1]!;
        const read = Array.from(s.indices, (_, row) => a.data.slice(row * columns, (row + 1) * columns).indexOf(1));
        expect(read).toEqual([...s.indices]);
      }),
    ));
});

/**
 * The build with fused multiply-adds: within the bound that its formula carries, at every shape. Where the engine lacks
 * relaxed SIMD, the backend says so, and that is all there is to test.
 */
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, describe, expect, it } from 'vitest';
import { resolveBackend } from '../../backends/resolve.ts';
import { features } from '../../backends/wasm/module.ts';
import { errorBounds } from '../../src/core/error-bound.ts';
import { type Kernels, kernels } from '../../src/core/fused.ts';
import type { Layout } from '../../src/core/ops.ts';
import type { HostTensor, Shape, Spec } from '../../src/spec/tensor.ts';
import { ieee } from '../../src/spec/tolerance.ts';
import { fc } from '../support/fast-check.ts';
import { expectWithin, f64, normal32, numbersOf } from '../support/tensors.ts';

const opened = await resolveBackend('wasm-relaxed', { threads: 1 });
const bounded = kernels(errorBounds(f64, ieee));

afterAll(() => (E.isRight(opened) ? opened.right.dispose() : undefined));

type Computation = <T extends Spec>(k: Kernels<T>, ...inputs: readonly T[]) => T;

/** Fails unless the relaxed build lies within the bound of the f64 value; passes where there is no such build. */
const lies = async (inputs: readonly HostTensor[], compute: Computation): Promise<void> => {
  if (E.isLeft(opened)) return;
  const { kernels: k } = opened.right;
  const result = k.scope(() => compute(k, ...inputs.map(k.fromHost)));
  const { value, error } = compute(bounded, ...inputs.map(bounded.fromHost));
  expectWithin(await numbersOf(k, result), await numbersOf(f64, value), await numbersOf(f64, error));
  k.donate(result);
};

/** On either side of the tiles: 2, 4 and 6 rows, 8 and 16 columns. */
const length = fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(95, 96, 97, 102));
const layout: fc.Arbitrary<Layout> = fc.constantFrom('nn', 'nt', 'tn');

describe('wasm-relaxed', () => {
  it('is there if, and only if, the engine has relaxed SIMD', () => {
    expect(E.isRight(opened)).toBe(features().relaxedSimd);
    if (E.isLeft(opened)) expect(opened.left).toMatchObject({ came: 'an engine without relaxed SIMD' });
  });

  it('multiplies within the bound', () =>
    fc.assert(
      fc.asyncProperty(layout, length, length, fc.constantFrom(1, 2, 7, 300), (l, m, n, k) => {
        const [a, b]: readonly [Shape, Shape] = [l === 'tn' ? [k, m] : [m, k], l === 'nt' ? [n, k] : [k, n]];
        return lies([normal32(m, a), normal32(n, b)], (o, x, y) => o.matmul(x!, y!, l));
      }),
      { numRuns: 100 },
    ));

  it('attends within the bound', () =>
    fc.assert(
      fc.asyncProperty(length, fc.constantFrom(1, 2), fc.constantFrom(2, 8, 17), (tokens, groups, width) => {
        const [q, kv]: readonly [Shape, Shape] = [
          [1, tokens, 2, width],
          [1, tokens, groups, width],
        ];
        const config = { scale: 1 / Math.sqrt(width), causal: true, window: null };
        return lies([normal32(1, q), normal32(2, kv), normal32(3, kv)], (o, x, key, value) =>
          o.attention.forward(x!, key!, value!, config),
        );
      }),
      { numRuns: 20 },
    ));
});

/** KL of two models' distributions: its laws, a value worked out by hand, and the mean over the places that count. */
import { describe, expect, it } from 'vitest';
import { referenceF64 } from '../../backends/reference/backend.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { initialWeights } from '../../src/models/architecture.ts';
import { buildModel } from '../../src/models/model.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { divergenceOfLogits, meanDivergence } from '../../src/train/divergence.ts';
import type { HostBatch } from '../../src/train/host-batch.ts';
import { fc } from '../support/fast-check.ts';
import { batchOf, full, tinyMlp } from './tiny.ts';

const logit = fc.double({ min: -50, max: 50, noNaN: true });
const pairs = fc.array(fc.tuple(logit, logit), { minLength: 1, maxLength: 20 });
const part = (all: readonly (readonly [number, number])[], i: 0 | 1) => Float64Array.from(all, (pair) => pair[i]);

/** From the probabilities, by the engine's own functions. */
const direct = (a: Float64Array, b: Float64Array): number => {
  const softmax = (x: Float64Array): Float64Array => {
    const total = x.reduce((sum, value) => sum + Math.exp(value), 0);
    return x.map((value) => Math.exp(value) / total);
  };
  const [p, q] = [softmax(a), softmax(b)];
  return p.reduce((sum, value, i) => sum + value * Math.log(value / q[i]!), 0);
};

describe('divergenceOfLogits', () => {
  it('of a fair coin from one of three to one is ln 2 − ln 3 / 2', () => {
    const value = divergenceOfLogits(Float64Array.of(7, 7), Float64Array.of(Math.log(3), 0));
    expect(value).toBeCloseTo(Math.log(2) - Math.log(3) / 2, 14);
  });

  it('is the sum over the probabilities', () =>
    fc.assert(
      fc.property(pairs, (all) => {
        const [a, b] = [part(all, 0), part(all, 1)];
        expect(divergenceOfLogits(a, b)).toBeCloseTo(direct(a, b), 10);
      }),
    ));

  it('is not negative', () =>
    fc.assert(
      fc.property(pairs, (all) => {
        expect(divergenceOfLogits(part(all, 0), part(all, 1))).toBeGreaterThan(-1e-13);
      }),
    ));

  it('is 0 for logits that differ by a constant, however large they are', () =>
    fc.assert(
      fc.property(pairs, fc.integer({ min: -1000, max: 1000 }), (all, shift) => {
        const a = part(all, 0);
        expect(
          Math.abs(
            divergenceOfLogits(
              a,
              a.map((x) => x + shift),
            ),
          ),
        ).toBeLessThan(1e-11);
      }),
    ));
});

describe('meanDivergence', () => {
  const k = referenceF64().kernels;
  const [p, q] = [1, 2].map((seed) => {
    const model = orThrow(buildModel(k, tinyMlp, initialWeights(tinyMlp, rngFromSeed(seed)), full));
    return { model, params: model.params };
  }) as [Weighted, Weighted];
  type Weighted = Parameters<typeof meanDivergence<ReturnType<typeof k.fromHost>>>[1];

  const batch = batchOf('held out', 6);
  const logits = async ({ model, params }: Weighted): Promise<Float64Array> => {
    const [y] = model.layer({ kind: 'evaluate' }).forward(params, k.fromHost(batch.inputs));
    return (await k.toHost(y)).data as Float64Array;
  };

  it('is the mean over the places whose target counts, over all batches', async () => {
    const targets = { dtype: 'i32', shape: [6], data: Int32Array.of(0, -100, 2, -100, 1, 0) } as const;
    const masked: HostBatch = { ...batch, targets, count: 4 };
    const [a, b] = [await logits(p), await logits(q)];
    const row = (i: number): number => direct(a.slice(3 * i, 3 * i + 3), b.slice(3 * i, 3 * i + 3));
    const [all, some] = [
      [0, 1, 2, 3, 4, 5],
      [0, 2, 4, 5],
    ].map((rows) => rows.reduce((sum, i) => sum + row(i), 0));
    expect(await meanDivergence(k, p, q, [batch])).toBeCloseTo(all! / 6, 12);
    expect(await meanDivergence(k, p, q, [masked])).toBeCloseTo(some! / 4, 12);
    expect(await meanDivergence(k, p, q, [batch, masked])).toBeCloseTo((all! + some!) / 10, 12);
  });

  it('of a model from itself is 0, and nothing is kept', async () => {
    const { live } = k.memory();
    expect(Math.abs(await meanDivergence(k, p, p, [batch]))).toBeLessThan(1e-15);
    expect(k.memory().live).toBe(live);
  });
});

/** Selection end to end on a tiny model: what is picked, what it cost, and that it leaves nothing behind. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import { andThen } from '../../src/core/layer.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { narrowHost } from '../../src/io/narrow-host.ts';
import { widenHost } from '../../src/io/widen-host.ts';
import { crossEntropy, type Loss } from '../../src/layers/losses.ts';
import { initialWeights, sitesOf, type Weights } from '../../src/models/architecture.ts';
import { type ColumnStatistics, findSelector, type Selector, selectors } from '../../src/select/selector.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensorOf } from '../../src/spec/tensor.ts';
import { toDevice } from '../../src/train/host-batch.ts';
import { type SelectionPlan, selectColumns } from '../../src/train/select.ts';
import { batchOf, clock, full, problemOf, tinyMlp } from './tiny.ts';

const batches = [batchOf('calibration 0', 6), batchOf('calibration 1', 6)];

const planOf = (name: string, more: Partial<SelectionPlan<ReferenceTensor, unknown>> = {}) => {
  const k = referenceF32().kernels;
  const plan: SelectionPlan<ReferenceTensor, unknown> = {
    kernels: k,
    architecture: tinyMlp,
    weights: initialWeights(tinyMlp, rngFromSeed(11)),
    sites: sitesOf(tinyMlp),
    selector: orThrow(findSelector(selectors, name)),
    rank: 2,
    seed: 4,
    loss: crossEntropy(k) as Loss<ReferenceTensor, unknown>,
    batches,
    clock,
    ...more,
  };
  return plan;
};

/** ‖·[:, j]‖₂ in f64, in any order: it is only used to rank. */
const norms = (values: ArrayLike<number>, columns: number): readonly number[] =>
  Array.from({ length: columns }, (_, j) =>
    Math.sqrt(Array.from(values).reduce((sum, v, i) => (i % columns === j ? sum + v * v : sum), 0)),
  );

const top = (scores: readonly number[], rank: number): readonly number[] =>
  [...scores.keys()]
    .sort((a, b) => scores[b]! - scores[a]!)
    .slice(0, rank)
    .sort((a, b) => a - b);

/** The weights in bf16, and the same numbers in f32. */
const narrowed = (): readonly [narrow: Weights, wide: Weights] => {
  const all = Object.entries(initialWeights(tinyMlp, rngFromSeed(11)));
  const narrow = all.map(
    ([name, tensor]) => [name, orThrow(narrowHost(tensor as HostTensorOf<'f32'>, 'bf16', name)).tensor] as const,
  );
  return [
    Object.fromEntries(narrow),
    Object.fromEntries(narrow.map(([name, tensor]) => [name, orThrow(widenHost(tensor, name))])),
  ];
};

describe('selectColumns', () => {
  it.each(Object.keys(selectors))(
    '%s: of weights in 16 bits the same columns as of their numbers in f32',
    async (name) => {
      const [narrow, wide] = await Promise.all(narrowed().map((weights) => selectColumns(planOf(name, { weights }))));
      expect(orThrow(narrow!).indices).toEqual(orThrow(wide!).indices);
    },
  );

  it.each(Object.keys(selectors))('%s: sorted, distinct, reproducible, and nothing stays in memory', async (name) => {
    const plan = planOf(name);
    const before = plan.kernels.memory().live;
    const first = orThrow(await selectColumns(plan));
    const second = orThrow(await selectColumns(plan));
    expect(second.indices).toEqual(first.indices);
    expect(plan.kernels.memory().live).toBe(before);
    for (const indices of Object.values(first.indices)) {
      expect([...indices]).toEqual([...new Set(indices)].sort((a, b) => a - b));
      expect(indices.length).toBe(2);
    }
    expect(first.cost.batches).toBe(name.startsWith('gradient') ? 2 : 0);
    expect(first.cost.ms).toBeGreaterThan(0);
    expect(first.cost.peakBytes > 0).toBe(name !== 'random');
  });

  it('picks the largest columns of the weight', async () => {
    const plan = planOf('weight-norm');
    const { indices } = orThrow(await selectColumns(plan));
    const weight = plan.weights['layers.0.weight']!.data as Float32Array;
    expect([...indices['layers.0']!]).toEqual(top(norms(weight, 7), 2));
  });

  it('picks the largest columns of the summed gradient, and of the summed norms', async () => {
    const plan = planOf('gradient');
    const { kernels: k } = plan;
    const { model, loss } = problemOf(k, tinyMlp, full);
    const whole = andThen(k, model.layer({ kind: 'evaluate' }), loss);
    const gradients: Float32Array[] = [];
    for (const host of batches) {
      const { inputs, targets, count } = toDevice(k, host);
      const p = [model.params, { targets, denominator: count }] as const;
      const [g] = whole.gradient(p, whole.forward(p, inputs)[1], k.full([], 1));
      const { weight } = (g as unknown as Record<string, { weight: ReferenceTensor }>)['layers.0']!;
      gradients.push((await k.toHost(weight)).data as Float32Array);
    }
    const sum = gradients[0]!.map((x, i) => x + gradients[1]![i]!);
    const { indices } = orThrow(await selectColumns(plan));
    expect([...indices['layers.0']!]).toEqual(top(norms(sum, 7), 2));
    const [a, b] = gradients.map((g) => norms(g, 7));
    const ofNorms = orThrow(await selectColumns(planOf('gradient-sum-of-norms'))).indices;
    expect([...ofNorms['layers.0']!]).toEqual(
      top(
        a!.map((x, i) => x + b![i]!),
        2,
      ),
    );
  });

  it('hands a selector the statistics of a direct computation, at every place', async () => {
    const seen: Record<string, ColumnStatistics> = {};
    const selector: Selector = {
      needs: ['weightNorm', 'gradientNormOfSum', 'gradientSumOfNorms'],
      select: (input) => {
        seen[input.path] = input.statistics;
        return Int32Array.of(0, 1);
      },
    };
    const { kernels: k } = referenceF64();
    const loss = crossEntropy(k) as Loss<ReferenceTensor, unknown>;
    const plan = { ...planOf('gradient'), kernels: k, loss, selector };
    orThrow(await selectColumns(plan));
    const { model } = problemOf(k, tinyMlp, full);
    const whole = andThen(k, model.layer({ kind: 'evaluate' }), loss);
    const gradients = batches.map((host) => {
      const { inputs, targets, count } = toDevice(k, host);
      const p = [model.params, { targets, denominator: count }] as const;
      return whole.gradient(p, whole.forward(p, inputs)[1], k.full([], 1))[0] as unknown as Record<
        string,
        { weight: ReferenceTensor }
      >;
    });
    for (const [path, columns] of [
      ['layers.0', 7],
      ['layers.1', 5],
    ] as const) {
      const [a, b] = gradients.map((g) => [...(g[path]!.weight.data as Float64Array)]) as [number[], number[]];
      const expected = {
        weightNorm: norms(plan.weights[`${path}.weight`]!.data as Float32Array, columns),
        gradientNormOfSum: norms(
          a.map((x, i) => x + b[i]!),
          columns,
        ),
        gradientSumOfNorms: norms(a, columns).map((x, j) => x + norms(b, columns)[j]!),
      };
      for (const [name, values] of Object.entries(expected)) {
        const got = seen[path]![name as keyof typeof expected]!;
        expect(got.length).toBe(columns);
        for (const [j, value] of values.entries()) expect(got[j]! / value, `${path} ${name} ${j}`).toBeCloseTo(1, 12);
      }
    }
  });

  it('draws its lots from its own seed and the place alone: data, weights and other places do not matter', async () => {
    const { indices } = orThrow(await selectColumns(planOf('random')));
    const other = planOf('random', {
      weights: initialWeights(tinyMlp, rngFromSeed(12)),
      sites: sitesOf(tinyMlp).slice(1),
      batches: [],
    });
    const again = orThrow(await selectColumns(other)).indices;
    expect(again).toEqual({ 'layers.1': indices['layers.1'] });
  });

  it('costs full gradients and activations while a gradient selection lasts', async () => {
    const cost = async (name: string) => orThrow(await selectColumns(planOf(name))).cost.peakBytes;
    expect(await cost('gradient')).toBeGreaterThan(2 * (await cost('weight-norm')));
  });

  it('differs by seed and by layer', async () => {
    const wide = { rank: 3 };
    const at = async (seed: number) => orThrow(await selectColumns(planOf('random', { ...wide, seed }))).indices;
    const picked = await Promise.all([0, 1, 2, 3].map(at));
    expect(new Set(picked.map((p) => [...p['layers.0']!].join())).size).toBeGreaterThan(1);
    expect(picked.some((p) => [...p['layers.0']!].join() !== [...p['layers.1']!].join())).toBe(true);
  });

  it('refuses a rank above the columns, and a gradient selection without batches', async () => {
    const wide = planOf('gradient', { rank: 6 });
    const { live } = wide.kernels.memory();
    const tooMany = await selectColumns(wide);
    expect(wide.kernels.memory().live).toBe(live);
    expect(E.isLeft(tooMany) && tooMany.left).toMatchObject({ tag: 'ConfigError', came: '6', where: 'layers.1' });
    const none = planOf('gradient', { batches: [] });
    const blind = await selectColumns(none);
    expect(none.kernels.memory().live).toBe(0);
    expect(E.isLeft(blind) && blind.left.expected).toContain('calibration batch');
  });
});

/** What is measured along a run is what the theorem speaks of: exact on a bowl, and a wrong gradient is noticed. */
import { describe, expect, it } from 'vitest';
import { rngFromSeed } from '../../src/core/rng.ts';
import { leaves, mapTree, withLeaves } from '../../src/core/tree.ts';
import type { Loss } from '../../src/layers/losses.ts';
import { crossEntropy, meanSquaredError } from '../../src/layers/losses.ts';
import { initialWeights } from '../../src/models/architecture.ts';
import { mlp } from '../../src/models/mlp.ts';
import { buildModel } from '../../src/models/model.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { gradientBound, type HostTree, measureStep, type StepMeasure } from '../../src/train/convergence.ts';
import { type HostBatch, toDevice } from '../../src/train/host-batch.ts';
import { initialState, type Problem, trainableOf, trainStep } from '../../src/train/step.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { f64 as k, labels, normal, type R } from '../support/tensors.ts';

const ROWS = 4;

type AnyLoss = Loss<R, unknown>;

const problemOf = (
  seed: number,
  widths: readonly number[],
  loss: AnyLoss,
  learningRate: number,
): Problem<R, unknown> => {
  const architecture = mlp({ widths, activation: 'tanh' });
  const model = buildModel(k, architecture, initialWeights(architecture, rngFromSeed(seed)), () => ({
    method: 'paca',
    adapters: [{ indices: Int32Array.of(0, 2), alpha: 3 }],
  }));
  return { kernels: k, model: orThrow(model), loss, optimizer: sgd(k, { learningRate }), seed };
};

const trainedOf = async (
  problem: Problem<R, unknown>,
  params: Parameters<typeof trainableOf>[1],
): Promise<HostTree> => {
  const trained = trainableOf(problem, params as never);
  return withLeaves(trained, await Promise.all(leaves(trained).map(k.toHost)));
};

const measured = async (
  problem: Problem<R, unknown>,
  batch: readonly HostBatch[],
  steps = 3,
): Promise<StepMeasure[]> => {
  const measures: StepMeasure[] = [];
  let state = initialState(problem);
  for (let step = 0; step < steps; step++) {
    const before = await trainedOf(problem, state.params);
    [state] = trainStep(
      problem,
      state,
      batch.map((b) => toDevice(k, b)),
    );
    measures.push(await measureStep(problem, step, batch, before, await trainedOf(problem, state.params)));
  }
  return measures;
};

const regression = (seed: number): readonly HostBatch[] =>
  [0, 1].map((i) => ({
    inputs: normal(seed + i, [ROWS, 5]),
    targets: normal(seed + 10 + i, [ROWS, 3]),
    count: ROWS * 3,
  }));

const squared = meanSquaredError(k) as AnyLoss;

describe('measureStep', () => {
  it('on a bowl has its steepness, with which the inequality is an equality', () =>
    fc.assert(
      fc.asyncProperty(any.seed, async (seed) => {
        const batch = regression(seed);
        const chosen = batch.flatMap(({ inputs }) =>
          Array.from(inputs.data, Number).filter((_, i) => i % 5 === 0 || i % 5 === 2),
        );
        const steepest = (2 / (2 * ROWS * 3)) * 1.5 ** 2 * chosen.reduce((sum, x) => sum + x * x, 0);
        for (const m of await measured(problemOf(seed, [5, 3], squared, 0.05), batch)) {
          expect(m.holds).toBe(true);
          expect(m.beta).toBeLessThanOrEqual(steepest * (1 + 1e-9));
          expect(m.loss - m.descent + (m.beta / 2) * m.squaredMove).toBeCloseTo(m.after, 10);
          expect(m.descent / m.squaredGradient).toBeCloseTo(0.05, 10);
          expect(gradientBound(m)).toBeGreaterThanOrEqual(m.squaredGradient * (1 - 1e-9));
        }
      }),
      { numRuns: 10 },
    ));

  it('holds on a tanh network under cross-entropy, at a rate that is too large too', () =>
    fc.assert(
      fc.asyncProperty(any.seed, fc.constantFrom(0.1, 3), async (seed, rate) => {
        const batch: HostBatch = {
          inputs: normal(seed, [ROWS, 5]),
          targets: labels(seed + 1, [ROWS], 3),
          count: ROWS,
        };
        const problem = problemOf(seed, [5, 7, 3], crossEntropy(k) as AnyLoss, rate);
        expect((await measured(problem, [batch])).map(({ holds }) => holds)).toEqual([true, true, true]);
      }),
      { numRuns: 10 },
    ));

  it.each([2, 0.5, -1])('notices a gradient that is %d times what it should be', async (times) => {
    const wrong: AnyLoss = {
      ...squared,
      backward: (p, residual, dy) => {
        const [none, dx] = squared.backward(p, residual, dy);
        return [none, k.mul(dx, times)];
      },
    };
    const measures = await measured(problemOf(3, [5, 3], wrong, 0.01), regression(3));
    expect(measures.map(({ holds }) => holds)).toEqual([false, false, false]);
  });

  it('of a step that does not move holds, and bounds nothing', async () => {
    const problem = problemOf(3, [5, 3], squared, 0.1);
    const here = await trainedOf(
      problem,
      mapTree(problem.model.params, (leaf) => leaf),
    );
    const m = await measureStep(problem, 0, regression(3), here, here);
    expect(m).toMatchObject({ beta: 0, squaredMove: 0, holds: true });
    expect(gradientBound(m)).toBe(null);
  });
});

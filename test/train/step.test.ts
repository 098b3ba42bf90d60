/** One step: what it computes, and that donation changes nothing but memory. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { andThen } from '../../src/core/layer.ts';
import { leaves } from '../../src/core/tree.ts';
import { mlp } from '../../src/models/mlp.ts';
import { sgd } from '../../src/optim/sgd.ts';
import { toDevice } from '../../src/train/host-batch.ts';
import { initialState, trainableOf, trainStep } from '../../src/train/step.ts';
import { batchAt, batchOf, full, hostTree, paca, problemOf, snapshot, tinyMlp } from './tiny.ts';

describe('trainStep', () => {
  it.each([
    ['full', full],
    ['paca', paca],
  ] as const)('has the same bits with donation and without (%s)', async (_, treatment) => {
    const k = referenceF32().kernels;
    const problem = problemOf(k, tinyMlp, treatment);
    const other = problemOf(k, tinyMlp, treatment);
    let kept = initialState(problem);
    let donated = initialState(other);
    for (let step = 0; step < 4; step++) {
      const batch = batchAt(step).map((b) => toDevice(k, b));
      [kept] = trainStep(problem, kept, batch);
      [donated] = trainStep(other, donated, batch, { donate: true });
    }
    expect(await snapshot(k, donated)).toEqual(await snapshot(k, kept));
  });

  it('makes a donated state unusable, and leaves the frozen weights alive', () => {
    const k = referenceF32().kernels;
    const problem = problemOf(k);
    const before = initialState(problem);
    const batch = batchAt(0).map((b) => toDevice(k, b));
    const [after] = trainStep(problem, before, batch, { donate: true });
    expect(() => trainStep(problem, before, batch)).toThrow(/donated/);
    expect(() => trainStep(problem, after, batch)).not.toThrow();
  });

  it('keeps no memory but the state, over many steps', () => {
    const k = referenceF32().kernels;
    const problem = problemOf(k);
    const live: number[] = [];
    let state = initialState(problem);
    for (let step = 0; step < 20; step++) {
      state = k.scope(() => {
        const [next] = trainStep(
          problem,
          state,
          batchAt(step).map((b) => toDevice(k, b)),
          { donate: true },
        );
        return next;
      });
      live.push(k.memory().live);
    }
    expect(new Set(live).size).toBe(1);
  });

  it('adds the shares of the micro-batches in order', async () => {
    const k = referenceF32().kernels;
    const architecture = mlp({ widths: [7, 5, 3], activation: 'tanh' });
    const problem = problemOf(k, architecture, paca, sgd(k, { learningRate: 1 }));
    const state = initialState(problem);
    const whole = andThen(k, problem.model.layer({ kind: 'evaluate' }), problem.loss);
    const gradients = batchAt(0).map((host) => {
      const { inputs, targets } = toDevice(k, host);
      const p = [state.params, { targets, denominator: 7 }] as const;
      return leaves(whole.gradient(p, whole.forward(p, inputs)[1], k.full([], 1))[0]);
    });
    const expected = leaves(trainableOf(problem, state.params)).map((p, i) =>
      k.add(p, k.mul(k.add(gradients[0]![i]!, gradients[1]![i]!), -1)),
    );
    const [next] = trainStep(
      problem,
      state,
      batchAt(0).map((b) => toDevice(k, b)),
    );
    const got = leaves(trainableOf(problem, next.params));
    for (const [i, e] of expected.entries()) expect(await k.toHost(got[i]!)).toEqual(await k.toHost(e));
  });

  it('is the step of the undivided batch, up to rounding', async () => {
    const k = referenceF32().kernels;
    const architecture = mlp({ widths: [7, 5, 3], activation: 'tanh' });
    const problem = problemOf(k, architecture, full, sgd(k, { learningRate: 0.1 }));
    const one = batchOf('one', 6);
    const part = (from: number, to: number) => ({
      inputs: { ...one.inputs, shape: [to - from, 7], data: (one.inputs.data as Float32Array).slice(from * 7, to * 7) },
      targets: { ...one.targets, shape: [to - from], data: (one.targets.data as Int32Array).slice(from, to) },
      count: to - from,
    });
    const run = async (batches: readonly ReturnType<typeof part>[]) => {
      const [next, { loss }] = trainStep(
        problem,
        initialState(problem),
        batches.map((b) => toDevice(k, b as never)),
      );
      return { params: await hostTree(k, next.params), loss: Number((await k.toHost(loss)).data[0]) };
    };
    const [undivided, divided] = [await run([part(0, 6)]), await run([part(0, 4), part(4, 5), part(5, 6)])];
    expect(divided.loss).toBeCloseTo(undivided.loss, 5);
    for (const [path, t] of Object.entries(undivided.params)) {
      const other = divided.params[path]!.data as Float32Array;
      (t.data as Float32Array).forEach((x, i) => {
        expect(Math.abs(x - other[i]!)).toBeLessThan(1e-6);
      });
    }
  });

  it('draws dropout from seed, step and micro-batch alone', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(1000), fc.nat(50), async (seed, step) => {
        const k = referenceF32().kernels;
        const lossAt = async (at: number, with_: number): Promise<number> => {
          const problem = { ...problemOf(k), seed: with_ };
          const batch = [toDevice(k, batchOf('same', 5))];
          const [, { loss }] = trainStep(problem, { ...initialState(problem), step: at }, batch);
          return Number((await k.toHost(loss)).data[0]);
        };
        expect(await lossAt(step, seed)).toBe(await lossAt(step, seed));
        const others = [await lossAt(step + 1, seed), await lossAt(step + 2, seed), await lossAt(step, seed + 1)];
        expect(others.some((loss) => loss !== others[0])).toBe(true);
      }),
      { numRuns: 10, seed: 1 },
    );
  });
});

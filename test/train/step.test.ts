/** One step: what it computes, and that donation changes nothing but memory. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import { resolveBackend } from '../../backends/resolve.ts';
import { andThen } from '../../src/core/layer.ts';
import { rngFromSeed, splitRng } from '../../src/core/rng.ts';
import { leaves, mapTree, type Tree } from '../../src/core/tree.ts';
import { mlp } from '../../src/models/mlp.ts';
import { globalNorm } from '../../src/optim/clip.ts';
import { sgd } from '../../src/optim/sgd.ts';
import type { Transform } from '../../src/optim/transform.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { bytesOf, type Spec } from '../../src/spec/tensor.ts';
import { toDevice } from '../../src/train/host-batch.ts';
import { initialState, trainableOf, trainStep } from '../../src/train/step.ts';
import { batchAt, batchOf, full, hostTree, paca, problemOf, snapshot, tinyMlp } from './tiny.ts';

const bytesOfAll = (tree: Tree<Spec>): number => leaves(tree).reduce((sum, leaf) => sum + bytesOf(leaf), 0);

describe('trainStep', () => {
  it.each([
    ['full', full],
    ['paca', paca],
  ] as const)('has the same bits with donation and without, on every exact backend (%s)', async (_, treatment) => {
    const states: unknown[] = [];
    for (const name of ['reference', 'wasm']) {
      const { kernels: k, dispose } = orThrow(await resolveBackend(name));
      const problem = problemOf(k, tinyMlp, treatment);
      const other = problemOf(k, tinyMlp, treatment);
      let kept = initialState(problem);
      let donated = initialState(other);
      for (let step = 0; step < 4; step++) {
        const batch = batchAt(step).map((b) => toDevice(k, b));
        [kept] = trainStep(problem, kept, batch);
        [donated] = trainStep(other, donated, batch, { donate: true });
      }
      states.push(await snapshot(k, kept), await snapshot(k, donated));
      await dispose();
    }
    for (const state of states) expect(state).toEqual(states[0]);
  });

  it('makes a donated state unusable, and leaves the frozen weights alive', () => {
    const k = referenceF32().kernels;
    const problem = problemOf(k);
    const before = initialState(problem);
    const batch = batchAt(0).map((b) => toDevice(k, b));
    const [after] = trainStep(problem, before, batch, { donate: true });
    expect(() => trainStep(problem, before, batch)).toThrow(/donated/);
    expect(() => trainStep(problem, after, batch)).not.toThrow();
    for (const leaf of leaves(trainableOf(problem, before.params))) expect(() => k.neg(leaf)).toThrow(/donated/);
  });

  it('gives a donated state up tensor by tensor, so that two states are never held at once', () => {
    const k = referenceF32().kernels;
    const architecture = mlp({ widths: [64, 64, 64, 64, 64, 3], activation: 'tanh' });
    const problem = problemOf(k, architecture, full);
    const batch = [toDevice(k, batchOf('one', 1, architecture))];
    const peakOf = (donate: boolean): number => {
      const state = initialState(problem, { donate: false });
      k.resetPeak();
      const before = k.memory().live;
      const [next] = k.scope(() => trainStep(problem, state, batch, { donate }));
      const peak = k.memory().peak - before;
      k.donate([trainableOf(problem, next.params), next.optimizer.tensors]);
      if (!donate) k.donate([trainableOf(problem, state.params), state.optimizer.tensors]);
      return peak;
    };
    const [kept, donated] = [peakOf(false), peakOf(true)];
    const trained = bytesOfAll(trainableOf(problem, problem.model.params));
    const tensor = 64 * 64 * 4;
    // Gradients, then deltas, and the temporaries of one tensor. Undonated, both, and the parts of the next state.
    expect(donated).toBeLessThan(trained + 16 * tensor);
    expect(kept).toBeGreaterThan(donated + trained);
  });

  it("takes the model's own parameters where they are given up, and leaves them else", () => {
    const k = referenceF32().kernels;
    const problem = problemOf(k, tinyMlp, full);
    const live = k.memory().live;
    const copied = initialState(problem);
    const own = bytesOfAll(trainableOf(problem, problem.model.params));
    expect(k.memory().live - live).toBe(3 * own);
    k.donate([trainableOf(problem, copied.params), copied.optimizer.tensors]);
    const taken = initialState(problem, { donate: true });
    expect(k.memory().live - live).toBe(2 * own);
    trainStep(problem, taken, [toDevice(k, batchOf('one', 2))], { donate: true });
    expect(() => initialState(problem)).toThrow(/donated/);
  });

  it('keeps what a transform hands on in its next state, and frees what it forgot to release', () => {
    const k = referenceF32().kernels;
    const forgetful: Transform<ReferenceTensor> = {
      init: (params) => ({
        tensors: { constant: k.full([5], 1), copy: mapTree(params, (p) => k.neg(p)) },
        numbers: [],
      }),
      update: (gradients, { tensors, numbers }) => {
        const { constant } = tensors as { constant: ReferenceTensor };
        return [gradients, { tensors: { constant, copy: mapTree(gradients, (g) => k.neg(g)) }, numbers }];
      },
      stateSpec: (params) => params,
    };
    const problem = problemOf(k, tinyMlp, paca, forgetful);
    const batch = [toDevice(k, batchOf('one', 2))];
    let state = initialState(problem);
    const live = k.memory().live;
    for (let step = 0; step < 3; step++) state = k.scope(() => trainStep(problem, state, batch, { donate: true })[0]);
    expect(k.memory().live).toBe(live);
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

  it('adds the shares of unequal micro-batches in order, each with dropout of its own', async () => {
    const k = referenceF32().kernels;
    const problem = problemOf(k, tinyMlp, paca, sgd(k, { learningRate: 1 }));
    const state = { ...initialState(problem), step: 4 };
    const [same, other] = [batchOf('same', 5), batchOf('other', 2)];
    const batch = [same, same, other].map((b) => toDevice(k, b));
    const shares = batch.map(({ inputs, targets }, i) => {
      const rng = splitRng(rngFromSeed(problem.seed), `step 4 micro ${i}`);
      const whole = andThen(k, problem.model.layer({ kind: 'train', rng }), problem.loss);
      const p = [state.params, { targets, denominator: 12 }] as const;
      const [loss, kept] = whole.forward(p, inputs);
      return [loss, ...leaves(whole.gradient(p, kept, k.full([], 1))[0])];
    });
    const [loss, ...gradient] = shares[0]!.map((x, leaf) => k.add(k.add(x, shares[1]![leaf]!), shares[2]![leaf]!)) as [
      ReferenceTensor,
      ...ReferenceTensor[],
    ];
    const params = leaves(trainableOf(problem, state.params)).map((p, i) => k.add(p, k.mul(gradient[i]!, -1)));

    const [next, metrics] = trainStep(problem, state, batch);
    const got = [metrics.loss, metrics.gradientNorm, ...leaves(trainableOf(problem, next.params))];
    const expected = [loss, globalNorm(k, gradient), ...params];
    expect(await hostTree(k, got)).toEqual(await hostTree(k, expected));
    expect(await k.toHost(shares[0]![0]!)).not.toEqual(await k.toHost(shares[1]![0]!));
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

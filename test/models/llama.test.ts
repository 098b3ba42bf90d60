/** Training a model of the LLaMA family: the same bits on every exact backend, and what is kept is what was accounted. */
import { describe, expect, it } from 'vitest';
import { resolveBackend } from '../../backends/resolve.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { rngFromSeed, splitRng } from '../../src/core/rng.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import { freshLora } from '../../src/methods/lora.ts';
import type { Site } from '../../src/methods/operation.ts';
import { droppedBranches, evaluate, initialWeights } from '../../src/models/architecture.ts';
import type { LlamaConfig } from '../../src/models/llama/config.ts';
import { type LlamaOptions, llama } from '../../src/models/llama/llama.ts';
import { buildModel } from '../../src/models/model.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import { account, measure, trainableCount } from '../../src/train/account.ts';
import { type HostBatch, toDevice } from '../../src/train/host-batch.ts';
import { initialState, type Problem, trainStep } from '../../src/train/step.ts';
import { labels } from '../support/tensors.ts';
import { tinyLlama } from '../support/tiny-llama.ts';
import { snapshot } from '../train/tiny.ts';

const ROWS = 2;
const TOKENS = 9;
const RANK = 3;

const batchOf = (seed: number): HostBatch => {
  const targets = labels(seed + 1, [ROWS * TOKENS], 23);
  targets.data[4] = -100;
  return { inputs: labels(seed, [ROWS, TOKENS], 23), targets, count: ROWS * TOKENS - 1 };
};

const methods: Readonly<Record<string, (site: Site) => Treatment>> = {
  full: () => ({ method: 'full' }),
  paca: () => ({ method: 'paca', adapters: [{ indices: Int32Array.of(0, 3, 5), alpha: 2 * RANK }] }),
  lora: ({ path, operation: { kind, config } }) =>
    kind === 'linear'
      ? {
          method: 'lora',
          adapters: [{ ...freshLora(splitRng(rngFromSeed(4), path), config, RANK), scale: 2 }],
        }
      : { method: 'frozen' },
};

interface Options extends LlamaOptions {
  readonly dropBackward?: number;
}

const problemOf = <T extends Spec>(
  k: Kernels<T>,
  method: string,
  config: LlamaConfig,
  { dropBackward = 0, ...options }: Options = {},
): Problem<T, unknown> => {
  const architecture = llama(config, options);
  const weights = initialWeights(architecture, rngFromSeed(7));
  return {
    kernels: k,
    model: orThrow(buildModel(k, architecture, weights, methods[method]!, () => method === 'full')),
    loss: crossEntropy(k) as Problem<T, unknown>['loss'],
    optimizer: adamw(k, { learningRate: 0.01 }),
    seed: 1,
    dropBackward,
  };
};

const runOf = async (name: string, threads: number, method: string, options: Options = {}): Promise<unknown> => {
  const { kernels: k, dispose } = orThrow(await resolveBackend(name, { threads }));
  const problem = problemOf(k, method, tinyLlama({ windows: [null, 5] }), options);
  let state = initialState(problem);
  const losses: number[] = [];
  for (let step = 0; step < 4; step++) {
    const [next, { loss }] = trainStep(problem, state, [toDevice(k, batchOf(10 * step)), toDevice(k, batchOf(3))]);
    state = next;
    losses.push(Number((await k.toHost(loss)).data[0]));
  }
  const result = { losses, state: await snapshot(k, state) };
  await dispose();
  return result;
};

describe.each(Object.keys(methods))('training by %s', (method) => {
  it('gives the same bits on the reference and on WebAssembly, with one thread and with two', async () => {
    const expected = await runOf('reference', 1, method);
    expect(await runOf('wasm', 1, method)).toEqual(expected);
    expect(await runOf('wasm', 2, method)).toEqual(expected);
  });

  it('gives the same bits where the blocks are computed again', async () => {
    expect(await runOf('wasm', 1, method, { recompute: true })).toEqual(await runOf('wasm', 1, method));
  });

  it('gives the same bits everywhere where the backward pass leaves branches out, and others than without', async () => {
    const options = { dropBackward: 0.5 };
    const expected = await runOf('reference', 1, method, options);
    expect(await runOf('wasm', 2, method, options)).toEqual(expected);
    expect(await runOf('wasm', 1, method, { ...options, recompute: true })).toEqual(expected);
    expect(await runOf('wasm', 1, method)).not.toEqual(expected);
  });

  it.each([
    { recompute: false },
    { recompute: true },
    { recompute: false, dropBackward: 0.5 },
    { recompute: true, dropBackward: 0.75 },
  ])('keeps what was accounted (%o)', async (options) => {
    const { kernels: k, dispose } = orThrow(await resolveBackend('wasm', { threads: 1 }));
    const problem = problemOf(k, method, tinyLlama({ headNorm: true, tied: false }), options);
    const { inputs, targets } = batchOf(1);
    const accounted = account(problem, inputs);
    const measured = measure(problem, inputs, targets);
    expect(measured).toEqual({
      residual: accounted.residual,
      gradients: accounted.gradients,
      optimizer: accounted.optimizer,
    });
    await dispose();
  });
});

describe('what a block keeps', () => {
  /** Numbers that one token keeps, of all blocks but the first, whose first part lies before what trains. */
  const keptPerToken = async (method: string, options: Options = {}): Promise<number> => {
    const { kernels: k, dispose } = orThrow(await resolveBackend('reference'));
    const bytesOf = (layers: number): number =>
      account(
        problemOf(k, method, tinyLlama({ layers, windows: Array(layers).fill(null) }), options),
        batchOf(1).inputs,
      ).residual;
    const bytes = bytesOf(3) - bytesOf(2);
    await dispose();
    return bytes / 4 / (ROWS * TOKENS);
  };
  const { width, heads, groups, headWidth, feedForward } = tinyLlama({});
  /** Both norms' input and root; q, k, v; gate and up. */
  const inAnyCase = 2 * (width + 1) + (heads + 2 * groups) * headWidth + 2 * feedForward;

  it('by PaCA is what attention, norms and SwiGLU need, and r numbers for each of seven maps', async () => {
    expect(await keptPerToken('paca')).toBe(inAnyCase + 7 * RANK);
  });

  it("by LoRA is the maps' inputs too, the shared one of q, k and v, and of gate and up, once", async () => {
    const inputs = width + heads * headWidth + width + feedForward;
    expect(await keptPerToken('lora')).toBe(inAnyCase + inputs + 7 * RANK);
  });

  it('in full training is the same without the ranks', async () => {
    expect(await keptPerToken('full')).toBe(inAnyCase + width + heads * headWidth + width + feedForward);
  });

  it('computed again is its input alone', async () => {
    for (const method of Object.keys(methods)) expect(await keptPerToken(method, { recompute: true })).toBe(width);
  });

  it('is nothing where the backward pass leaves all branches out', async () => {
    for (const method of Object.keys(methods)) {
      expect(await keptPerToken(method, { dropBackward: 1 })).toBe(0);
      expect(await keptPerToken(method, { dropBackward: 1, recompute: true })).toBe(0);
    }
  });

  it('counts as trained what the method says', async () => {
    const { kernels: k } = orThrow(await resolveBackend('reference'));
    const config = tinyLlama({});
    const perLayer = RANK * (heads * headWidth + 2 * groups * headWidth + width + 2 * feedForward + width);
    expect(trainableCount(problemOf(k, 'paca', config))).toBe(2 * perLayer);
  });
});

describe('the branches that the backward pass leaves out', () => {
  const { steps } = llama(tinyLlama({ layers: 5, windows: Array(5).fill(null) }));
  const dropped = (share: number, seed: number): ReadonlySet<unknown> =>
    droppedBranches(steps, { kind: 'train', rng: rngFromSeed(seed), dropBackward: share });

  it('are the share of all, rounded down, and others at each draw', () => {
    for (const [share, count] of [
      [0, 0],
      [0.09, 0],
      [0.5, 5],
      [0.59, 5],
      [1, 10],
    ] as const) {
      expect(dropped(share, 1).size).toBe(count);
    }
    expect(dropped(0.5, 1)).toEqual(dropped(0.5, 1));
    expect(dropped(0.5, 1)).not.toEqual(dropped(0.5, 2));
  });

  it('are left out about equally often', () => {
    const counts = steps
      .filter(({ kind }) => kind === 'residual')
      .map(
        (branch) =>
          Array.from({ length: 400 }, (_, seed) => dropped(0.3, seed)).filter((set) => set.has(branch)).length,
      );
    for (const count of counts) expect(Math.abs(count - 120)).toBeLessThan(40);
  });

  it('are none in evaluation', () => expect(droppedBranches(steps, evaluate).size).toBe(0));
});

/** Bytes accounted before a run are the bytes measured in it, for every method, model and optimizer. */
import { describe, expect, it } from 'vitest';
import { referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import { resolveBackend } from '../../backends/resolve.ts';
import type { Kernels } from '../../src/core/fused.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import type { Site } from '../../src/methods/operation.ts';
import type { Architecture } from '../../src/models/architecture.ts';
import { cnn } from '../../src/models/cnn.ts';
import { mlp } from '../../src/models/mlp.ts';
import type { ActivationName } from '../../src/models/steps.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { clipByGlobalNorm } from '../../src/optim/clip.ts';
import { momentum, sgd } from '../../src/optim/sgd.ts';
import { chain, type Transform } from '../../src/optim/transform.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Slot, Spec } from '../../src/spec/tensor.ts';
import { account, measure, residualBytes, residualOf, trainableCount } from '../../src/train/account.ts';
import { batchOf, full, paca, problemOf } from './tiny.ts';

const activations: readonly ActivationName[] = ['relu', 'gelu', 'silu', 'tanh'];
const models: readonly (readonly [string, Architecture])[] = [
  ...activations.map((name) => [name, mlp({ widths: [7, 5, 11, 3], activation: name })] as const),
  ['tanh and dropout', mlp({ widths: [7, 5, 11, 3], activation: 'tanh', dropout: 0.3 })],
  ['gelu and dropout', mlp({ widths: [7, 5, 11, 3], activation: 'gelu', dropout: 0.3 })],
  ['cnn', cnn({ size: 8, channels: [2, 3], classes: 3 })],
];

const optimizers: readonly (readonly [string, <T extends Spec>(k: Kernels<T>) => Transform<T>])[] = [
  ['sgd', (k) => sgd(k, { learningRate: 0.1 })],
  ['momentum', (k) => momentum(k, { learningRate: 0.1, momentum: 0.9 })],
  ['adamw', (k) => adamw(k, { learningRate: 0.1, decay: 0.1 })],
  ['clip, adamw', (k) => chain(clipByGlobalNorm(k, 1), adamw(k, { learningRate: 0.1 }))],
  ['clip, momentum', (k) => chain(clipByGlobalNorm(k, 1), momentum(k, { learningRate: 0.1, momentum: 0.9 }))],
];

/** Tensors that an optimizer keeps for each that trains. */
const kept: Readonly<Record<string, number>> = { momentum: 1, adamw: 2, 'clip, adamw': 2, 'clip, momentum': 1 };

const expectMeasured = <T extends Spec>(
  k: Kernels<T>,
  architecture: Architecture,
  treatment: (site: Site) => Treatment,
  [name, make]: (typeof optimizers)[number],
): void => {
  const problem = problemOf(k, architecture, treatment, make(k));
  const { inputs, targets } = batchOf('account', 13, architecture);
  const before = k.memory().live;
  const accounted = account(problem, { dtype: k.float, shape: inputs.shape });
  const { gradients, optimizer, residual } = accounted;
  expect(measure(problem, inputs, targets)).toEqual({ gradients, optimizer, residual });
  expect(accounted.trainable).toBe(trainableCount(problem) * (k.float === 'f32' ? 4 : 8));
  expect([gradients, optimizer]).toEqual([accounted.trainable, (kept[name] ?? 0) * accounted.trainable]);
  expect(k.memory().live).toBe(before);
};

describe.each(models)('%s', (_, architecture) => {
  describe.each([
    ['full', full],
    ['paca', paca],
  ] as const)('%s', (_name, treatment) => {
    it.each(optimizers)('%s: accounted = measured', async (...optimizer) => {
      for (const { kernels } of [referenceF32(), referenceF64()]) {
        expectMeasured(kernels, architecture, treatment, optimizer);
      }
      const wasm = orThrow(await resolveBackend('wasm', { threads: 1 }));
      expectMeasured(wasm.kernels, architecture, treatment, optimizer);
      await wasm.dispose();
    });
  });
});

describe('account', () => {
  const k = referenceF32().kernels;
  const n = 13;

  it('counts n·r·4 bytes for each linear map that PaCA adapts, and nothing else of it', () => {
    const architecture = mlp({ widths: [7, 5, 11, 3], activation: 'relu' });
    const input: Spec = { dtype: 'f32', shape: [n, 7] };
    const ranks: Readonly<Record<string, number>> = { 'layers.0': 7, 'layers.1': 3, 'layers.2': 1 };
    const treatment = ({ path }: Site): Treatment => ({
      method: 'paca',
      adapters: [{ indices: Int32Array.from({ length: ranks[path]! }, (_, i) => i), alpha: 1 }],
    });
    const [model] = residualOf(problemOf(k, architecture, treatment), input) as unknown as readonly [
      Readonly<Record<string, { readonly selected: readonly Slot[] }>>,
    ];
    for (const [path, rank] of Object.entries(ranks)) {
      expect(Object.keys(model[path]!)).toEqual(['selected']);
      expect(residualBytes(model[path]!.selected)).toBe(n * rank * 4);
    }
    // ReLU keeps a bit an element in words of 32, the loss its logits' probabilities.
    const masks = 4 * (Math.ceil((n * 5) / 32) + Math.ceil((n * 11) / 32));
    expect(account(problemOf(k, architecture, treatment), input).residual).toBe(
      4 * n * (7 + 3 + 1) + masks + 4 * n * 3,
    );
  });

  it('counts a buffer once, however many layers keep it', () => {
    // tanh keeps its output, which the fully trained map behind it keeps as its input.
    const architecture = mlp({ widths: [7, 5, 3], activation: 'tanh' });
    const { residual } = account(problemOf(k, architecture, full), { dtype: 'f32', shape: [n, 7] });
    expect(residual).toBe(4 * n * (7 + 5 + 3));
  });

  it('counts the network as it trains: with dropout between them, tanh and the next map share nothing', () => {
    const architecture = mlp({ widths: [11, 7, 5], activation: 'tanh', dropout: 0.2 });
    const problem = problemOf(k, architecture, full);
    const { inputs, targets } = batchOf('dropout', n, architecture, 5);
    const { residual } = account(problem, { dtype: 'f32', shape: inputs.shape });
    expect(residual).toBe(4 * n * (11 + 7 + 7 + 5));
    expect(measure(problem, inputs, targets).residual).toBe(residual);
  });

  it('weighs PaCA lighter than full fine-tuning', () => {
    const architecture = mlp({ widths: [64, 64, 3], activation: 'relu' });
    const bytes = (treatment: typeof full | typeof paca): number =>
      account(problemOf(k, architecture, treatment), { dtype: 'f32', shape: [n, 64] }).residual;
    expect(bytes(paca)).toBeLessThan(bytes(full) / 4);
  });
});

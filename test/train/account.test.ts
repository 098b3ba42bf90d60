/** Bytes accounted before a run are the bytes measured in it, for every method, model and optimizer. */
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { cnn } from '../../src/models/cnn.ts';
import { mlp } from '../../src/models/mlp.ts';
import type { Architecture } from '../../src/models/model.ts';
import type { ActivationName } from '../../src/models/steps.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { clipByGlobalNorm } from '../../src/optim/clip.ts';
import { momentum, sgd } from '../../src/optim/sgd.ts';
import { chain, type Transform } from '../../src/optim/transform.ts';
import type { Slot } from '../../src/spec/tensor.ts';
import { account, measure, residualOf, trainableCount } from '../../src/train/account.ts';
import { batchOf, full, paca, problemOf } from './tiny.ts';

const activations: readonly ActivationName[] = ['relu', 'gelu', 'silu', 'tanh'];
const models: readonly (readonly [string, Architecture])[] = [
  ...activations.map((name) => [name, mlp({ widths: [7, 5, 11, 3], activation: name })] as const),
  ['cnn', cnn({ size: 8, channels: [2, 3], classes: 3 })],
];

const optimizers: Readonly<Record<string, (k: Kernels<ReferenceTensor>) => Transform<ReferenceTensor>>> = {
  sgd: (k) => sgd(k, { learningRate: 0.1 }),
  momentum: (k) => momentum(k, { learningRate: 0.1, momentum: 0.9 }),
  adamw: (k) => adamw(k, { learningRate: 0.1, decay: 0.1 }),
  clipped: (k) => chain(clipByGlobalNorm(k, 1), adamw(k, { learningRate: 0.1 })),
};

describe.each(models)('%s', (_, architecture) => {
  it.each([
    ['full', full, 'adamw'],
    ['full', full, 'momentum'],
    ['paca', paca, 'sgd'],
    ['paca', paca, 'adamw'],
    ['paca', paca, 'clipped'],
  ] as const)('%s: accounted = measured (%s, %s)', (_name, treatment, optimizer) => {
    for (const backend of [referenceF32(), referenceF64()]) {
      const k = backend.kernels;
      const problem = problemOf(k, architecture, treatment, optimizers[optimizer]!(k));
      const { inputs, targets } = batchOf('account', 13, architecture);
      const accounted = account(problem, { dtype: k.float, shape: inputs.shape });
      const { gradients, optimizer: state, residual } = accounted;
      expect(measure(problem, inputs, targets)).toEqual({ gradients, optimizer: state, residual });
      expect(accounted.trainable).toBe(trainableCount(problem) * (k.float === 'f32' ? 4 : 8));
    }
  });
});

describe('account', () => {
  const k = referenceF32().kernels;
  const n = 13;

  it('counts n·r numbers for each linear map that PaCA adapts, and nothing else of it', () => {
    const architecture = mlp({ widths: [7, 5, 11, 3], activation: 'relu' });
    const [model] = residualOf(problemOf(k, architecture, paca), {
      dtype: 'f32',
      shape: [n, 7],
    }) as unknown as readonly [Readonly<Record<string, { readonly selected: readonly Slot[] }>>];
    for (const path of ['layers.0', 'layers.1', 'layers.2']) {
      expect(Object.keys(model[path]!)).toEqual(['selected']);
      expect(model[path]!.selected.map(({ shape }) => shape)).toEqual([[n, 2]]);
    }
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

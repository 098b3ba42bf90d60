/** Whole training runs of a small network: every loss and the trained parameters. */
import type { Kernels } from '../../core/fused.ts';
import { rngFromSeed } from '../../core/rng.ts';
import type { Tree } from '../../core/tree.ts';
import { crossEntropy } from '../../layers/losses.ts';
import type { Treatment } from '../../methods/adapt.ts';
import type { Site } from '../../methods/operation.ts';
import { mlp } from '../../models/mlp.ts';
import { buildModel, initialWeights, type Model } from '../../models/model.ts';
import { adamw } from '../../optim/adamw.ts';
import { clipByGlobalNorm } from '../../optim/clip.ts';
import { cosine, warmUp } from '../../optim/schedule.ts';
import { momentum } from '../../optim/sgd.ts';
import { chain, type Transform } from '../../optim/transform.ts';
import { orThrow } from '../../spec/errors.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import { initialState, type MicroBatch, type Problem, trainableOf, trainStep } from '../../train/step.ts';
import { drawn, input, integers, type Json, named, type Tensors, type VectorCase } from '../case.ts';

interface RunCase {
  readonly name: string;
  readonly note: string;
  readonly steps: number;
  readonly dropout: number;
  readonly settings: Readonly<Record<string, Json>>;
  readonly treatment: (site: Site) => Treatment;
  readonly optimizer: <T extends Spec>(k: Kernels<T>) => Transform<T>;
}

/** Two micro-batches of 5 and 3 examples, the same at every step. */
const batchInputs: Tensors<HostTensor> = {
  'batch.0.inputs': drawn('training.0', 5, 11),
  'batch.0.targets': integers(0, 4, 2, 1, 3),
  'batch.1.inputs': drawn('training.1', 3, 11),
  'batch.1.targets': integers(2, 2, 0),
};

const WEIGHT_SEED = 3;
const SEED = 9;

const runCase = (c: RunCase): VectorCase => {
  const architecture = mlp({ widths: [11, 7, 5], activation: 'tanh', dropout: c.dropout });
  const weights = initialWeights(architecture, rngFromSeed(WEIGHT_SEED));
  return {
    id: `training/${c.name}`,
    note: c.note,
    settings: { ...c.settings, steps: c.steps, dropout: c.dropout, weightSeed: WEIGHT_SEED, seed: SEED },
    inputs: { ...batchInputs, ...weights },
    run: (k, inputs) => {
      const model = orThrow(buildModel(k, architecture, weights, c.treatment));
      return trained(k, model, inputs, c);
    },
  };
};

const trained = <T extends Spec>(k: Kernels<T>, model: Model<T>, inputs: Tensors<T>, c: RunCase): Tensors<T> => {
  const problem: Problem<T, unknown> = {
    kernels: k,
    model,
    loss: crossEntropy(k) as Problem<T, unknown>['loss'],
    optimizer: c.optimizer(k),
    seed: SEED,
  };
  const batch = [0, 1].map((i): MicroBatch<T> => {
    const targets = input(inputs, `batch.${i}.targets`);
    return { inputs: input(inputs, `batch.${i}.inputs`), targets, count: targets.shape[0] ?? 0 };
  });
  const losses: Record<string, T> = {};
  let state = initialState(problem);
  for (let i = 0; i < c.steps; i++) {
    const [next, { loss }] = trainStep(problem, state, batch);
    losses[`loss.${i}`] = loss;
    state = next;
  }
  const final: Tree<T> = trainableOf(problem, state.params);
  return { ...losses, ...named('trained', final) };
};

const partial = (site: Site): Treatment => ({
  method: 'paca',
  adapters: [{ indices: site.path === 'layers.0' ? Int32Array.of(1, 4, 8) : Int32Array.of(0, 5), alpha: 4 }],
});

export const trainingCases: readonly VectorCase[] = [
  runCase({
    name: 'mlp-paca',
    note: 'PaCA, dropout, two micro-batches, AdamW with warm-up and cosine, clipped gradients; 10 steps.',
    steps: 10,
    dropout: 0.2,
    settings: { method: 'paca', alpha: 4, optimizer: 'adamw', learningRate: 0.01, decay: 0.05, clip: 0.5 },
    treatment: partial,
    optimizer: (k) =>
      chain(
        clipByGlobalNorm(k, 0.5),
        adamw(k, { learningRate: warmUp(2, cosine(0.01, 0.001, 8)), epsilon: 1e-3, decay: 0.05 }),
      ),
  }),
  runCase({
    name: 'mlp-full',
    note: 'Full fine-tuning with momentum, the same network and batches; 10 steps.',
    steps: 10,
    dropout: 0,
    settings: { method: 'full', optimizer: 'momentum', learningRate: 0.05, momentum: 0.9 },
    treatment: () => ({ method: 'full' }),
    optimizer: (k) => momentum(k, { learningRate: 0.05, momentum: 0.9 }),
  }),
];

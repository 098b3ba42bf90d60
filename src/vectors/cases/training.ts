/**
 * Whole training runs of a small network (linear, tanh, dropout, linear; cross-entropy): every loss and the trained
 * parameters.
 */
import type { Kernels } from '../../core/fused.ts';
import { rngFromSeed } from '../../core/rng.ts';
import type { Tree } from '../../core/tree.ts';
import { crossEntropy } from '../../layers/losses.ts';
import type { Treatment } from '../../methods/adapt.ts';
import type { Site } from '../../methods/operation.ts';
import { type Architecture, droppedBranches, initialWeights, type Step } from '../../models/architecture.ts';
import { mlp } from '../../models/mlp.ts';
import { buildModel, type Model } from '../../models/model.ts';
import { activation, site } from '../../models/steps.ts';
import { adamw } from '../../optim/adamw.ts';
import { clipByGlobalNorm } from '../../optim/clip.ts';
import { cosine, warmUp } from '../../optim/schedule.ts';
import { momentum } from '../../optim/sgd.ts';
import { chain, type Transform } from '../../optim/transform.ts';
import { orThrow } from '../../spec/errors.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import { initialState, type MicroBatch, microRng, type Problem, trainableOf, trainStep } from '../../train/step.ts';
import { drawn, input, integers, type Json, named, type Tensors, type VectorCase } from '../case.ts';

interface RunCase {
  readonly name: string;
  readonly note: string;
  readonly steps: number;
  readonly architecture: Architecture;
  /** The architecture in words. */
  readonly described: Readonly<Record<string, Json>>;
  readonly dropBackward?: number;
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
const WIDTHS = [11, 7, 5];

/** Linear, tanh, dropout, linear. */
const network = (dropout: number): Pick<RunCase, 'architecture' | 'described'> => ({
  architecture: mlp({ widths: WIDTHS, activation: 'tanh', dropout }),
  described: { widths: WIDTHS, activation: 'tanh', dropout },
});

const runCase = (c: RunCase): VectorCase => {
  const weights = initialWeights(c.architecture, rngFromSeed(WEIGHT_SEED));
  return {
    id: `training/${c.name}`,
    note: c.note,
    settings: { ...c.settings, steps: c.steps, ...c.described, weightSeed: WEIGHT_SEED, seed: SEED },
    inputs: { ...batchInputs, ...weights },
    run: (k, inputs, host) => trained(k, orThrow(buildModel(k, c.architecture, host, c.treatment)), inputs, c),
  };
};

const trained = <T extends Spec>(k: Kernels<T>, model: Model<T>, inputs: Tensors<T>, c: RunCase): Tensors<T> => {
  const problem: Problem<T, unknown> = {
    kernels: k,
    model,
    loss: crossEntropy(k) as Problem<T, unknown>['loss'],
    optimizer: c.optimizer(k),
    seed: SEED,
    ...(c.dropBackward !== undefined && { dropBackward: c.dropBackward }),
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

const ALPHA = 4;
const INDICES: Readonly<Record<string, readonly number[]>> = { 'layers.0': [1, 4, 8], 'layers.1': [0, 5] };

const partial = ({ path }: Site): Treatment => ({
  method: 'paca',
  adapters: [{ indices: Int32Array.from(INDICES[path] ?? []), alpha: ALPHA }],
});

const [BETA_1, BETA_2, EPSILON, DECAY, CLIP] = [0.9, 0.999, 1e-3, 0.05, 0.5];
const RATE = { warmUp: 2, from: 0.01, to: 0.001, steps: 8 };

const pacaSettings: Readonly<Record<string, Json>> = {
  method: 'paca',
  alpha: ALPHA,
  indices: INDICES,
  optimizer: 'adamw',
  learningRate: RATE,
  beta1: BETA_1,
  beta2: BETA_2,
  epsilon: EPSILON,
  decay: DECAY,
  clip: CLIP,
};

const clippedAdamw = <T extends Spec>(k: Kernels<T>): Transform<T> =>
  chain(
    clipByGlobalNorm(k, CLIP),
    adamw(k, {
      learningRate: warmUp(RATE.warmUp, cosine(RATE.from, RATE.to, RATE.steps)),
      beta1: BETA_1,
      beta2: BETA_2,
      epsilon: EPSILON,
      decay: DECAY,
    }),
  );

const DROP_BACKWARD = 0.5;
const DROP_STEPS = 2;

/** Four branches x + tanh(linear(x)) between two linear maps. */
const branched: Architecture = {
  name: 'branched',
  input: [11],
  inputType: 'float',
  steps: [
    site('first', { kind: 'linear', config: { in: 11, out: 6 } }),
    ...Array.from({ length: 4 }, (_, i): Step => {
      const name = `branches.${i}`;
      return {
        kind: 'residual',
        steps: [site(name, { kind: 'linear', config: { in: 6, out: 6 } }), activation('tanh', `${name}.tanh`)],
      };
    }),
    site('last', { kind: 'linear', config: { in: 6, out: 5 } }),
  ],
  head: 'last',
};

/** The numbers of the branches that the backward pass leaves out, of each step and micro-batch. */
const droppedNumbers = (): Json => {
  const all = branched.steps.filter(({ kind }) => kind === 'residual');
  return Array.from({ length: DROP_STEPS }, (_, step) =>
    [0, 1].map((micro) => {
      const rng = microRng(SEED, step, micro);
      const dropped = droppedBranches(branched.steps, { kind: 'train', rng, dropBackward: DROP_BACKWARD });
      return all.flatMap((branch, i) => (dropped.has(branch) ? [i] : []));
    }),
  );
};

export const trainingCases: readonly VectorCase[] = [
  runCase({
    name: 'mlp-paca',
    note: 'PaCA from δ = 0; a step sums two micro-batches over their 8 examples, clips, then AdamW.',
    steps: 6,
    ...network(0),
    settings: pacaSettings,
    treatment: partial,
    optimizer: clippedAdamw,
  }),
  runCase({
    name: 'mlp-paca-dropout',
    note: "The same with dropout after the tanh; its masks are drawn by this engine's random numbers.",
    steps: 4,
    ...network(0.2),
    settings: pacaSettings,
    treatment: partial,
    optimizer: clippedAdamw,
  }),
  runCase({
    name: 'mlp-full',
    note: 'Full fine-tuning with momentum and biases, the same network without dropout, the same batches.',
    steps: 10,
    ...network(0),
    settings: { method: 'full', optimizer: 'momentum', learningRate: 0.05, momentum: 0.9 },
    treatment: () => ({ method: 'full' }),
    optimizer: (k) => momentum(k, { learningRate: 0.05, momentum: 0.9 }),
  }),
  runCase({
    name: 'drop-backward',
    note: 'DropBP: all branches are computed forward; backward, those in `dropped` (by step and micro-batch) have dx = dy and no gradient.',
    steps: DROP_STEPS,
    architecture: branched,
    described: { branches: 'x + tanh(linear(x))', dropBackward: DROP_BACKWARD, dropped: droppedNumbers() },
    dropBackward: DROP_BACKWARD,
    settings: { method: 'full', optimizer: 'momentum', learningRate: 0.05, momentum: 0.9 },
    treatment: () => ({ method: 'full' }),
    optimizer: (k) => momentum(k, { learningRate: 0.05, momentum: 0.9 }),
  }),
];

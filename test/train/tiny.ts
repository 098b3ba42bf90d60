/** Tiny problems that the training tests share. */
import type { Kernels } from '../../src/core/fused.ts';
import { normals, rngFromSeed, splitRng } from '../../src/core/rng.ts';
import { leafPaths, type Tree } from '../../src/core/tree.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import { columnView, type Site } from '../../src/methods/operation.ts';
import { type Architecture, initialWeights } from '../../src/models/architecture.ts';
import { mlp } from '../../src/models/mlp.ts';
import { buildModel } from '../../src/models/model.ts';
import { adamw } from '../../src/optim/adamw.ts';
import type { Transform } from '../../src/optim/transform.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor, Spec } from '../../src/spec/tensor.ts';
import type { HostBatch } from '../../src/train/host-batch.ts';
import type { Problem, TrainState } from '../../src/train/step.ts';

export const full = (): Treatment => ({ method: 'full' });

/** The first two columns of each place, or the only one. */
export const paca = ({ operation }: Site): Treatment => {
  const rank = Math.min(2, columnView(operation).columns);
  return { method: 'paca', adapters: [{ indices: Int32Array.from({ length: rank }, (_, i) => i), alpha: 3 }] };
};

export const tinyMlp: Architecture = mlp({ widths: [7, 5, 3], activation: 'tanh', dropout: 0.2 });

export const problemOf = <T extends Spec>(
  k: Kernels<T>,
  architecture: Architecture = tinyMlp,
  treatment: (site: Site) => Treatment = paca,
  optimizer: Transform<T> = adamw(k, { learningRate: 0.05, decay: 0.01 }),
): Problem<T, unknown> => ({
  kernels: k,
  model: orThrow(buildModel(k, architecture, initialWeights(architecture, rngFromSeed(11)), treatment)),
  loss: crossEntropy(k) as Problem<T, unknown>['loss'],
  optimizer,
  seed: 5,
});

/** `count` examples of the architecture's input, with labels of 0 … classes − 1; a function of the name alone. */
export const batchOf = (name: string, count: number, { input }: Architecture = tinyMlp, classes = 3): HostBatch => {
  const size = count * input.reduce((a, b) => a * b, 1);
  const [values] = normals(splitRng(rngFromSeed(2), name), size);
  return {
    inputs: { dtype: 'f32', shape: [count, ...input], data: Float32Array.from(values) },
    targets: { dtype: 'i32', shape: [count], data: Int32Array.from({ length: count }, (_, i) => (i * 2) % classes) },
    count,
  };
};

/** Two micro-batches of unequal size, different at each step. */
export const batchAt = (step: number): readonly HostBatch[] => [
  batchOf(`step ${step} a`, 5),
  batchOf(`step ${step} b`, 2),
];

/** Every tensor of a tree on the host, by path. */
export const hostTree = async <T extends Spec>(
  k: Kernels<T>,
  tree: Tree<T>,
): Promise<Readonly<Record<string, HostTensor>>> => {
  const tensors: Record<string, HostTensor> = {};
  for (const [path, leaf] of leafPaths(tree)) tensors[path] = await k.toHost(leaf);
  return tensors;
};

/** Everything of a state that must be equal when two runs are. */
export const snapshot = async <T extends Spec>(k: Kernels<T>, state: TrainState<T>): Promise<unknown> => ({
  params: await hostTree(k, state.params),
  optimizer: await hostTree(k, state.optimizer.tensors),
  numbers: state.optimizer.numbers,
  step: state.step,
});

let ticks = 0;
/** A clock that only goes forward. */
export const clock = (): number => ticks++;

/**
 * What a measured step trains: an MLP width → 4·width → width with ReLU and biases and a squared error, or a small LLaMA
 * and the cross-entropy of all its tokens; with AdamW, on numbers from a fixed sequence.
 */
import type { AnyBackend } from '../../../backends/resolve.ts';
import { permutation, rngFromSeed, splitRng } from '../../core/rng.ts';
import { crossEntropy, meanSquaredError } from '../../layers/losses.ts';
import type { TrainingMethod, Treatment } from '../../methods/adapt.ts';
import { freshLowRank } from '../../methods/adapt-low-rank.ts';
import { columnView, type Site } from '../../methods/operation.ts';
import { type Architecture, type LeafStep, leafSteps, tensorsOf, type Weights } from '../../models/architecture.ts';
import type { LlamaConfig } from '../../models/llama/config.ts';
import { llama } from '../../models/llama/llama.ts';
import { mlp } from '../../models/mlp.ts';
import { buildModel } from '../../models/model.ts';
import { adamw } from '../../optim/adamw.ts';
import { quantise } from '../../quant/quantise.ts';
import { orThrow } from '../../spec/errors.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import type { MicroBatch, Problem } from '../../train/step.ts';
import { numbers, tokenIds } from './numbers.ts';

interface Adaptation {
  readonly method: TrainingMethod;
  /** Columns of each weight, or the width between LoRA's two factors. */
  readonly rank: number;
  /** The type in which the adapted weights are stored. */
  readonly dtype: 'f32' | 'nf4';
}

/** A problem with the batch that every step gets. */
export interface Measured {
  readonly problem: Problem<Spec, unknown>;
  readonly batch: MicroBatch<Spec>;
}

type AnyKernels = AnyBackend['kernels'];
type AnyLoss = Problem<Spec, unknown>['loss'];

/** The model of four layers that steps are measured on. */
export const llamaConfig: LlamaConfig = {
  vocabulary: 512,
  width: 256,
  layers: 4,
  heads: 4,
  groups: 4,
  headWidth: 64,
  feedForward: 704,
  epsilon: 1e-5,
  theta: 10000,
  scaling: { kind: 'none' },
  positions: 128,
  tied: false,
  inputBias: false,
  outputBias: false,
  headNorm: false,
  windows: [null, null, null, null],
};

/** The LLaMA's batch and its features; every sequence is as long as the model allows. */
export const llamaSizes: Readonly<Record<'batchSize' | 'tokens' | 'width' | 'layers', number>> = {
  batchSize: 4,
  tokens: llamaConfig.positions,
  width: llamaConfig.width,
  layers: llamaConfig.layers,
};

/** Ones for norms, else about the size 1/√width; each made when it is read, so that they are not all held at once. */
const weightsOf = ({ steps }: Architecture, dtype: Adaptation['dtype'], frozen: string | null): Weights => {
  const isQuantised = (step: LeafStep, name: string): boolean =>
    dtype === 'nf4' && step.kind === 'site' && step.site.path !== frozen && name.endsWith('.weight');
  const entries = leafSteps(steps).flatMap((step) =>
    tensorsOf(step).map(([name, shape]) => {
      const isNorm = step.kind === 'plain' && step.fresh === 'ones';
      const get = (): HostTensor => {
        if (isNorm) return { dtype: 'f32', shape, data: new Float32Array(shape[0] ?? 0).fill(1) };
        const drawn = numbers(shape, 1 / Math.sqrt(shape.at(-1) ?? 1));
        return isQuantised(step, name) ? orThrow(quantise(drawn, 'nf4', name)) : drawn;
      };
      return [name, { get, enumerable: true }];
    }),
  );
  return Object.defineProperties({}, Object.fromEntries(entries));
};

/** The method wherever it applies; the head trains in `full` alone. */
const treatmentOf =
  ({ method, rank }: Adaptation, frozen: string | null) =>
  ({ path, operation }: Site): Treatment => {
    if (method === 'full') return { method };
    if (path === frozen) return { method: 'frozen' };
    const rng = splitRng(rngFromSeed(2), path);
    if (method !== 'paca' && operation.kind === 'linear') {
      return freshLowRank(method, rng, operation.config, rank, { scale: 1 });
    }
    const [order] = permutation(rng, columnView(operation).columns);
    return { method: 'paca', adapters: [{ indices: order.slice(0, rank).sort(), alpha: rank }] };
  };

const problemOf = (
  k: AnyKernels,
  architecture: Architecture,
  adaptation: Adaptation,
  frozen: string | null,
  loss: AnyLoss,
): Problem<Spec, unknown> => {
  const treatment = treatmentOf(adaptation, frozen);
  const trains = (): boolean => adaptation.method === 'full';
  return {
    kernels: k,
    model: orThrow(buildModel(k, architecture, weightsOf(architecture, adaptation.dtype, frozen), treatment, trains)),
    loss,
    optimizer: adamw(k, { learningRate: 1e-3 }),
    seed: 1,
  };
};

/** Every weight is adapted. */
export const mlpProblem = (k: AnyKernels, adaptation: Adaptation, batchSize: number, width: number): Measured => {
  const architecture = mlp({ widths: [width, 4 * width, width], activation: 'relu' });
  return {
    problem: problemOf(k, architecture, adaptation, null, meanSquaredError(k) as AnyLoss),
    batch: {
      inputs: k.fromHost(numbers([batchSize, width])),
      targets: k.fromHost(numbers([batchSize, width], 0.5)),
      count: batchSize * width,
    },
  };
};

/** The linear maps of every layer are adapted; embedding, norms and head train in `full` alone. */
export const llamaProblem = (
  k: AnyKernels,
  adaptation: Adaptation,
  { batchSize, tokens }: Pick<typeof llamaSizes, 'batchSize' | 'tokens'> = llamaSizes,
): Measured => {
  const architecture = llama({ ...llamaConfig, positions: tokens });
  return {
    problem: problemOf(k, architecture, adaptation, architecture.head, crossEntropy(k) as AnyLoss),
    batch: {
      inputs: k.fromHost(tokenIds([batchSize, tokens], llamaConfig.vocabulary, 0)),
      targets: k.fromHost(tokenIds([batchSize, tokens], llamaConfig.vocabulary, 1)),
      count: batchSize * tokens,
    },
  };
};

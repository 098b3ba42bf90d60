/**
 * A checkpoint put into an architecture, leaf by leaf: a leaf's tensors are read, given to the backend and let go, so
 * that the host holds one weight (with its bias) at a time.
 *
 * Laws: every tensor is read once, and none before all names, shapes and types have been checked. The model is that of
 * `buildModel` over the same tensors, stored weights that train in full widened to f32.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Treatment } from '../methods/adapt.ts';
import type { Site } from '../methods/operation.ts';
import { type Architecture, type LeafStep, leafSteps, tensorsOf, type Weights } from '../models/architecture.ts';
import { assembleModel, type Built, buildLeaf, checkTensor, type Model } from '../models/model.ts';
import type { DType } from '../spec/dtype.ts';
import { fail, type Result } from '../spec/errors.ts';
import { isNf4 } from '../spec/nf4.ts';
import { excerpt } from '../spec/strict-json.ts';
import { type HostTensor, type Shape, type Spec, showSpec } from '../spec/tensor.ts';
import type { Checkpoint } from './checkpoint.ts';
import { widenHost } from './widen-host.ts';

/**
 * Tensors that a checkpoint may hold beyond the model's, as Hugging Face leaves them out too: frequencies, which
 * follow from the config, and the weights of a place that reads another's (a head tied to the embedding).
 */
const ignored = (leaves: readonly LeafStep[]): ((name: string) => boolean) => {
  const tied = leaves.flatMap((step) =>
    step.kind === 'plain' && step.tiedTo !== undefined ? [`${step.path}.weight`] : [],
  );
  return (name) => name.endsWith('.rotary_emb.inv_freq') || tied.includes(name);
};

const floats: readonly DType[] = ['f64', 'f32', 'f16', 'bf16'];

type Wanted = readonly [name: string, shape: Shape, mayBeNf4: boolean];

/** What a leaf takes; a weight that methods adapt may be in NF4. */
const wantedBy = (step: LeafStep): readonly Wanted[] =>
  tensorsOf(step).map(([name, shape]) => [name, shape, step.kind === 'site' && name.endsWith('.weight')]);

/** What a leaf takes is there, of its shape, and holds numbers. */
const checkWanted = (checkpoint: Checkpoint, [name, shape, mayBeNf4]: Wanted): Result<Spec> =>
  pipe(
    checkTensor(name, shape, checkpoint.spec(name)),
    E.chain((found) =>
      floats.includes(found.dtype) || (mayBeNf4 && isNf4(found.dtype))
        ? E.right(found)
        : fail('ShapeError', 'a tensor of f32, f16 or bf16', showSpec(found), name),
    ),
    E.mapLeft((error) => ({ ...error, where: `${checkpoint.where}, ${error.where}` })),
  );

const checkNames = (checkpoint: Checkpoint, leaves: readonly LeafStep[]): Result<void> => {
  const wanted = leaves.flatMap(wantedBy);
  const names = new Set(wanted.map(([name]) => name));
  const isIgnored = ignored(leaves);
  const surplus = checkpoint.names.filter((name) => !names.has(name) && !isIgnored(name));
  return pipe(
    wanted,
    E.traverseArray((tensor) => checkWanted(checkpoint, tensor)),
    E.chain(() =>
      surplus.length === 0
        ? E.right(undefined)
        : fail(
            'FileError',
            'the tensors of the model alone',
            `${surplus.length} more: ${surplus
              .slice(0, 3)
              .map((name) => excerpt(name))
              .join(', ')}`,
            checkpoint.where,
          ),
    ),
  );
};

const readTensor = async (checkpoint: Checkpoint, name: string, wide: boolean): Promise<Result<HostTensor>> => {
  const read: Result<HostTensor> = await checkpoint.read(name);
  return pipe(
    read,
    E.chain((tensor) => (wide && tensor.dtype !== 'f64' ? widenHost(tensor, name) : E.right(tensor))),
  );
};

const readLeaf = async (checkpoint: Checkpoint, step: LeafStep, wide: boolean): Promise<Result<Weights>> => {
  const weights: Record<string, HostTensor> = {};
  for (const [name] of tensorsOf(step)) {
    const tensor = await readTensor(checkpoint, name, wide);
    if (E.isLeft(tensor)) return tensor;
    weights[name] = tensor.right;
  }
  return E.right(weights);
};

/**
 * The model of an architecture whose weights are a checkpoint's. Frozen weights keep their stored type; those that
 * train in full, and biases, are f32. `trains`: as in `buildModel`.
 * Errors: a tensor that is missing, has another shape, holds no numbers, or is none of the model's; what the source
 * reports; whatever `adapt` refuses.
 *
 * @example
 * ```ts
 * import {
 *   encodeSafetensors, initialWeights, loadModel, memorySource, mlp, openCheckpoint, orThrow, rngFromSeed,
 * } from 'paca-ts';
 * import { resolveBackend } from 'paca-ts/backends';
 *
 * const { kernels } = orThrow(await resolveBackend('reference'));
 * const architecture = mlp({ widths: [4, 3], activation: 'tanh' });
 * const file = encodeSafetensors(initialWeights(architecture, rngFromSeed(1)));
 * const folder = memorySource(new Map([['model.safetensors', file]])); // nodeSource(path) of 'paca-ts/node' on the disk
 * const checkpoint = orThrow(await openCheckpoint(folder, 'my model'));
 * checkpoint.names; // => ['layers.0.bias', 'layers.0.weight']
 * const model = orThrow(await loadModel(kernels, architecture, checkpoint, () => ({ method: 'frozen' })));
 * Object.keys(model.params); // => ['layers.0']
 * ```
 */
export const loadModel = async <T extends Spec>(
  k: Kernels<T>,
  architecture: Architecture,
  checkpoint: Checkpoint,
  treatmentOf: (site: Site) => Treatment,
  trains: (path: string) => boolean = () => false,
): Promise<Result<Model<T>>> => {
  const leaves = leafSteps(architecture.steps);
  const checked = checkNames(checkpoint, leaves);
  if (E.isLeft(checked)) return checked;
  const built: Built<T>[] = [];
  for (const step of leaves) {
    const wide = step.kind === 'site' && treatmentOf(step.site).method === 'full';
    const leaf = pipe(
      await readLeaf(checkpoint, step, wide),
      E.chain((weights) => buildLeaf(k, step, weights, treatmentOf, trains)),
    );
    if (E.isLeft(leaf)) return leaf;
    built.push(leaf.right);
  }
  return assembleModel(k, architecture, built);
};

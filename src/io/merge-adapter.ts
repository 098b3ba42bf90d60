/**
 * An adapter merged into a checkpoint, tensor by tensor: what is in memory is one tensor with its copies.
 *
 *   PaCA   W̃ = fl(widen(W) + fl(s·δ)) at the selected columns, the rounding that the forward pass declares
 *   LoRA   W̃ = fl(widen(W) + fl(s·B A)), the product in the backend's declared order; MosLoRA with M A in place of A
 *   DoRA   fl(c ⊙ W̃) of LoRA's, c = fl(m/‖W̃‖) row by row
 *
 * and the tensors that the adapter holds whole in the place of the model's; then each number rounded once to the storage type, or the weight quantised to NF4.
 *
 * Law: stored in f32, a model with PaCA merged into it has the bits of the one with the adapter.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { pacaWeight } from '../core/derived/paca-linear.ts';
import type { Kernels } from '../core/fused.ts';
import { doraWeight } from '../methods/dora.ts';
import { loraWeight } from '../methods/lora.ts';
import { mosloraWeight } from '../methods/moslora.ts';
import { type Architecture, sitesOf } from '../models/architecture.ts';
import type { DType } from '../spec/dtype.ts';
import { fail, type Result } from '../spec/errors.ts';
import { isNf4 } from '../spec/nf4.ts';
import { type HostTensor, type HostTensorOf, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import type { AdapterFile } from './adapter.ts';
import { loraScale } from './adapter-lora.ts';
import { checkAdapter, type LinearMaps, linearMaps } from './adapter-places.ts';
import { savedOver } from './adapter-saved.ts';
import type { Checkpoint } from './checkpoint.ts';
import { type StorageType, storageTypes } from './narrow-host.ts';
import type { ComputeType } from './nf4-file.ts';
import { rewrittenParts, type WrittenPart } from './rewrite-checkpoint.ts';

/** The types in which a merge may store weights. */
export type MergedType = StorageType | 'nf4';

export interface Merge<T extends Spec> {
  readonly kernels: Kernels<T>;
  readonly checkpoint: Checkpoint;
  /** One that {@link checkMerge} found good. */
  readonly adapter: AdapterFile;
  /** The type of every weight (NF4: of the linear maps but the head); null: each keeps its own, NF4 quantised again. */
  readonly dtype: MergedType | null;
  /** The linear maps that NF4 is for. */
  readonly quantisable: readonly string[];
  readonly computed: ComputeType;
}

/** A merge before it has a backend. */
type Plan = Omit<Merge<Spec>, 'kernels' | 'computed'>;

const isStorage = (dtype: string): dtype is StorageType => (storageTypes as readonly string[]).includes(dtype);

/** A type in which weights are stored. */
const isWeight = (dtype: string): boolean => isStorage(dtype) || isNf4(dtype);

const weightOf = (path: string): string => `${path}.weight`;

/** What each module adapts is there, of the map's shape, and a weight. */
const checkWeights = (checkpoint: Checkpoint, adapter: AdapterFile, maps: LinearMaps): Result<void> => {
  for (const path of Object.keys(adapter.modules)) {
    const { in: width, out } = maps.get(path)!;
    const found = checkpoint.spec(weightOf(path));
    if (found === undefined || !sameShape(found.shape, [out, width]) || !isWeight(found.dtype)) {
      const expected = `a weight of shape [${out}, ${width}] in f32, f16, bf16 or nf4`;
      const came = found === undefined ? 'none' : showSpec(found);
      return fail('ShapeError', expected, came, `${checkpoint.where}, ${weightOf(path)}`);
    }
  }
  return E.right(undefined);
};

/** The adapter fits the model and the checkpoint. `where` names the adapter. */
export const checkMerge = (
  checkpoint: Checkpoint,
  adapter: AdapterFile,
  architecture: Architecture,
  where: string,
): Result<void> => {
  const maps = linearMaps(sitesOf(architecture));
  return pipe(
    checkAdapter(adapter, maps),
    E.chain(() => checkWeights(checkpoint, adapter, maps)),
    E.chain(() => savedOver(architecture, adapter, where)),
    E.map(() => undefined),
  );
};

/** A module's matrices on the backend. */
const onDevice = <T extends Spec, N extends string>(
  k: Kernels<T>,
  module: Readonly<Record<N, HostTensor>>,
  names: readonly N[],
): Readonly<Record<N, T>> => Object.fromEntries(names.map((name) => [name, k.fromHost(module[name])])) as Record<N, T>;

/** W̃ on the backend. */
const mergedWeight = <T extends Spec>(k: Kernels<T>, adapter: AdapterFile, path: string, weight: HostTensor): T =>
  k.scope(() => {
    const base = k.fromHost(weight);
    switch (adapter.method) {
      case 'paca': {
        const { indices, delta } = adapter.modules[path]!;
        const connections = {
          indices: k.fromHost({ dtype: 'i32', shape: [indices.length], data: indices }),
          delta: k.fromHost(delta),
          scale: adapter.alpha / adapter.rank,
        };
        return pacaWeight(k, base, [connections], 1);
      }
      case 'lora': {
        const module = adapter.modules[path]!;
        return loraWeight(k, base, onDevice(k, module, ['a', 'b']), loraScale(adapter, module));
      }
      case 'dora': {
        const module = adapter.modules[path]!;
        return doraWeight(k, base, onDevice(k, module, ['a', 'b', 'magnitude']), loraScale(adapter, module));
      }
      case 'moslora': {
        const module = adapter.modules[path]!;
        return mosloraWeight(k, base, onDevice(k, module, ['a', 'mixer', 'b']), loraScale(adapter, module));
      }
    }
  });

const mergedOnHost = async <T extends Spec>(
  k: Kernels<T>,
  adapter: AdapterFile,
  path: string,
  weight: HostTensor,
): Promise<HostTensorOf<'f32'>> => {
  const merged = mergedWeight(k, adapter, path, weight);
  const host = await k.toHost(merged);
  k.donate(merged);
  return host as HostTensorOf<'f32'>;
};

/** The module that a tensor is the weight of, if the adapter has it. */
const moduleOf = ({ modules }: AdapterFile, name: string): string | null => {
  const path = name.endsWith('.weight') ? name.slice(0, -'.weight'.length) : '';
  return Object.hasOwn(modules, path) ? path : null;
};

/** The tensor that the adapter holds whole under this name, if there is one. */
const savedIn = ({ saved = {} }: AdapterFile, name: string): HostTensorOf<'f32'> | undefined =>
  Object.hasOwn(saved, name) ? saved[name] : undefined;

/**
 * The type in which a tensor is stored that has this one: tensors that hold no weights (buffers of whole numbers, f64) keep
 * theirs, and NF4 is for some weights alone.
 */
export const storedAs =
  (wanted: MergedType | null, quantisable: readonly string[]) =>
  (name: string, { dtype }: Spec): DType => {
    if (wanted === null || !isWeight(dtype)) return dtype;
    if (wanted !== 'nf4') return wanted;
    return isNf4(dtype) || quantisable.some((path) => name === weightOf(path)) ? 'nf4' : dtype;
  };

/** The parts of `model.safetensors`, in order. Errors: those of reading, and a number beyond the storage type. */
export const mergedParts = <T extends Spec>({
  kernels,
  checkpoint,
  adapter,
  dtype,
  quantisable,
  computed,
}: Merge<T>): AsyncGenerator<Result<WrittenPart>> =>
  rewrittenParts({
    checkpoint,
    computed,
    typeOf: storedAs(dtype, quantisable),
    changed: (name, tensor) => {
      const saved = savedIn(adapter, name);
      if (saved !== undefined) return Promise.resolve(saved);
      const path = moduleOf(adapter, name);
      return path === null ? null : mergedOnHost(kernels, adapter, path, tensor);
    },
  });

/** Whether a weight of the merged model is in NF4. */
export const hasNf4 = ({ checkpoint, dtype, quantisable }: Plan): boolean => {
  const typeOf = storedAs(dtype, quantisable);
  return checkpoint.names.some((name) => isNf4(typeOf(name, checkpoint.spec(name)!)));
};

/** The storage types of the merged weights, each once. */
export const mergedTypes = ({ checkpoint, adapter, dtype, quantisable }: Plan): readonly string[] => {
  const typeOf = storedAs(dtype, quantisable);
  const names = [...Object.keys(adapter.modules).map(weightOf), ...Object.keys(adapter.saved ?? {})];
  const stored = names.filter((name) => checkpoint.spec(name) !== undefined);
  return [...new Set(stored.map((name) => typeOf(name, checkpoint.spec(name)!)))];
};

/**
 * An adapter merged into a checkpoint, tensor by tensor: what is in memory is one tensor with its copies.
 *
 *   PaCA   W̃ = fl(widen(W) + fl(s·δ)) at the selected columns, the rounding that the forward pass declares
 *   LoRA   W̃ = fl(widen(W) + fl(s·B A)), the product in the backend's declared order; MosLoRA with M A in place of A
 *   DoRA   fl(c ⊙ W̃) of LoRA's, c = fl(m/‖W̃‖) row by row
 *
 * and then each number rounded once to the storage type.
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
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensor, type HostTensorOf, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import type { AdapterFile } from './adapter.ts';
import { loraScale } from './adapter-lora.ts';
import { checkAdapter, type LinearMaps } from './adapter-places.ts';
import type { Checkpoint } from './checkpoint.ts';
import { tensorBytes } from './little-endian.ts';
import { narrowHost, type StorageType, storageTypes } from './narrow-host.ts';
import { inFileOrder, safetensorsHead } from './safetensors.ts';
import { widenHost } from './widen-host.ts';

export interface Merge<T extends Spec> {
  readonly kernels: Kernels<T>;
  readonly checkpoint: Checkpoint;
  /** One that {@link checkMerge} found good. */
  readonly adapter: AdapterFile;
  /** The type of every weight; null: each keeps its own. */
  readonly dtype: StorageType | null;
}

/** A part of the file, and how far rounding moved a number of it. */
export interface MergedPart {
  readonly bytes: Uint8Array;
  readonly error: number;
}

const isStorage = (dtype: string): dtype is StorageType => (storageTypes as readonly string[]).includes(dtype);

const weightOf = (path: string): string => `${path}.weight`;

/** What each module adapts is there, of the map's shape, and a weight. */
const checkWeights = (checkpoint: Checkpoint, adapter: AdapterFile, maps: LinearMaps): Result<void> => {
  for (const path of Object.keys(adapter.modules)) {
    const { in: width, out } = maps.get(path)!;
    const found = checkpoint.spec(weightOf(path));
    if (found === undefined || !sameShape(found.shape, [out, width]) || !isStorage(found.dtype)) {
      const expected = `a weight of shape [${out}, ${width}] in f32, f16 or bf16`;
      const came = found === undefined ? 'none' : showSpec(found);
      return fail('ShapeError', expected, came, `${checkpoint.where}, ${weightOf(path)}`);
    }
  }
  return E.right(undefined);
};

/** The adapter fits the model and the checkpoint. */
export const checkMerge = (checkpoint: Checkpoint, adapter: AdapterFile, maps: LinearMaps): Result<void> =>
  pipe(
    checkAdapter(adapter, maps),
    E.chain(() => checkWeights(checkpoint, adapter, maps)),
  );

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

const partOf = async <T extends Spec>(
  { kernels, checkpoint, adapter }: Merge<T>,
  name: string,
  { dtype }: Spec,
): Promise<Result<MergedPart>> => {
  const read = await checkpoint.read(name);
  if (E.isLeft(read)) return read;
  const path = moduleOf(adapter, name);
  if (path === null && read.right.dtype === dtype) return E.right({ bytes: tensorBytes(read.right), error: 0 });
  const wide: Result<HostTensorOf<'f32'>> =
    path === null ? widenHost(read.right, name) : E.right(await mergedOnHost(kernels, adapter, path, read.right));
  return pipe(
    wide,
    E.chain((tensor) => narrowHost(tensor, dtype as StorageType, name)),
    E.map(({ tensor, error }) => ({ bytes: tensorBytes(tensor), error })),
  );
};

/** Tensors that hold no weights (buffers of whole numbers, f64) keep their type. */
const storedAs = ({ dtype, shape }: Spec, wanted: StorageType | null): Spec => ({
  dtype: wanted !== null && isStorage(dtype) ? wanted : dtype,
  shape,
});

/** The parts of `model.safetensors`, in order. Errors: those of reading, and a number beyond the storage type. */
export async function* mergedParts<T extends Spec>(merge: Merge<T>): AsyncGenerator<Result<MergedPart>> {
  const { checkpoint, dtype } = merge;
  const specs = checkpoint.names.map((name) => [name, storedAs(checkpoint.spec(name)!, dtype)] as const);
  const ordered = inFileOrder(Object.fromEntries(specs));
  yield E.right({ bytes: safetensorsHead(ordered, { format: 'pt' }), error: 0 });
  for (const [name, spec] of ordered) yield await partOf(merge, name, spec);
}

/** The storage types of the merged weights, each once. */
export const mergedTypes = ({ checkpoint, adapter, dtype }: Omit<Merge<Spec>, 'kernels'>): readonly string[] =>
  dtype === null
    ? [...new Set(Object.keys(adapter.modules).map((path) => checkpoint.spec(weightOf(path))!.dtype))]
    : [dtype];

/**
 * A checkpoint written again as one safetensors file, tensor by tensor, some of them in another type or with other
 * numbers. In memory is one tensor at a time, with its copies.
 *
 * Law: a tensor that keeps its type and its numbers keeps its bytes.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { type QuantisationError, quantisationError, quantise } from '../quant/quantise.ts';
import type { DType } from '../spec/dtype.ts';
import type { Result } from '../spec/errors.ts';
import { isNf4, type Nf4Type } from '../spec/nf4.ts';
import { bytesOf, type HostTensor, type HostTensorOf, type Spec, sizeOf } from '../spec/tensor.ts';
import type { Checkpoint } from './checkpoint.ts';
import { joinBytes } from './digest.ts';
import { tensorBytes } from './little-endian.ts';
import { narrowHost, type StorageType } from './narrow-host.ts';
import { type ComputeType, fileSpecs, nf4Parts } from './nf4-file.ts';
import { inFileOrder, safetensorsHead } from './safetensors.ts';
import { widenHost } from './widen-host.ts';

export interface Rewriting {
  readonly checkpoint: Checkpoint;
  /** The type in which a tensor is stored: its own, or one of storage for weights. */
  readonly typeOf: (name: string, spec: Spec) => DType;
  /** What a tensor becomes before it is stored; null where its numbers stay. */
  readonly changed: (name: string, tensor: HostTensor) => Promise<HostTensorOf<'f32'>> | null;
  /** What bitsandbytes is to dequantise NF4 weights to. */
  readonly computed: ComputeType;
}

/** A weight that was quantised, and how far it moved. */
export interface QuantisedWeight extends QuantisationError {
  readonly name: string;
  /** That a number of it takes, scales among them. */
  readonly bits: number;
}

/** A part of the file, how far rounding to 16 bits moved a number of it, and what was quantised in it. */
export interface WrittenPart {
  readonly bytes: Uint8Array;
  readonly error: number;
  readonly quantised: QuantisedWeight | null;
}

type Named = readonly (readonly [name: string, spec: Spec])[];

/** NF4 weights first, each a multiple of 8 bytes, so that whatever follows lies where it would without them. */
const inOrder = (specs: Named): Named => {
  const [packed, others] = [true, false].map((wanted) => specs.filter(([, { dtype }]) => isNf4(dtype) === wanted));
  const sorted = [...packed!].sort(([a], [b]) => (a < b ? -1 : 1));
  return [...sorted, ...inFileOrder(Object.fromEntries(others!))];
};

const bytesOfNf4 = (name: string, tensor: HostTensor, computed: ComputeType): Uint8Array =>
  joinBytes(nf4Parts(name, tensor as HostTensorOf<Nf4Type>, computed).map(([, part]) => tensorBytes(part)));

const stored = (name: string, wide: HostTensorOf<'f32'>, dtype: DType, computed: ComputeType): Result<WrittenPart> => {
  if (isNf4(dtype)) {
    return pipe(
      quantise(wide, dtype, name),
      E.map((tensor) => {
        const bits = (8 * bytesOf(tensor)) / sizeOf(tensor.shape);
        return {
          bytes: bytesOfNf4(name, tensor, computed),
          error: 0,
          quantised: { name, bits, ...quantisationError(wide, tensor as HostTensorOf<Nf4Type>) },
        };
      }),
    );
  }
  return pipe(
    narrowHost(wide, dtype as StorageType, name),
    E.map(({ tensor, error }) => ({ bytes: tensorBytes(tensor), error, quantised: null })),
  );
};

const partOf = async (
  { checkpoint, changed, computed }: Rewriting,
  name: string,
  { dtype }: Spec,
): Promise<Result<WrittenPart>> => {
  const read = await checkpoint.read(name);
  if (E.isLeft(read)) return read;
  const made = changed(name, read.right);
  if (made === null && read.right.dtype === dtype) {
    const bytes = isNf4(dtype) ? bytesOfNf4(name, read.right, computed) : tensorBytes(read.right);
    return E.right({ bytes, error: 0, quantised: null });
  }
  return pipe(
    made === null ? widenHost(read.right, name) : E.right(await made),
    E.chain((wide) => stored(name, wide, dtype, computed)),
  );
};

/** The parts of `model.safetensors`, in order. Errors: those of reading, and a number that the type does not hold. */
export async function* rewrittenParts(rewriting: Rewriting): AsyncGenerator<Result<WrittenPart>> {
  const { checkpoint, typeOf } = rewriting;
  const ordered = inOrder(
    checkpoint.names.map((name) => {
      const spec = checkpoint.spec(name)!;
      return [name, { dtype: typeOf(name, spec), shape: spec.shape }];
    }),
  );
  const head = safetensorsHead(
    ordered.flatMap(([name, spec]) => fileSpecs(name, spec)),
    { format: 'pt' },
  );
  yield E.right({ bytes: head, error: 0, quantised: null });
  for (const [name, spec] of ordered) yield await partOf(rewriting, name, spec);
}

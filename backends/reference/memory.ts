/**
 * Tensors of the reference backend, and who may still use them.
 *
 * A handle is a spec over a storage; views share the storage. The memory counts the bytes of the storages that are
 * alive, and knows scopes: what was made inside and is not in the result is released at the end. A handle that was
 * released or donated throws when it is used: a use-after-free, which in a faster backend would be silent.
 */

import type { MemoryUse } from '../../src/core/ops.ts';
import { leavesIn } from '../../src/core/tree.ts';
import { bytesPerElement, type DType, type HostArrays, hostArray, storedLength } from '../../src/spec/dtype.ts';
import { defect } from '../../src/spec/errors.ts';
import { type Shape, type Spec, showSpec, sizeOf } from '../../src/spec/tensor.ts';

/** Mutable, and private to this file's functions. */
interface Storage {
  readonly bytes: number;
  /** Handles that are alive on it. */
  users: number;
}

/** The handle `T` of this backend. */
export interface ReferenceTensor extends Spec {
  readonly data: HostArrays[DType];
  readonly storage: Storage;
  /** Why it can't be used any more, or null. */
  gone: 'donated' | 'released' | null;
}

export type FloatArray = Float32Array | Float64Array;

export interface Memory {
  /** A new zeroed tensor. */
  readonly create: (dtype: DType, shape: Shape) => ReferenceTensor;
  /** The same storage under another shape. */
  readonly view: (x: ReferenceTensor, shape: Shape) => ReferenceTensor;
  readonly scope: <A>(body: () => A) => A;
  readonly donate: (tree: unknown) => void;
  readonly use: () => MemoryUse;
  readonly resetPeak: () => void;
}

/** The data of a handle that may still be used. */
export const dataOf = (x: ReferenceTensor): HostArrays[DType] =>
  x.gone === null ? x.data : defect(`use of a ${x.gone} tensor ${showSpec(x)}`);

export const floatsOf = (x: ReferenceTensor): FloatArray =>
  x.dtype === 'f32' || x.dtype === 'f64'
    ? (dataOf(x) as FloatArray)
    : defect(`floating-point tensor expected, got ${showSpec(x)}`);

export const intsOf = (x: ReferenceTensor): Int32Array =>
  x.dtype === 'i32' ? (dataOf(x) as Int32Array) : defect(`i32 tensor expected, got ${showSpec(x)}`);

export const createMemory = (): Memory => {
  let live = 0;
  let peak = 0;
  let current: ReferenceTensor[] | null = null;

  const register = (x: ReferenceTensor): ReferenceTensor => {
    current?.push(x);
    return x;
  };

  const release = (x: ReferenceTensor, why: 'donated' | 'released'): void => {
    if (x.gone !== null) return;
    x.gone = why;
    x.storage.users -= 1;
    if (x.storage.users === 0) live -= x.storage.bytes;
  };

  const close = (made: readonly ReferenceTensor[], kept: ReadonlySet<Spec>): void => {
    for (const x of made) {
      if (kept.has(x)) register(x);
      else release(x, 'released');
    }
  };

  return {
    create: (dtype, shape) => {
      const data = hostArray(dtype, storedLength(dtype, sizeOf(shape)));
      const bytes = data.length * bytesPerElement(dtype);
      live += bytes;
      peak = Math.max(peak, live);
      return register({ dtype, shape, data, storage: { bytes, users: 1 }, gone: null });
    },
    view: (x, shape) => {
      const data = dataOf(x);
      x.storage.users += 1;
      return register({ dtype: x.dtype, shape, data, storage: x.storage, gone: null });
    },
    scope: (body) => {
      const outer = current;
      const made: ReferenceTensor[] = [];
      current = made;
      let kept: ReadonlySet<Spec> = new Set();
      try {
        const result = body();
        kept = new Set(leavesIn(result));
        return result;
      } finally {
        current = outer;
        close(made, kept);
      }
    },
    donate: (tree) => {
      for (const x of leavesIn(tree)) {
        dataOf(x as ReferenceTensor);
        release(x as ReferenceTensor, 'donated');
      }
    },
    use: () => ({ live, peak }),
    resetPeak: () => {
      peak = live;
    },
  };
};

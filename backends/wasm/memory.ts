/**
 * Tensors of the WebAssembly backend, and who may still use them: the contract of the reference's memory, over one
 * linear memory that the kernels and their threads share.
 *
 * A handle is a spec over a storage, views share the storage, and a storage without users gives its bytes back. A new
 * tensor is not zeroed. A handle that was released or donated throws when it is used.
 */
import type { MemoryUse } from '../../src/core/ops.ts';
import { leavesIn } from '../../src/core/tree.ts';
import type { DType } from '../../src/spec/dtype.ts';
import { defect, fail, orThrow } from '../../src/spec/errors.ts';
import { bytesOf, type Shape, type Spec, showSpec } from '../../src/spec/tensor.ts';
import { blockLength, createAllocator } from './allocator.ts';

/** Bytes of one page of linear memory. */
export const PAGE = 65536;

/** Mutable, and private to this file's functions. */
interface Storage {
  readonly start: number;
  readonly bytes: number;
  /** Handles that are alive on it. */
  users: number;
}

/** The handle `T` of this backend. */
export interface WasmTensor extends Spec {
  /** Byte address. Kernels get it through {@link Memory.pointerOf}, which refuses handles that are gone. */
  readonly pointer: number;
  readonly storage: Storage;
  /** Why it can't be used any more, or null. */
  gone: 'donated' | 'released' | null;
}

export interface Memory {
  /** A new tensor; its content is whatever lay there. Throws a BackendError when the memory is full. */
  readonly create: (dtype: DType, shape: Shape) => WasmTensor;
  /** The same storage under another shape. */
  readonly view: (x: WasmTensor, shape: Shape) => WasmTensor;
  readonly pointerOf: (x: WasmTensor) => number;
  /**
   * A new tensor of the spec of one that `release` gives up: in its bytes if nobody else uses them, so that a kernel that
   * reads each element before it writes it there may still read it.
   */
  readonly succeed: (old: WasmTensor, release: (old: WasmTensor) => void) => WasmTensor;
  /** The whole memory as it is now; `create` may grow it, so a view is not to be kept over one. */
  readonly bytes: () => Uint8Array;
  readonly scope: <A>(body: () => A) => A;
  readonly donate: (tree: unknown) => void;
  readonly use: () => MemoryUse;
  readonly resetPeak: () => void;
}

/** The address of a handle that may still be used. */
export const pointerOf = (x: WasmTensor): number =>
  x.gone === null ? x.pointer : defect(`use of a ${x.gone} tensor ${showSpec(x)}`);

export const floatsOf = (x: WasmTensor): number =>
  x.dtype === 'f32' ? pointerOf(x) : defect(`f32 tensor expected, got ${showSpec(x)}`);

export const intsOf = (x: WasmTensor): number =>
  x.dtype === 'i32' ? pointerOf(x) : defect(`i32 tensor expected, got ${showSpec(x)}`);

/** The least that the memory grows by. */
const GROWTH = 16 * 1024 * 1024;

const mebibytes = (bytes: number): string => `${(bytes / 1048576).toFixed(1)} MiB`;

/** A memory of tensors from the address `start` to at most `limit`, growing `linear` as it fills. */
export const createMemory = (linear: WebAssembly.Memory, start: number, limit: number): Memory => {
  const allocator = createAllocator(start, Math.min(linear.buffer.byteLength, limit));
  let bytes = new Uint8Array(linear.buffer);
  let live = 0;
  let peak = 0;
  let current: WasmTensor[] | null = null;

  const growTo = (size: number): boolean => {
    const pages = Math.ceil((Math.min(size, limit) - bytes.length) / PAGE);
    if (pages <= 0) return false;
    try {
      linear.grow(pages);
    } catch {
      return false; // the engine has no room for it; the memory is as it was
    }
    bytes = new Uint8Array(linear.buffer);
    allocator.extend(Math.min(bytes.length, limit));
    return true;
  };

  /** Grows by half, so that a growing memory asks the engine seldom; else by what is needed. */
  const grow = (needed: number): boolean =>
    growTo(bytes.length + Math.max(needed, GROWTH, bytes.length / 2)) || growTo(bytes.length + needed);

  const allocate = (spec: Spec, needed: number): number => {
    let address = allocator.take(needed);
    while (address === null && grow(blockLength(needed))) address = allocator.take(needed);
    return (
      address ??
      orThrow(
        fail(
          'BackendError',
          `at most ${mebibytes(limit - start)} of WebAssembly memory`,
          `${showSpec(spec)}, ${mebibytes(needed)} more than the ${mebibytes(live)} in use leave room for`,
          'the memory of the wasm backend',
        ),
      )
    );
  };

  const register = (x: WasmTensor): WasmTensor => {
    current?.push(x);
    return x;
  };

  const discard = (x: WasmTensor, why: 'donated' | 'released'): void => {
    if (x.gone !== null) return;
    x.gone = why;
    const { storage } = x;
    storage.users -= 1;
    if (storage.users > 0) return;
    live -= storage.bytes;
    allocator.giveBack(storage.start, storage.bytes);
  };

  const close = (made: readonly WasmTensor[], kept: ReadonlySet<Spec>): void => {
    for (const x of made) {
      if (kept.has(x)) register(x);
      else discard(x, 'released');
    }
  };

  const create = (dtype: DType, shape: Shape): WasmTensor => {
    const needed = bytesOf({ dtype, shape });
    const address = allocate({ dtype, shape }, needed);
    live += needed;
    peak = Math.max(peak, live);
    const storage: Storage = { start: address, bytes: needed, users: 1 };
    return register({ dtype, shape, pointer: address, storage, gone: null });
  };

  const view = (x: WasmTensor, shape: Shape): WasmTensor => {
    const pointer = pointerOf(x);
    x.storage.users += 1;
    return register({ dtype: x.dtype, shape, pointer, storage: x.storage, gone: null });
  };

  return {
    create,
    view,
    pointerOf,
    succeed: (old, release) => {
      const next = view(old, old.shape);
      release(old);
      if (next.storage.users === 1) return next;
      discard(next, 'released');
      return create(old.dtype, old.shape);
    },
    bytes: () => bytes,
    scope: (body) => {
      const outer = current;
      const made: WasmTensor[] = [];
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
        pointerOf(x as WasmTensor);
        discard(x as WasmTensor, 'donated');
      }
    },
    use: () => ({ live, peak }),
    resetPeak: () => {
      peak = live;
    },
  };
};

/**
 * The WebAssembly backend: the reference's bits at the speed of 128-bit SIMD, on one thread or several.
 *
 * `relaxed` takes the build with fused multiply-add: bounded instead of exact, where the engine has it.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Backend } from '../../src/core/backend.ts';
import { type Kernels, kernels } from '../../src/core/fused.ts';
import type { Ops } from '../../src/core/ops.ts';
import { fail, type Result } from '../../src/spec/errors.ts';
import { conversion } from './conversion.ts';
import { elementwise } from './elementwise.ts';
import type { Exports } from './exports.ts';
import { fusedActivations } from './fused-activations.ts';
import { fusedAdamw } from './fused-adamw.ts';
import { fusedAttention } from './fused-attention.ts';
import { fusedLosses } from './fused-losses.ts';
import { fusedNorms } from './fused-norms.ts';
import { fusedProducts } from './fused-products.ts';
import { indexing } from './indexing.ts';
import { createMemory, type Memory, PAGE, type WasmTensor } from './memory.ts';
import { features, type Loaded, load, MOST_BYTES, RESERVED_BYTES } from './module.ts';
import { inParallel } from './parallel.ts';
import { alone, type Hire, type Pool, team } from './pool.ts';
import { products } from './products.ts';
import { reductions } from './reductions.ts';
import { windows } from './windows.ts';
import { CONTROL_BYTES } from './worker.ts';

export type { WasmTensor } from './memory.ts';

export interface WasmOptions {
  /** Threads, this one included. More than one need `hire`. */
  readonly threads: number;
  /** How workers are started here. */
  readonly hire: Hire;
  readonly relaxed?: boolean;
  /** The most bytes that the memory may grow to. */
  readonly limit?: number;
}

export interface WasmBackend extends Backend<WasmTensor> {
  /** What it runs on, and why not on more threads. */
  readonly why: string;
}

const MOST_THREADS = 64;

/** Some milliseconds of multiplications and additions, and how many there are in each repetition. */
const PEAK_REPEATS = 200_000;
const PEAK_OPERATIONS = 96;

/** Why this engine cannot run the kernels, or null. */
const lacking = (relaxed: boolean): string | null => {
  const has = features();
  if (!has.simd) return 'an engine without WebAssembly SIMD';
  if (!has.sharedMemory) return 'an engine without shared WebAssembly memory';
  return relaxed && !has.relaxedSimd ? 'an engine without relaxed SIMD' : null;
};

/** Whether memory can be shared with workers; a page needs to be cross-origin isolated for it. */
const canShare = (): boolean =>
  typeof SharedArrayBuffer === 'function' &&
  (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !== false;

const kernelsOver = (exports: Exports, memory: Memory, pool: Pool): Kernels<WasmTensor> => {
  const shared = inParallel(exports, pool);
  const product = products(memory, pool);
  const ops: Ops<WasmTensor> = {
    float: 'f32',
    scope: memory.scope,
    donate: memory.donate,
    memory: memory.use,
    resetPeak: memory.resetPeak,
    ...elementwise(shared, memory),
    ...conversion(shared, memory),
    ...indexing(shared, memory),
    ...reductions(shared, memory),
    ...windows(shared, memory),
    matmul: product.matmul,
  };
  return kernels(ops, {
    ...fusedProducts(ops, memory, product),
    ...fusedActivations(shared, memory),
    ...fusedAttention(shared, memory, pool),
    ...fusedNorms(shared, memory),
    ...fusedLosses(shared, memory, ops),
    adamw: fusedAdamw(shared, memory),
  });
};

/** Where things lie: constants, control words, a packing space for each thread, tensors. */
const layOut = ({ memory, exports }: Loaded, threads: number): { scratch: readonly number[]; tensors: number } => {
  const step = exports.scratchBytes();
  const first = RESERVED_BYTES + Math.ceil(CONTROL_BYTES / PAGE) * PAGE;
  const tensors = Math.ceil((first + threads * step) / PAGE) * PAGE;
  memory.grow(tensors / PAGE - memory.buffer.byteLength / PAGE);
  return { scratch: Array.from({ length: threads }, (_, i) => first + i * step), tensors };
};

const describe = (threads: number, wanted: number, relaxed: boolean): string => {
  const kind = `WebAssembly SIMD${relaxed ? ' with fused multiply-add' : ''}, ${threads} thread${threads === 1 ? '' : 's'}`;
  return threads < wanted
    ? `${kind}: there is no shared memory for ${wanted}, the page is not cross-origin isolated`
    : kind;
};

/** The backend; `left` says what this engine lacks, or why a worker did not start. */
export const wasmBackend = async (options: WasmOptions): Promise<Result<WasmBackend>> => {
  const { threads: wanted, hire, relaxed = false, limit = MOST_BYTES } = options;
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > MOST_THREADS) {
    return fail('BackendError', `1 to ${MOST_THREADS} threads`, String(wanted), 'threads');
  }
  const lack = lacking(relaxed);
  if (lack !== null) return fail('BackendError', 'WebAssembly with SIMD and threads', lack, 'the wasm backend');
  const threads = canShare() ? wanted : 1;
  try {
    const loaded = load(relaxed ? 'relaxed' : 'baseline', limit);
    const { scratch, tensors } = layOut(loaded, threads);
    const pool =
      threads === 1 ? alone(loaded.exports, scratch[0] ?? 0) : await team(loaded, RESERVED_BYTES, scratch, hire);
    return E.right({
      name: relaxed ? 'wasm-relaxed' : 'wasm',
      conformance: relaxed ? 'bounded' : 'exact',
      threads,
      why: describe(threads, wanted, relaxed),
      peakWork: () => {
        loaded.exports.peakMultiplyAdd(PEAK_REPEATS);
        return PEAK_REPEATS * PEAK_OPERATIONS;
      },
      kernels: kernelsOver(loaded.exports, createMemory(loaded.memory, tensors, limit), pool),
      dispose: pool.dispose,
    });
  } catch (error) {
    return fail('BackendError', 'WebAssembly that loads and starts', String(error), 'the wasm backend');
  }
};

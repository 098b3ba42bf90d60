/**
 * The threads of the backend: one that calls, and workers over the same memory. Kernels are cut into calls that any of them
 * may take; see `worker.ts` for the protocol.
 *
 * Law: the bits of a result depend neither on the number of threads nor on who took which call.
 */
import { defect } from '../../src/spec/errors.ts';
import type { Exports } from './exports.ts';
import type { Loaded } from './module.ts';
import { controlOf, join, kernelNames, MOST_CALLS, publish, type Setup, stop, takeCalls } from './worker.ts';

/** The arguments of a kernel but for the last, the packing space of whoever calls it. */
export type Call = readonly number[];

export interface Pool {
  readonly threads: number;
  /** Into how many calls a kernel is cut that reads or writes so many elements, or does what takes as long. */
  readonly parts: (work: number) => number;
  /**
   * Does all calls of the kernel, in any order, and returns when the last is done: on this thread if they are worth
   * one part, else on any.
   */
  readonly run: (kernel: keyof Exports, calls: readonly Call[], parts: number) => void;
  readonly dispose: () => Promise<void>;
}

/** Workers that run. */
export interface Crew {
  /** Why one of them ended, or null while all are well. */
  readonly failure: () => string | null;
  readonly end: () => Promise<void>;
}

/** Starts one worker for each setup; rejects if one does not start. */
export type Hire = (setups: readonly Setup[]) => Promise<Crew>;

/** How long a worker may take to start, and how long one call may take before its worker counts as lost. */
export const START_PATIENCE = 20_000;
const CALL_PATIENCE = 120_000;

/** Elements that one more thread is woken for: a kernel runs some 5 µs over them, a sleeping thread wakes in 20. */
const LEAST_WORK = 1 << 14;

type Kernel = (...args: readonly number[]) => void;

const AFTER_DISPOSE = 'use of a wasm backend that was disposed of';

/** No workers: every call is done where it is made. */
export const alone = (exports: Exports, scratch: number): Pool => {
  let open = true;
  return {
    threads: 1,
    parts: () => 1,
    run: (kernel, calls) => {
      if (!open) defect(AFTER_DISPOSE);
      for (const args of calls) (exports[kernel] as Kernel)(...args, scratch);
    },
    dispose: async () => {
      open = false;
    },
  };
};

/** Whether this thread may sleep; the main thread of a browser may not. */
const maySleep = (words: Int32Array): boolean => {
  try {
    Atomics.wait(words, 0, Atomics.load(words, 0) ^ 1, 0);
    return true;
  } catch {
    return false;
  }
};

/** A worker for each packing space but the first, which is the caller's. */
export const team = async (
  { module, memory, exports }: Loaded,
  controlAddress: number,
  [own = 0, ...others]: readonly number[],
  hire: Hire,
): Promise<Pool> => {
  const names = kernelNames(module);
  const kernels = names.map((name) => exports[name as keyof Exports] as Kernel);
  const control = controlOf(memory, controlAddress, kernels);
  const sleeps = maySleep(control.words);
  const crew = await hire(others.map((scratch) => ({ module, memory, control: controlAddress, scratch })));
  const threads = others.length + 1;
  let broken: string | null = null;

  const runHere = (kernel: number, calls: readonly Call[]): void => {
    for (const args of calls) kernels[kernel]!(...args, own);
  };

  const runTask = (kernel: number, calls: readonly Call[]): void => {
    publish(control, kernel, calls);
    takeCalls(control, own);
    const outcome = join(control, calls.length, sleeps, CALL_PATIENCE);
    if (outcome === 'done') return;
    broken = outcome === 'lost' ? 'a thread of the wasm backend does not answer' : `kernel ${names[kernel]} failed`;
    defect(broken);
  };

  return {
    threads,
    parts: (work) => Math.max(1, Math.min(threads, Math.floor(work / LEAST_WORK))),
    run: (kernel, calls, parts) => {
      const failure = broken ?? crew.failure();
      if (failure !== null) defect(failure);
      const number = names.indexOf(kernel);
      if (parts < 2 || calls.length < 2) runHere(number, calls);
      else for (let i = 0; i < calls.length; i += MOST_CALLS) runTask(number, calls.slice(i, i + MOST_CALLS));
    },
    dispose: async () => {
      broken = AFTER_DISPOSE;
      stop(control);
      await crew.end();
    },
  };
};

/**
 * Fork and join over one shared memory: what the main thread and its workers agree on, and the program of a worker.
 *
 * A task is a kernel with up to {@link MOST_CALLS} lists of arguments. Whoever is free takes the next call, the main
 * thread too, so a late worker delays nothing. Each call computes its own part of the result: which thread takes it
 * changes no bit.
 *
 * The file imports nothing: scripts/build-wasm.js also writes it as a text, from which every runtime starts workers.
 */

/** Places of the control words, each group on a cache line of its own. */
const TICKET = 0;
const FINISHED = 16;
const SLEEPERS = 32;
const KERNEL = 48;
const ARITY = 49;
const FAILED = 50;

/** Where the arguments begin, in units of 8 bytes, and how many one call may have. */
const FIRST_ARGUMENT = 32;
const MOST_ARGUMENTS = 32;

export const MOST_CALLS = 255;
export const CONTROL_BYTES: number = 8 * (FIRST_ARGUMENT + MOST_ARGUMENTS * MOST_CALLS);

/** Loads of a waiting thread before it goes to sleep: some tens of microseconds, longer than most pauses in a step. */
const SPINS = 20_000;

/** The ticket after which a worker ends. Others are the number of calls · 256 + the next call. */
const STOP = -1;

type Kernel = (...args: readonly number[]) => void;

export interface Control {
  readonly words: Int32Array;
  readonly numbers: Float64Array;
  readonly kernels: readonly Kernel[];
}

/** What a worker is started with. */
export interface Setup {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Address of the control words. */
  readonly control: number;
  /** Address of the worker's packing space. */
  readonly scratch: number;
}

/** The names of the kernels, in the order by which tasks name them. */
export const kernelNames = (module: WebAssembly.Module): readonly string[] =>
  WebAssembly.Module.exports(module).map(({ name }) => name);

export const controlOf = (memory: WebAssembly.Memory, address: number, kernels: readonly Kernel[]): Control => ({
  words: new Int32Array(memory.buffer, address, CONTROL_BYTES / 4),
  numbers: new Float64Array(memory.buffer, address, CONTROL_BYTES / 8),
  kernels,
});

/** Takes the next call of the task: its number, or −1 if none is left. */
const takeCall = (words: Int32Array): number => {
  for (;;) {
    const ticket = Atomics.load(words, TICKET);
    const next = ticket & 255;
    if (ticket === STOP || next >= ticket >> 8) return -1;
    if (Atomics.compareExchange(words, TICKET, ticket, ticket + 1) === ticket) return next;
  }
};

const runCall = ({ words, numbers, kernels }: Control, call: number, scratch: number): void => {
  const first = FIRST_ARGUMENT + call * MOST_ARGUMENTS;
  const args = Array.from(numbers.subarray(first, first + words[ARITY]!));
  try {
    kernels[words[KERNEL]!]!(...args, scratch);
  } catch {
    Atomics.store(words, FAILED, 1);
  }
};

/** Does calls until none is left. Every kernel gets this thread's packing space as its last argument. */
export const takeCalls = (control: Control, scratch: number): void => {
  const { words } = control;
  for (let call = takeCall(words); call >= 0; call = takeCall(words)) {
    const calls = Atomics.load(words, TICKET) >> 8; // does not change before this call is finished
    runCall(control, call, scratch);
    if (Atomics.add(words, FINISHED, 1) + 1 === calls) Atomics.notify(words, FINISHED);
  }
};

/** Publishes a task of the kernel of this number and wakes the workers. All calls have the same number of arguments. */
export const publish = ({ words, numbers }: Control, kernel: number, calls: readonly (readonly number[])[]): void => {
  calls.forEach((args, i) => {
    numbers.set(args, FIRST_ARGUMENT + i * MOST_ARGUMENTS);
  });
  words[KERNEL] = kernel;
  words[ARITY] = calls[0]?.length ?? 0;
  words[FAILED] = 0;
  Atomics.store(words, FINISHED, 0);
  Atomics.store(words, TICKET, calls.length << 8);
  if (Atomics.load(words, SLEEPERS) > 0) Atomics.notify(words, TICKET);
};

/**
 * Waits until `calls` calls are finished: 'done', or 'failed' if one of them threw, or 'lost' if nothing more was finished
 * for `patience` milliseconds. Where this thread may not sleep, it spins.
 */
export const join = (
  { words }: Control,
  calls: number,
  maySleep: boolean,
  patience: number,
): 'done' | 'failed' | 'lost' => {
  let finished = Atomics.load(words, FINISHED);
  let deadline = 0;
  for (let spins = 0; finished < calls; spins++) {
    const before = finished;
    if (spins > SPINS) {
      if (deadline === 0) deadline = performance.now() + patience;
      else if (performance.now() > deadline) return 'lost';
      if (maySleep) Atomics.wait(words, FINISHED, before, 1000);
    }
    finished = Atomics.load(words, FINISHED);
    if (finished !== before) deadline = 0;
  }
  return Atomics.load(words, FAILED) === 0 ? 'done' : 'failed';
};

/** Ends every worker that looks at the control words. */
export const stop = ({ words }: Control): void => {
  Atomics.store(words, TICKET, STOP);
  Atomics.notify(words, TICKET);
};

/** The program of a worker: says that it is ready, and takes calls until it is stopped. */
export const serve = ({ module, memory, control, scratch }: Setup, ready: () => void): void => {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const own = controlOf(
    memory,
    control,
    kernelNames(module).map((name) => exports[name] as Kernel),
  );
  const { words } = own;
  ready();
  for (let idle = 0; ; idle++) {
    const ticket = Atomics.load(words, TICKET);
    if (ticket === STOP) return;
    if ((ticket & 255) < ticket >> 8) {
      takeCalls(own, scratch);
      idle = 0;
    } else if (idle > SPINS) {
      Atomics.add(words, SLEEPERS, 1);
      Atomics.wait(words, TICKET, ticket);
      Atomics.sub(words, SLEEPERS, 1);
      idle = 0;
    }
  }
};

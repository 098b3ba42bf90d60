/**
 * From a name to a backend, loaded only when it is asked for. The name comes from the caller (a config or an option),
 * else from the variable `PACA_BACKEND`, else it is `auto`: WebAssembly where the engine has what it needs, else the
 * reference. Both have the same bits.
 *
 * Errors are values and say why: an unknown name lists the known ones, an unavailable backend says what is missing.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Backend } from '../src/core/backend.ts';
import { fail, type PacaError, type Result, showError } from '../src/spec/errors.ts';
import type { Spec } from '../src/spec/tensor.ts';
import type { WasmTensor } from './wasm/backend.ts';
import type { Hire } from './wasm/pool.ts';

/** A backend whose handle type is not known: the caller's code is generic over it. */
export interface AnyBackend extends Backend<Spec> {
  /** What it runs on here, where that is not always the same. */
  readonly why?: string;
}

export interface BackendOptions {
  /**
   * Threads of the wasm backend; the others have one. Else the variable `PACA_THREADS`, else the processors there are,
   * up to {@link DEFAULT_THREADS}.
   */
  readonly threads?: number | undefined;
  /** The most bytes that the memory of the wasm backend may grow to, its own needs included; the others know no limit. */
  readonly memoryLimit?: number | undefined;
}

/** So many threads share a memory bus well on most machines; more only where asked for. */
export const DEFAULT_THREADS = 4;

/** As many workers as the control words of the pool have room for, and more than one memory can feed. */
export const MOST_THREADS = 64;

/** What `doctor` says of a backend, working or not. */
export interface BackendReport {
  readonly name: string;
  readonly available: boolean;
  /** Why not, or what it is. */
  readonly why: string;
  readonly threads: number;
  /** 128-bit vectors, and fused multiply-add on them: of the WebAssembly backends only. */
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  /** The most bytes of tensors, where there is a limit. */
  readonly memoryLimit: number | null;
  /** The graphics adapter, where there is one. */
  readonly adapter: string | null;
}

interface Entry {
  readonly about: string;
  readonly load: (options: BackendOptions) => Promise<Result<AnyBackend>>;
  readonly engine?: () => Promise<Engine>;
}

/** The handle type is forgotten here: whoever uses the backend gives it back its own handles. */
const sealed = <T extends Spec>(backend: Backend<T>): AnyBackend => backend as unknown as AnyBackend;

/** A variable of the environment, in whatever runtime this is; undefined where there is none, or it is empty. */
const fromEnvironment = (name: string): string | undefined => {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  return process?.env?.[name] || undefined;
};

/** What of the engine a report tells. */
type Engine = Pick<BackendReport, 'simd' | 'relaxedSimd' | 'memoryLimit' | 'adapter'>;

const noEngine: Engine = { simd: false, relaxedSimd: false, memoryLimit: null, adapter: null };

const wasmEngine = async (): Promise<Engine> => {
  const { features, MOST_BYTES } = await import('./wasm/module.ts');
  const { simd, relaxedSimd } = features();
  return { ...noEngine, simd, relaxedSimd, memoryLimit: MOST_BYTES };
};

/** Node, and Deno, which has its worker threads too. */
const isNode = (): boolean =>
  (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !== undefined;

/** How this runtime starts workers, and how many processors it has. */
const platform = async (): Promise<{ readonly hire: Hire; readonly processors: number }> => {
  if (isNode()) {
    const { hireInNode: hire, processors } = await import('./wasm/workers-node.ts');
    return { hire, processors };
  }
  const { hireInBrowser: hire } = await import('./wasm/workers-web.ts');
  return { hire, processors: navigator.hardwareConcurrency };
};

/** Threads as asked for, by the option or by the variable; null if by neither. */
const wantedThreads = ({ threads }: BackendOptions): Result<number | null> => {
  const variable = fromEnvironment('PACA_THREADS');
  const [wanted, where] = threads !== undefined ? [threads, 'threads'] : [variable, 'PACA_THREADS'];
  if (wanted === undefined) return E.right(null);
  const count = Number(wanted);
  return Number.isInteger(count) && count >= 1 && count <= MOST_THREADS
    ? E.right(count)
    : fail('ConfigError', `1 to ${MOST_THREADS} threads`, `'${wanted}'`, where);
};

const wasm =
  (relaxed: boolean) =>
  async (options: BackendOptions): Promise<Result<AnyBackend>> => {
    const wanted = wantedThreads(options);
    if (E.isLeft(wanted)) return wanted;
    const [{ wasmBackend }, { hire, processors }] = await Promise.all([import('./wasm/backend.ts'), platform()]);
    const threads = wanted.right ?? Math.min(processors, DEFAULT_THREADS);
    const { memoryLimit: limit } = options;
    return E.map(sealed<WasmTensor>)(
      await wasmBackend({ threads, hire, relaxed, ...(limit !== undefined && { limit }) }),
    );
  };

const unlimited = ({ memoryLimit }: BackendOptions, load: () => Promise<AnyBackend>): Promise<Result<AnyBackend>> =>
  memoryLimit === undefined
    ? load().then(E.right)
    : Promise.resolve(
        fail('ConfigError', 'the wasm backend, whose memory has a limit', `${memoryLimit} bytes`, 'memoryLimit'),
      );

const reference = (options: BackendOptions): Promise<Result<AnyBackend>> =>
  unlimited(options, async () => sealed((await import('./reference/backend.ts')).referenceF32()));

const notYet = (name: string): Promise<Result<AnyBackend>> =>
  Promise.resolve(
    fail('BackendError', 'a backend that this version has', `'${name}': planned, not in this version`, 'backend'),
  );

const entries: Readonly<Record<string, Entry>> = {
  reference: {
    about: 'plain TypeScript loops in f32: the specification, exact and slow',
    load: reference,
  },
  'reference-f64': {
    about: 'the same loops in f64: the oracle',
    load: (options) => unlimited(options, async () => sealed((await import('./reference/backend.ts')).referenceF64())),
  },
  wasm: { about: 'WebAssembly SIMD, exact', load: wasm(false), engine: wasmEngine },
  'wasm-relaxed': {
    about: 'WebAssembly SIMD with fused multiply-add, bounded',
    load: wasm(true),
    engine: wasmEngine,
  },
  webgpu: { about: 'WebGPU', load: () => notYet('webgpu') },
  gpujs: { about: 'gpu.js', load: () => notYet('gpujs') },
};

const AUTO = 'auto';

/** The names that can be given. */
export const backendNames: readonly string[] = [AUTO, ...Object.keys(entries)];

/** The fastest exact backend that works here. */
const automatic = async (options: BackendOptions): Promise<Result<AnyBackend>> => {
  const fast = await wasm(false)(options);
  const isUnavailable = E.isLeft(fast) && fast.left.tag === 'BackendError';
  return isUnavailable ? reference(options) : fast;
};

/** The name that counts: the given one, else the environment's, else `auto`. */
const backendName = (given?: string): string => given ?? fromEnvironment('PACA_BACKEND') ?? AUTO;

/**
 * The backend of a name.
 *
 * @example
 * ```ts
 * import { resolveBackend } from 'paca-ts/backends';
 * import * as E from 'fp-ts/lib/Either.js';
 *
 * const backend = await resolveBackend('reference');
 * E.isRight(backend) && backend.right.name; // => 'reference'
 * ```
 */
export const resolveBackend = (given?: string, options: BackendOptions = {}): Promise<Result<AnyBackend>> => {
  const name = backendName(given);
  if (name === AUTO) return automatic(options);
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  return entry === undefined
    ? Promise.resolve(fail('BackendError', `one of ${backendNames.join(', ')}`, `'${name}'`, 'backend'))
    : entry.load(options);
};

/** What this engine lacks; where the fault is the user's, the whole of it. */
const whyNot = (error: PacaError): string => (error.tag === 'BackendError' ? error.came : showError(error));

/** Tries every backend: which work here, and why the others do not. */
export const inspectBackends = (): Promise<readonly BackendReport[]> =>
  Promise.all(
    Object.entries(entries).map(async ([name, { about, load, engine }]): Promise<BackendReport> => {
      const [backend, features = noEngine] = await Promise.all([load({}), engine?.()]);
      if (E.isLeft(backend)) return { name, available: false, why: whyNot(backend.left), threads: 0, ...features };
      const { threads, why = about, dispose } = backend.right;
      await dispose();
      return { name, available: true, why, threads, ...features };
    }),
  );

/**
 * From a name to a backend, loaded only when it is asked for. The name comes from the caller (a config or an option),
 * else from the variable `PACA_BACKEND`, else it is `auto`: WebAssembly where the engine has what it needs, else the
 * reference. Both have the same bits.
 *
 * Errors are values and say why: an unknown name lists the known ones, an unavailable backend says what is missing.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Backend } from '../src/core/backend.ts';
import { fail, type Result } from '../src/spec/errors.ts';
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
}

/** So many threads share a memory bus well on most machines; more only where asked for. */
export const DEFAULT_THREADS = 4;

/** What `doctor` says of a backend, working or not. */
export interface BackendReport {
  readonly name: string;
  readonly available: boolean;
  /** Why not, or what it is. */
  readonly why: string;
  readonly threads: number;
  /** 128-bit vectors; fused multiply-add in them; the most bytes of tensors. For WebAssembly backends alone. */
  readonly simd?: boolean;
  readonly relaxedSimd?: boolean;
  readonly memoryLimit?: number;
}

interface Entry {
  readonly about: string;
  readonly load: (options: BackendOptions) => Promise<Result<AnyBackend>>;
  /** What else there is to report. */
  readonly features?: () => Promise<Partial<BackendReport>>;
}

/** The handle type is forgotten here: whoever uses the backend gives it back its own handles. */
const sealed = <T extends Spec>(backend: Backend<T>): AnyBackend => backend as unknown as AnyBackend;

/** A variable of the environment, in whatever runtime this is; undefined where there is none, or it is empty. */
const fromEnvironment = (name: string): string | undefined => {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  return process?.env?.[name] || undefined;
};

const wasmFeatures = async (): Promise<Partial<BackendReport>> => {
  const { simd, relaxedSimd } = (await import('./wasm/module.ts')).features();
  return { simd, relaxedSimd };
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

const wasm =
  (relaxed: boolean) =>
  async ({ threads }: BackendOptions): Promise<Result<AnyBackend>> => {
    const [{ wasmBackend }, { hire, processors }] = await Promise.all([import('./wasm/backend.ts'), platform()]);
    const wanted = threads ?? Number(fromEnvironment('PACA_THREADS') ?? Math.min(processors, DEFAULT_THREADS));
    return E.map(sealed<WasmTensor>)(await wasmBackend({ threads: wanted, hire, relaxed }));
  };

const reference = async (): Promise<Result<AnyBackend>> =>
  E.right(sealed((await import('./reference/backend.ts')).referenceF32()));

const notYet = (name: string): Promise<Result<AnyBackend>> =>
  Promise.resolve(fail('BackendError', 'a backend that this version has', `'${name}', which is planned`, 'backend'));

const entries: Readonly<Record<string, Entry>> = {
  reference: {
    about: 'plain TypeScript loops in f32: the specification, exact and slow',
    load: reference,
  },
  'reference-f64': {
    about: 'the same loops in f64: the oracle',
    load: async () => E.right(sealed((await import('./reference/backend.ts')).referenceF64())),
  },
  wasm: { about: 'WebAssembly SIMD, exact', load: wasm(false), features: wasmFeatures },
  'wasm-relaxed': {
    about: 'WebAssembly SIMD with fused multiply-add, bounded',
    load: wasm(true),
    features: wasmFeatures,
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
  return E.isRight(fast) ? fast : reference();
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

/** What of the engine matters to a WebAssembly backend. */
const engineOf = async (name: string): Promise<Pick<BackendReport, 'simd' | 'relaxedSimd' | 'memoryLimit'>> => {
  if (!name.startsWith('wasm')) return {};
  const { features, MOST_BYTES } = await import('./wasm/module.ts');
  const { simd, relaxedSimd } = features();
  return { simd, relaxedSimd, memoryLimit: MOST_BYTES };
};

/** Tries every backend: which work here, and why the others do not. */
export const inspectBackends = (): Promise<readonly BackendReport[]> =>
  Promise.all(
    Object.entries(entries).map(async ([name, { about, load }]): Promise<BackendReport> => {
      const engine = await engineOf(name);
      const backend = await load({});
      if (E.isLeft(backend)) return { name, available: false, why: backend.left.came, threads: 0, ...engine };
      const { threads, why = about, dispose } = backend.right;
      await dispose();
      return { name, available: true, why, threads, ...engine };
    }),
  );

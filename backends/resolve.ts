/**
 * From a name to a backend, loaded only when it is asked for. The name comes from the caller (a config or an option),
 * else from the variable `PACA_BACKEND`, else it is the reference.
 *
 * Errors are values and say why: an unknown name lists the known ones, an unavailable backend says what is missing.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Backend } from '../src/core/backend.ts';
import { fail, type Result } from '../src/spec/errors.ts';
import type { Spec } from '../src/spec/tensor.ts';

/** A backend whose handle type is not known: the caller's code is generic over it. */
export type AnyBackend = Backend<Spec>;

/** What `doctor` says of a backend, working or not. */
export interface BackendReport {
  readonly name: string;
  readonly available: boolean;
  /** Why not, or what it is. */
  readonly why: string;
  readonly threads: number;
}

interface Entry {
  readonly about: string;
  readonly load: () => Promise<Result<AnyBackend>>;
}

/** The handle type is forgotten here: whoever uses the backend gives it back its own handles. */
const sealed = <T extends Spec>(backend: Backend<T>): AnyBackend => backend as unknown as AnyBackend;

const notYet = (name: string): Promise<Result<AnyBackend>> =>
  Promise.resolve(fail('BackendError', 'a backend that this version has', `'${name}', which is planned`, 'backend'));

const entries: Readonly<Record<string, Entry>> = {
  reference: {
    about: 'plain TypeScript loops in f32: the specification, exact and slow',
    load: async () => E.right(sealed((await import('./reference/backend.ts')).referenceF32())),
  },
  'reference-f64': {
    about: 'the same loops in f64: the oracle',
    load: async () => E.right(sealed((await import('./reference/backend.ts')).referenceF64())),
  },
  wasm: { about: 'WebAssembly SIMD', load: () => notYet('wasm') },
  webgpu: { about: 'WebGPU', load: () => notYet('webgpu') },
  gpujs: { about: 'gpu.js', load: () => notYet('gpujs') },
};

/** The names that can be given. */
export const backendNames: readonly string[] = Object.keys(entries);

/** The variable of the environment, in whatever runtime this is; undefined where there is none. */
const fromEnvironment = (): string | undefined => {
  const { process } = globalThis as { process?: { env?: Readonly<Record<string, string | undefined>> } };
  return process?.env?.PACA_BACKEND || undefined;
};

/** The name that counts: the given one, else the environment's, else `reference`. */
export const backendName = (given?: string): string => given ?? fromEnvironment() ?? 'reference';

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
export const resolveBackend = (given?: string): Promise<Result<AnyBackend>> => {
  const name = backendName(given);
  const entry = Object.hasOwn(entries, name) ? entries[name] : undefined;
  return entry === undefined
    ? Promise.resolve(fail('BackendError', `one of ${backendNames.join(', ')}`, `'${name}'`, 'backend'))
    : entry.load();
};

/** Tries every backend: which work here, and why the others do not. */
export const inspectBackends = (): Promise<readonly BackendReport[]> =>
  Promise.all(
    Object.entries(entries).map(async ([name, { about, load }]): Promise<BackendReport> => {
      const backend = await load();
      if (E.isLeft(backend)) return { name, available: false, why: backend.left.came, threads: 0 };
      const { threads, dispose } = backend.right;
      await dispose();
      return { name, available: true, why: about, threads };
    }),
  );

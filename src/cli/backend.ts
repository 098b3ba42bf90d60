/** The backend that flags, config or environment name, held to the number of threads that was asked for. */
import * as E from 'fp-ts/lib/Either.js';
import { type AnyBackend, resolveBackend } from '../../backends/resolve.ts';
import { fail, type PacaError, type Result } from '../spec/errors.ts';

export interface BackendChoice {
  readonly backend?: string | undefined;
  readonly threads?: number | undefined;
}

/** `memoryLimit`: bytes. */
export const openBackend = async (
  { backend: name, threads }: BackendChoice,
  memoryLimit?: number,
): Promise<Result<AnyBackend>> => {
  const backend = await resolveBackend(name, { threads, memoryLimit });
  if (E.isLeft(backend)) return backend;
  const { name: found, threads: available } = backend.right;
  return threads === undefined || threads === available
    ? backend
    : fail('BackendError', `--threads ${available}, as ${found} runs on ${available}`, String(threads), 'threads');
};

/** Runs, and closes the backend whatever comes of it. */
export const closing = async <A>({ dispose }: Pick<AnyBackend, 'dispose'>, run: () => A | Promise<A>): Promise<A> => {
  try {
    return await run();
  } finally {
    await dispose();
  }
};

/** As V8 says that the host has no memory for an array. */
const noArray = /^(Invalid typed array length: \d|Array buffer allocation failed)/;

/** What a backend, or the host, throws where its memory is full; null for any other error. */
const fullMemory = (error: unknown): PacaError | null => {
  if (!(error instanceof Error)) return null;
  if (error.name === 'BackendError' && error.cause !== undefined) return error.cause as PacaError;
  const { name, message } = error;
  return name === 'RangeError' && noArray.test(message)
    ? { tag: 'BackendError', expected: 'numbers that this machine has memory for', came: message, where: 'memory' }
    : null;
};

/**
 * A command, with full memory as the error of its input that it is: whether a batch fits shows only when it runs. Other
 * things that are thrown are defects, and stay so.
 */
export const orFullMemory = async <A>(run: () => Promise<Result<A>>): Promise<Result<A>> => {
  try {
    return await run();
  } catch (error) {
    const full = fullMemory(error);
    if (full === null) throw error;
    return E.left(full);
  }
};

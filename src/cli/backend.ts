/** The backend that flags, config or environment name, held to the number of threads that was asked for. */
import * as E from 'fp-ts/lib/Either.js';
import { type AnyBackend, resolveBackend } from '../../backends/resolve.ts';
import { fail, type Result } from '../spec/errors.ts';

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

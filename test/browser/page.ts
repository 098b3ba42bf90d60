/** What runs in the page: the golden vectors on a backend that the address names, read over HTTP. */
import * as E from 'fp-ts/lib/Either.js';
import { resolveBackend } from '../../backends/resolve.ts';
import { fail, orThrow } from '../../src/spec/errors.ts';
import { type ReadFile, verifySuite } from '../../src/vectors/verify.ts';

const read: ReadFile = async (name) => {
  const response = await fetch(`/vectors/v1/${name}`);
  return response.ok
    ? E.right(new Uint8Array(await response.arrayBuffer()))
    : fail('FileError', 'a file', `status ${response.status}`, name);
};

/** The report of a backend, with what it says of itself. */
const verify = async (name: string, threads: number): Promise<unknown> => {
  const backend = orThrow(await resolveBackend(name, { threads }));
  const report = orThrow(await verifySuite(backend, read));
  await backend.dispose();
  return { ...report, why: backend.why ?? '', isolated: crossOriginIsolated };
};

Object.assign(globalThis, { verify });

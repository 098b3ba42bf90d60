/** The committed suite, as the tests read it. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as E from 'fp-ts/lib/Either.js';
import { decodeSafetensors } from '../../src/io/safetensors.ts';
import { fail, orThrow } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import type { ReadFile } from '../../src/vectors/verify.ts';

export const vectorsFolder: string = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'vectors');
const suiteFolder: string = join(vectorsFolder, 'v1');

export const suiteFile = (name: string): Uint8Array => new Uint8Array(readFileSync(join(suiteFolder, name)));

/** Every file of the suite, by its name relative to it. */
export const suiteFiles = (): ReadonlyMap<string, Uint8Array> =>
  new Map(
    readdirSync(suiteFolder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(suiteFolder.length + 1))
      .map((name) => [name, suiteFile(name)] as const),
  );

export const tensorsOf = (bytes: Uint8Array): Readonly<Record<string, HostTensor>> =>
  orThrow(decodeSafetensors(bytes, 'suite')).tensors;

/** A suite in memory, as `verifySuite` reads it. */
export const reading =
  (files: ReadonlyMap<string, Uint8Array>): ReadFile =>
  async (name) => {
    const bytes = files.get(name);
    return bytes === undefined ? fail('FileError', 'a file', 'none', name) : E.right(bytes);
  };

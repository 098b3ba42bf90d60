/** Files that ship with the package: the digits, the vectors. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as E from 'fp-ts/lib/Either.js';
import { fail, type Result } from '../spec/errors.ts';

/** The folder of the package, whether this file runs from `src/` or from `dist/src/`. */
export const packageRoot = (): string => {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json')) && dirname(folder) !== folder) folder = dirname(folder);
  return folder;
};

/** The bytes of a file, or why it can't be read. */
export const readBytes = async (path: string): Promise<Result<Uint8Array>> => {
  try {
    return E.right(new Uint8Array(await readFile(path)));
  } catch (e) {
    return fail('FileError', 'a file that can be read', e instanceof Error ? e.message : String(e), path);
  }
};

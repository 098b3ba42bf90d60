/**
 * A file larger than memory, written part by part, for Node and Deno.
 *
 * Law: the file has its name only when it is whole and flushed; a write that fails leaves nothing behind.
 */
import { dirname, join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import type { PacaError, Result } from '../spec/errors.ts';
import { attempt, type FileSystem, flushFolder, makeFolder, realFileSystem } from './files-node.ts';

/** Writes the parts in turn; the first that is an error ends it. */
const writeAll = async (
  fs: FileSystem,
  path: string,
  parts: AsyncIterable<Result<Uint8Array>>,
): Promise<PacaError | null> => {
  const file = await fs.open(path, 'wx');
  try {
    for await (const part of parts) {
      if (E.isLeft(part)) return part.left;
      await file.writeFile(part.right);
    }
    await file.sync();
    return null;
  } finally {
    await file.close();
  }
};

/** Errors: that of a part, and FileErrors with the system's reason. The folder is made if there is none. */
export const writeParts = async (
  path: string,
  parts: AsyncIterable<Result<Uint8Array>>,
  fs: FileSystem = realFileSystem,
): Promise<Result<void>> => {
  const target = resolve(path);
  const temporary = join(dirname(target), `.paca-tmp-${globalThis.crypto.randomUUID()}`);
  const written = await attempt('a file to write', target, async () => {
    await makeFolder(fs, dirname(target));
    const wrong = await writeAll(fs, temporary, parts);
    if (wrong === null) {
      await fs.rename(temporary, target);
      await flushFolder(fs, dirname(target));
    }
    return wrong;
  })();
  if (E.isRight(written) && written.right === null) return E.right(undefined);
  await attempt('a file to remove', temporary, () => fs.rm(temporary, { force: true }))();
  return E.isLeft(written) ? written : E.left(written.right as PacaError);
};

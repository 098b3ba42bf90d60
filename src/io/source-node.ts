/**
 * A folder on the disk as a source, for Node and Deno. Links are followed: the cache of Hugging Face is made of them.
 *
 * Law: as of {@link Source}; only plain files are read, so nothing waits for a pipe.
 */
import { join, resolve } from 'node:path';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { PacaError, Result } from '../spec/errors.ts';
import { attempt, type FileSystem, fileSize, ifExists, readPart, realFileSystem } from './files-node.ts';
import { checkPart, type Source } from './source.ts';
import { checkNames, isStoreName } from './store.ts';

const isPlainFile = async (fs: FileSystem, path: string): Promise<boolean> =>
  (await ifExists(() => fs.stat(path), undefined))?.isFile() ?? false;

const fileNames = async (fs: FileSystem, root: string): Promise<readonly string[]> => {
  const names: string[] = [];
  for (const entry of await fs.readdir(root, { withFileTypes: true })) {
    const plain = entry.isFile() || (entry.isSymbolicLink() && (await isPlainFile(fs, join(root, entry.name))));
    if (plain && isStoreName(entry.name)) names.push(entry.name);
  }
  return names.sort();
};

/** The folder as a source. FileErrors give the path and the system's reason. */
export const nodeSource = (folder: string, fs: FileSystem = realFileSystem): Source => {
  const root = resolve(folder);
  const named = <A>(expected: string, name: string, run: (path: string) => Promise<A>): TE.TaskEither<PacaError, A> =>
    pipe(
      TE.fromEither(checkNames([name], root)),
      TE.chain(() => attempt(expected, join(root, name), () => run(join(root, name)))),
    );
  return {
    list: () => attempt('a folder to list', root, () => fileNames(fs, root))(),
    size: (name) => named('a file', name, (path) => fileSize(fs, path))(),
    read: (name, from, length): Promise<Result<Uint8Array>> =>
      pipe(
        TE.fromEither(checkPart(from, length, join(root, name))),
        TE.chain(() => named(`${length} bytes from ${from} on`, name, (path) => readPart(fs, path, from, length))),
      )(),
  };
};

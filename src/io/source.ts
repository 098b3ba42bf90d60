/**
 * A folder that is only read, and in parts: what checkpoints of many gigabytes come from.
 *
 * Laws: `read(name, from, length)` gives exactly `length` bytes, the caller's own, or a FileError; parts joined are the
 * file. No memory is taken for bytes that the file does not have. No name leaves the folder.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';
import { checkNames, type Files, isStoreName } from './store.ts';

/** Names are those of a {@link Store}'s files. Errors are FileErrors: a bad name, no such file, a part beyond its end. */
export interface Source {
  /** The names of all files, sorted. */
  readonly list: () => Promise<Result<readonly string[]>>;
  /** The bytes of the file. */
  readonly size: (name: string) => Promise<Result<number>>;
  readonly read: (name: string, from: number, length: number) => Promise<Result<Uint8Array>>;
}

/** Whether `from` and `length` are places in a file at all. */
export const checkPart = (from: number, length: number, where: string): Result<void> =>
  [from, length, from + length].every((n) => Number.isSafeInteger(n) && n >= 0)
    ? E.right(undefined)
    : fail('FileError', 'a part from byte 0 on, of 0 bytes or more', `${length} bytes from ${from}`, where);

/** The whole file. */
export const readAll = async (source: Source, name: string): Promise<Result<Uint8Array>> => {
  const size = await source.size(name);
  return E.isLeft(size) ? size : source.read(name, 0, size.right);
};

/** Files in memory as a source, for browsers and tests. */
export const memorySource = (files: Files): Source => {
  const find = (name: string): Result<Uint8Array> =>
    pipe(
      checkNames([name], 'a source in memory'),
      E.chain(() => {
        const file = files.get(name);
        return file === undefined ? fail('FileError', 'a file', 'nothing of that name', name) : E.right(file);
      }),
    );
  return {
    list: async () => E.right([...files.keys()].filter(isStoreName).sort()),
    size: async (name) =>
      pipe(
        find(name),
        E.map((file) => file.length),
      ),
    read: async (name, from, length) =>
      pipe(
        checkPart(from, length, name),
        E.chain(() => find(name)),
        E.chain((file) =>
          from + length <= file.length
            ? E.right(new Uint8Array(file.subarray(from, from + length)))
            : fail('FileError', `${length} bytes from ${from} on`, `a file of ${file.length} bytes`, name),
        ),
      ),
  };
};

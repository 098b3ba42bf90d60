/**
 * What a store needs of a file system: flushed writes, whole reads, and errors as values.
 *
 * Law: when `writeFlushed` and then `flushFolder` of its folder have resolved, the file outlives a loss of power.
 */
import * as nodeFs from 'node:fs/promises';
import { dirname } from 'node:path';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { PacaError } from '../spec/errors.ts';

/** The functions of node:fs/promises that are called. A test passes its own, which fail. */
export type FileSystem = Pick<typeof nodeFs, 'mkdir' | 'open' | 'readdir' | 'rename' | 'rm' | 'stat'>;

export const realFileSystem: FileSystem = nodeFs;

/** The most bytes that one call reads: the system's own limit is 2 GiB. */
const chunkBytes = 2 ** 30;

const codeOf = (cause: unknown): string | undefined => (cause as { readonly code?: string }).code;

/** `ENOENT: no such file or directory`, from a message that goes on with the call and its path. */
const reasonOf = (cause: unknown): string => {
  const { message } = cause as Error;
  return /^[A-Z0-9]+: [^,]+/.exec(message)?.[0] ?? message;
};

/** What `run` resolves to; if it rejects, a FileError at `path` that says `expected` and gives the reason. */
export const attempt = <A>(expected: string, path: string, run: () => Promise<A>): TE.TaskEither<PacaError, A> =>
  TE.tryCatch(run, (cause) => ({ tag: 'FileError', expected, came: reasonOf(cause), where: path }));

/** What `run` resolves to, or `otherwise` if there is no such file or folder. */
export const ifExists = async <A, B>(run: () => Promise<A>, otherwise: B): Promise<A | B> => {
  try {
    return await run();
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return otherwise;
    throw cause;
  }
};

/** Creates the file and writes it through to the disk. */
export const writeFlushed = async (fs: FileSystem, path: string, bytes: Uint8Array): Promise<void> => {
  const file = await fs.open(path, 'wx');
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
};

export const appendTo = async (fs: FileSystem, path: string, bytes: Uint8Array): Promise<void> => {
  const file = await fs.open(path, 'a');
  try {
    await file.writeFile(bytes);
  } finally {
    await file.close();
  }
};

/** Reads from `position` on until `bytes` is full or the file ends; how many bytes came. A call may give fewer than asked. */
const fill = async (file: nodeFs.FileHandle, bytes: Uint8Array, position: number): Promise<number> => {
  let end = 0;
  for (let read = -1; read !== 0 && end < bytes.length; end += read)
    read = (await file.read(bytes, end, Math.min(chunkBytes, bytes.length - end), position + end)).bytesRead;
  return end;
};

/** The bytes of the file. (`readFile` refuses 2 GiB and more.) */
export const readWhole = async (fs: FileSystem, path: string): Promise<Uint8Array> => {
  const file = await fs.open(path, 'r');
  try {
    const bytes = new Uint8Array((await file.stat()).size);
    return bytes.subarray(0, await fill(file, bytes, 0));
  } finally {
    await file.close();
  }
};

/** Rejects unless a plain file lies at the path. Asked before it is opened: to open a pipe may wait for ever. */
export const fileSize = async (fs: FileSystem, path: string): Promise<number> => {
  const status = await fs.stat(path);
  if (!status.isFile()) throw new Error(status.isDirectory() ? 'a folder' : 'no plain file');
  return status.size;
};

/** `length` bytes of the file, from `from` on. Rejects if it has fewer, before memory is taken. */
export const readPart = async (fs: FileSystem, path: string, from: number, length: number): Promise<Uint8Array> => {
  const size = await fileSize(fs, path);
  if (from + length > size) throw new Error(`a file of ${size} bytes`);
  const file = await fs.open(path, 'r');
  try {
    const bytes = new Uint8Array(length);
    const end = await fill(file, bytes, from);
    if (end < length) throw new Error(`a file that ends at byte ${from + end}`);
    return bytes;
  } finally {
    await file.close();
  }
};

/** Systems on which a folder cannot be opened or flushed answer so; there a rename is as durable as it gets. */
const cannotFlush: readonly unknown[] = ['EBADF', 'EINVAL', 'EISDIR', 'ENOTSUP', 'EPERM'];

/** Writes the names in the folder through to the disk. */
export const flushFolder = async (fs: FileSystem, path: string): Promise<void> => {
  try {
    const folder = await fs.open(path, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  } catch (cause) {
    if (!cannotFlush.includes(codeOf(cause))) throw cause;
  }
};

/** Creates the folder and those above it. (Node 20 loops for ever in `mkdir('/proc/a/b', { recursive: true })`.) */
export const makeFolder = async (fs: FileSystem, path: string): Promise<void> => {
  if ((await ifExists(() => fs.stat(path), undefined)) !== undefined) return;
  if (dirname(path) !== path) await makeFolder(fs, dirname(path));
  await fs.mkdir(path);
  await flushFolder(fs, dirname(path));
};

/**
 * A store in a folder, for Node and Deno. What `write` and `writeGroup` wrote is on the disk when the promise resolves.
 *
 * A file is written under a temporary name, flushed, and renamed. So is a group, which is a folder `NAME`. A folder
 * cannot be renamed over a full one, so the old group first steps aside to `.paca-old-NAME`, where readers look if
 * there is no `NAME`:
 *
 *     write and flush TMP/*    rename NAME → OLD    rename TMP → NAME    flush    remove OLD
 *     NAME is old              OLD is old           NAME is new
 *
 * Laws: a folder called `NAME` is complete. Wherever the sequence stops, the old group or the new is readable, whole.
 * The next write tidies up: it removes temporaries and moves an OLD without NAME back.
 */
import { join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Result } from '../spec/errors.ts';
import {
  appendTo,
  attempt,
  type FileSystem,
  flushFolder,
  ifExists,
  makeFolder,
  readWhole,
  realFileSystem,
  writeFlushed,
} from './files-node.ts';
import { checkNames, type Files, isStoreName, type Store } from './store.ts';

interface Place {
  readonly fs: FileSystem;
  readonly root: string;
}

const temporaryPrefix = '.paca-tmp-';
const asidePrefix = '.paca-old-';

/** How often a reader looks again at a group that is replaced under its eyes. */
const looks = 10;

const targetOf = ({ root }: Place, name: string): string => join(root, name);
const asideOf = ({ root }: Place, name: string): string => join(root, `${asidePrefix}${name}`);
const temporaryOf = ({ root }: Place): string => join(root, `${temporaryPrefix}${globalThis.crypto.randomUUID()}`);

// Writing

/** Removes a folder. It first leaves its name for good, so that no reader takes what is left of it for the whole. */
const discard = async (place: Place, path: string): Promise<void> => {
  const temporary = temporaryOf(place);
  await place.fs.rename(path, temporary);
  await flushFolder(place.fs, place.root);
  await place.fs.rm(temporary, { recursive: true, force: true });
};

/** Undoes what a write that stopped half-way has left behind. */
const tidy = async (place: Place): Promise<void> => {
  const { fs, root } = place;
  for (const entry of await fs.readdir(root)) {
    const path = join(root, entry);
    if (entry.startsWith(temporaryPrefix)) await fs.rm(path, { recursive: true, force: true });
    if (entry.startsWith(asidePrefix)) {
      const target = targetOf(place, entry.slice(asidePrefix.length));
      const replaced = await ifExists(() => fs.stat(target), undefined);
      await (replaced === undefined ? fs.rename(path, target) : discard(place, path));
    }
  }
};

const replaceFile = async (place: Place, name: string, bytes: Uint8Array): Promise<void> => {
  const temporary = temporaryOf(place);
  await writeFlushed(place.fs, temporary, bytes);
  await place.fs.rename(temporary, targetOf(place, name));
  await flushFolder(place.fs, place.root);
};

/** Whether the folder exists. Rejects if a file has its name. */
const folderExists = async (fs: FileSystem, path: string): Promise<boolean> =>
  (await ifExists(() => fs.readdir(path), undefined)) !== undefined;

const replaceGroup = async (place: Place, name: string, files: Files): Promise<void> => {
  const { fs, root } = place;
  const [target, aside, temporary] = [targetOf(place, name), asideOf(place, name), temporaryOf(place)];
  const replaces = await folderExists(fs, target);
  await fs.mkdir(temporary);
  for (const [file, bytes] of files) await writeFlushed(fs, join(temporary, file), bytes);
  await flushFolder(fs, temporary);
  if (replaces) await fs.rename(target, aside);
  await fs.rename(temporary, target);
  await flushFolder(fs, root);
  if (replaces) await discard(place, aside);
};

const removeFolder = async (place: Place, name: string): Promise<void> => {
  const target = targetOf(place, name);
  if (await folderExists(place.fs, target)) await discard(place, target);
};

/** A write in a tidy folder, which is tidied again if the write fails. */
const tidily = async (place: Place, write: () => Promise<void>): Promise<void> => {
  await makeFolder(place.fs, place.root);
  await tidy(place);
  try {
    await write();
  } catch (cause) {
    await tidy(place).catch(() => undefined);
    throw cause;
  }
};

/** Runs tasks one after the other, in the order of the calls. */
const queue = (): (<A>(task: () => Promise<A>) => Promise<A>) => {
  let last: Promise<unknown> = Promise.resolve();
  return (task) => {
    const next = last.then(task);
    last = next;
    return next;
  };
};

// Reading

interface Listing {
  readonly files: readonly string[];
  readonly groups: readonly string[];
}

const listing = async ({ fs, root }: Place): Promise<Listing> => {
  const entries = await ifExists(() => fs.readdir(root, { withFileTypes: true }), []);
  const folders = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  const aside = folders.filter((name) => name.startsWith(asidePrefix)).map((name) => name.slice(asidePrefix.length));
  return {
    files: entries
      .filter((entry) => entry.isFile() && isStoreName(entry.name))
      .map(({ name }) => name)
      .sort(),
    groups: [...new Set([...folders, ...aside])].filter(isStoreName).sort(),
  };
};

/** Tells a folder from another that later has its path, and from itself after a change of its entries. */
const identity = async (fs: FileSystem, path: string): Promise<string> => {
  const { ino, mtimeNs } = await fs.stat(path, { bigint: true });
  return `${ino} ${mtimeNs}`;
};

/** The files of the folder; `undefined` if it is not there, or no longer the same when they are read. */
const snapshot = (fs: FileSystem, folder: string): Promise<Files | undefined> =>
  ifExists(async () => {
    const before = await identity(fs, folder);
    const files = new Map<string, Uint8Array>();
    for (const entry of await fs.readdir(folder, { withFileTypes: true }))
      if (entry.isFile() && isStoreName(entry.name))
        files.set(entry.name, await readWhole(fs, join(folder, entry.name)));
    return (await identity(fs, folder)) === before ? files : undefined;
  }, undefined);

const readFolder = async (place: Place, name: string): Promise<Files> => {
  for (let look = 0; look < looks; look++)
    for (const folder of [targetOf(place, name), asideOf(place, name)]) {
      const files = await snapshot(place.fs, folder);
      if (files !== undefined) return files;
    }
  throw new Error('no such group, or one that changes all the time');
};

// The store

/**
 * The store in the folder `root`, which the first write creates. Group `NAME` is the folder `NAME` in it. FileErrors
 * give the path and the system's reason (`ENOSPC: no space left on device`).
 */
export const nodeStore = (root: string, fs: FileSystem = realFileSystem): Store => {
  const place: Place = { fs, root: resolve(root) };
  const inTurn = queue();
  const named = <A>(expected: string, name: string, run: () => Promise<A>): Promise<Result<A>> =>
    pipe(
      TE.fromEither(checkNames([name], place.root)),
      TE.chain(() => attempt(expected, targetOf(place, name), run)),
    )();
  const write = (expected: string, name: string, run: () => Promise<void>): Promise<Result<void>> =>
    inTurn(() => named(expected, name, () => tidily(place, run)));
  const listed = (kind: keyof Listing): Promise<Result<readonly string[]>> =>
    attempt('a folder to list', place.root, async () => (await listing(place))[kind])();

  return {
    read: (name) => named('a file to read', name, () => readWhole(fs, targetOf(place, name))),
    write: (name, bytes) => write('a file to write', name, () => replaceFile(place, name, bytes)),
    append: (name, bytes) =>
      inTurn(() =>
        named('a file to append to', name, async () => {
          await makeFolder(fs, place.root);
          await appendTo(fs, targetOf(place, name), bytes);
        }),
      ),
    list: () => listed('files'),
    readGroup: (name) => named('a group to read', name, () => readFolder(place, name)),
    writeGroup: async (name, files) => {
      const names = checkNames(files.keys(), targetOf(place, name));
      return E.isLeft(names) ? names : write('a group to write', name, () => replaceGroup(place, name, files));
    },
    removeGroup: (name) => write('a group to remove', name, () => removeFolder(place, name)),
    listGroups: () => listed('groups'),
  };
};

export type { FileSystem };

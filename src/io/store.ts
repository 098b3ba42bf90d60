/**
 * Where a run keeps its files. A store holds files, and groups of files that belong together (a checkpoint, an adapter).
 *
 * Laws: a read returns the bytes of the last write that ended before it, or of one that ran beside it, whole and never
 * mixed. A write that fails or is cut off leaves the old content or the new one, whole. `append` alone is weaker: when
 * the machine stops, the last appended bytes may be missing or cut.
 * One store writes to a place at a time; its writes run one after the other. Any number may read.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';
import { excerpt } from '../spec/strict-json.ts';
import { joinBytes } from './digest.ts';

export type Files = ReadonlyMap<string, Uint8Array>;

/**
 * A name is one segment of a path: letters, digits, `.`, `_` and `-`, the first a letter or digit. Files and groups
 * share their names. Errors are FileErrors: a bad name, nothing of that name, a group where a file is meant or the
 * reverse, and what the medium reports. Bytes given to a write stay unchanged until its promise resolves; bytes that a
 * read returns are the caller's own.
 */
export interface Store {
  readonly read: (name: string) => Promise<Result<Uint8Array>>;
  /** Creates the file or replaces it whole. */
  readonly write: (name: string, bytes: Uint8Array) => Promise<Result<void>>;
  /** Adds to the end of the file, or creates it. */
  readonly append: (name: string, bytes: Uint8Array) => Promise<Result<void>>;
  /** The names of all files, sorted. Empty if nothing was ever written. */
  readonly list: () => Promise<Result<readonly string[]>>;
  readonly readGroup: (name: string) => Promise<Result<Files>>;
  /** Creates the group or replaces it whole: files of the old one do not stay. */
  readonly writeGroup: (name: string, files: Files) => Promise<Result<void>>;
  /** Removes the group, if there is one. */
  readonly removeGroup: (name: string) => Promise<Result<void>>;
  /** The names of all groups, sorted. Empty if nothing was ever written. */
  readonly listGroups: () => Promise<Result<readonly string[]>>;
}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

export const isStoreName = (name: string): boolean => namePattern.test(name);

/** The first of the names that a store refuses, as an error; otherwise `right`. No name that passes leaves its folder. */
export const checkNames = (names: Iterable<string>, where: string): Result<void> => {
  for (const name of names)
    if (!isStoreName(name))
      return fail(
        'FileError',
        'a name of letters, digits, ".", "_" and "-" that begins with a letter or digit',
        excerpt(name),
        where,
      );
  return E.right(undefined);
};

// A store in memory

type Item = Uint8Array | Files;

const copyFile = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes);

const copyFiles = (files: Files): Files => new Map([...files].map(([name, bytes]) => [name, copyFile(bytes)]));

const isFile = (item: Item): item is Uint8Array => item instanceof Uint8Array;

const isGroup = (item: Item): item is Files => !isFile(item);

/** A store in memory, for browsers and tests. Its state is one immutable map, replaced by each write. */
export const memoryStore = (): Store => {
  let items: ReadonlyMap<string, Item> = new Map();

  /** What has the name, if it is of the right kind. */
  const lookup = <A extends Item>(
    name: string,
    kind: (item: Item) => item is A,
    what: string,
  ): Result<A | undefined> => {
    const item = items.get(name);
    return pipe(
      checkNames([name], 'a store in memory'),
      E.chain(() => (item === undefined || kind(item) ? E.right(item) : fail('FileError', what, 'the other', name))),
    );
  };
  const file = (name: string): Result<Uint8Array | undefined> => lookup(name, isFile, 'a file, not a group');
  const group = (name: string): Result<Files | undefined> => lookup(name, isGroup, 'a group, not a file');
  const found =
    (name: string) =>
    <A>(item: A | undefined): Result<A> =>
      item === undefined ? fail('FileError', 'something stored', 'nothing of that name', name) : E.right(item);
  const put = (name: string, item: Item): void => {
    items = new Map([...items, [name, item]]);
  };
  const drop = (name: string): void => {
    items = new Map([...items].filter(([other]) => other !== name));
  };
  const names = (kind: (item: Item) => boolean): readonly string[] =>
    [...items].flatMap(([name, item]) => (kind(item) ? [name] : [])).sort();

  return {
    read: async (name) => pipe(file(name), E.chain(found(name)), E.map(copyFile)),
    write: async (name, bytes) =>
      pipe(
        file(name),
        E.map(() => put(name, copyFile(bytes))),
      ),
    append: async (name, bytes) =>
      pipe(
        file(name),
        E.map((old) => put(name, joinBytes(old === undefined ? [bytes] : [old, bytes]))),
      ),
    list: async () => E.right(names(isFile)),
    readGroup: async (name) => pipe(group(name), E.chain(found(name)), E.map(copyFiles)),
    writeGroup: async (name, files) =>
      pipe(
        checkNames(files.keys(), name),
        E.chain(() => group(name)),
        E.map(() => put(name, copyFiles(files))),
      ),
    removeGroup: async (name) =>
      pipe(
        group(name),
        E.map(() => drop(name)),
      ),
    listGroups: async () => E.right(names(isGroup)),
  };
};

/**
 * Checkpoints by name, `owner/name` or `owner/name@revision` of a Hugging Face hub, for Node and Deno. Files are kept as
 * huggingface_hub keeps them, so that both share one cache: `blobs/DIGEST`, `snapshots/COMMIT/NAME`, which is a link to a blob
 * (the file itself where a system has no links), and `refs/REVISION`, which holds the commit.
 *
 * Laws: a file gets its name only when it is whole and, read back, has the digest that the hub tells. What is there already
 * is held to its size alone and not fetched again, whoever fetched it. A fetch that was interrupted goes on where it
 * stopped. Processes that fetch one file at a time write each in a file of its own, and the first to be done is enough.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import * as fs from 'node:fs/promises';
import { homedir, hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import process from 'node:process';
import type { ListFileEntry } from '@huggingface/hub';
import * as E from 'fp-ts/lib/Either.js';
import { fail, type Result } from '../spec/errors.ts';
import { ifExists } from './files-node.ts';
import { isStoreName } from './store.ts';

export interface HubName {
  /** `owner/name`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

export interface Hub {
  readonly url: string;
  /** The folder of the cache. */
  readonly cache: string;
  /** Who asks; for repositories that not everyone may read. */
  readonly token: string | undefined;
  /** Asks nobody, and takes what was fetched before. */
  readonly offline: boolean;
}

/** What is told while files are fetched. */
export interface HubListener {
  readonly onFile: (name: string, bytes: number) => void;
  /** The hub could not be asked, and what was fetched before is taken. */
  readonly onOffline: (commit: string) => void;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** What a text names on a hub, if it may be such a name at all. */
export const parseHubName = (text: string): HubName | null => {
  const [, repo, revision = 'main'] = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@([\w./-]+))?$/.exec(text) ?? [];
  return repo === undefined || revision.split('/').some((part) => /^\.*$/.test(part)) ? null : { repo, revision };
};

/** The hub that the variables of Hugging Face's own tools name; an empty one counts as none. */
export const hubOf = (env: Environment): Hub => {
  const cache = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return {
    url: (env.HF_ENDPOINT || 'https://huggingface.co').replace(/\/+$/, ''),
    cache: env.HF_HUB_CACHE || join(env.HF_HOME || join(cache, 'huggingface'), 'hub'),
    token: env.HF_TOKEN || undefined,
    offline: /^(1|true|yes|on)$/i.test(env.HF_HUB_OFFLINE ?? ''),
  };
};

type Library = typeof import('@huggingface/hub');

const loadLibrary = async (): Promise<Result<Library>> => {
  try {
    return E.right(await import('@huggingface/hub'));
  } catch {
    const expected = 'the package @huggingface/hub, which fetches by name (npm install @huggingface/hub), or a folder';
    return fail('FileError', expected, 'neither', '@huggingface/hub');
  }
};

const folderOf = ({ cache }: Hub, { repo }: HubName): string => join(cache, `models--${repo.replace('/', '--')}`);

// Errors

const statusOf = (cause: unknown): number | undefined => (cause as { readonly statusCode?: number }).statusCode;

const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause);
  const inner = cause.cause instanceof Error ? `: ${cause.cause.message || cause.cause.name}` : '';
  return `${cause.message}${inner}`;
};

const failure = ({ url, token }: Hub, { repo, revision }: HubName, cause: unknown): Result<never> => {
  const status = statusOf(cause);
  const where = `${repo}@${revision}`;
  if (status === 404) return fail('FileError', `a folder, or a model and revision of ${url}`, 'neither (404)', where);
  if (status === 401 || status === 403) {
    const who = token === undefined ? 'no token' : 'a token that is not enough';
    const expected = `a model that HF_TOKEN may read, its terms accepted at ${url}/${repo}`;
    return fail('FileError', expected, `${who}, or no such model (${status})`, where);
  }
  return fail('FileError', `a folder, or an answer of ${url}`, reasonOf(cause), where);
};

// One file

interface HubFile {
  readonly name: string;
  readonly size: number;
  /** SHA-256 of a large file; of others git's SHA-1. */
  readonly digest: string;
  readonly algorithm: 'sha256' | 'sha1';
}

/** Rejects a digest that is none: it becomes the name of a file. */
const fileOf = ({ path: name, size, oid = '', lfs }: ListFileEntry): HubFile => {
  const file: HubFile =
    lfs === undefined
      ? { name, size, digest: oid, algorithm: 'sha1' }
      : { name, size: lfs.size, digest: lfs.oid, algorithm: 'sha256' };
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(file.digest)) throw new Error(`${name} listed without its digest`);
  return file;
};

const sizeOf = async (path: string): Promise<number> => (await ifExists(() => fs.stat(path), { size: -1 })).size;

const nameFor = (path: string): string => `${path}.${randomUUID()}`;

/** The process of this machine that holds an unfinished file is gone. */
const isOver = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ESRCH';
  }
};

/** What an unfinished file is called while nobody holds it; who holds it adds the machine, the process and a number. */
const unfinished = (path: string): string => `${path}.paca-incomplete`;

/** The unfinished files of a blob: those that nobody holds any more, and those that somebody does. */
const unfinishedFiles = async (path: string): Promise<readonly { readonly file: string; readonly free: boolean }[]> => {
  const [free, holder] = [basename(unfinished(path)), encodeURIComponent(hostname())];
  const names = await fs.readdir(dirname(path));
  return names
    .filter((name) => name === free || name.startsWith(`${free}.`))
    .map((name) => {
      const [pid = '', ...number] = name.slice(`${free}.${holder}.`.length).split('.');
      const isOurs = name.startsWith(`${free}.${holder}.`) && /^[1-9]\d*$/.test(pid) && number.length === 1;
      return { file: join(dirname(path), name), free: name === free || (isOurs && isOver(Number(pid))) };
    });
};

/** An unfinished file that is this call's alone: one that nobody holds, or a new one. To rename it is to take it. */
const take = async (path: string): Promise<string> => {
  const own = nameFor(`${unfinished(path)}.${encodeURIComponent(hostname())}.${process.pid}`);
  for (const { file, free } of await unfinishedFiles(path)) {
    if (free && (await ifExists(async () => (await fs.rename(file, own)) ?? true, false))) return own;
  }
  await (await fs.open(own, 'wx')).close();
  return own;
};

/** Writes the rest of the blob at its place; how far it came. */
const append = async (blob: Blob, size: number, path: string): Promise<number> => {
  const file = await fs.open(path, 'r+');
  let end = (await file.stat()).size;
  try {
    const rest = end < size ? blob.slice(end).stream() : [];
    for await (const chunk of rest as AsyncIterable<Uint8Array>) {
      for (let done = 0; done < chunk.length; )
        done += (await file.write(chunk, done, chunk.length - done, end + done)).bytesWritten;
      end += chunk.length;
    }
    await file.sync();
  } finally {
    await file.close();
  }
  return end;
};

const hasDigest = async (path: string, { size, digest, algorithm }: HubFile): Promise<boolean> => {
  if ((await sizeOf(path)) !== size) return false;
  const hash = createHash(algorithm);
  if (algorithm === 'sha1') hash.update(`blob ${size}\0`);
  for await (const chunk of createReadStream(path)) hash.update(chunk);
  return hash.digest('hex') === digest;
};

/** Brings the file to `path`, from where an earlier try stopped. Rejects where what came is not what the hub promised. */
const fetchBlob = async (blob: Blob, file: HubFile, path: string): Promise<void> => {
  const { name, size } = file;
  const own = await take(path);
  if ((await sizeOf(own)) > size) await fs.truncate(own);
  const release = (): Promise<void> => ifExists(() => fs.rename(own, unfinished(path)), undefined);
  const end = await append(blob, size, own).catch(async (cause) => {
    await release();
    throw cause;
  });
  if (end < size) {
    await release();
    throw new Error(`${name} ended at byte ${end} of ${size}; the next try goes on from there`);
  }
  if (!(await hasDigest(own, file))) {
    await fs.rm(own, { force: true });
    throw new Error(`other bytes of ${name} than the hub's digest says; what came is removed`);
  }
  await fs.rename(own, path);
  for (const { file: other } of await unfinishedFiles(path)) await fs.rm(other, { force: true });
};

/** The blob under its name in the snapshot. A new link is renamed, so that the name never leads nowhere. */
const place = async (blob: string, digest: string, target: string): Promise<void> => {
  const link = nameFor(blob);
  const linked = await fs.symlink(join('..', '..', 'blobs', digest), link).then(
    () => true,
    () => false,
  );
  await fs.rename(linked ? link : blob, target);
};

// The snapshot

interface Snapshot {
  readonly library: Library;
  readonly hub: Hub;
  readonly of: HubName;
  readonly commit: string;
  readonly folder: string;
}

const request = ({ url, token }: Hub) => ({ hubUrl: url, ...(token !== undefined && { accessToken: token }) });

const fetchFile = async ({ library, hub, of, commit, folder }: Snapshot, file: HubFile, listener: HubListener) => {
  const { name, size, digest } = file;
  const target = join(folder, name);
  if ((await sizeOf(target)) === size) return;
  const blobs = join(folderOf(hub, of), 'blobs');
  const path = join(blobs, digest);
  await fs.mkdir(blobs, { recursive: true });
  await fs.mkdir(folder, { recursive: true });
  if ((await sizeOf(path)) !== size) {
    listener.onFile(name, size);
    // Over plain HTTPS, whose ranges let a fetch go on where it stopped.
    const blob = await library.downloadFile({
      repo: of.repo,
      path: name,
      revision: commit,
      xet: false,
      ...request(hub),
    });
    if (blob === null) throw new Error(`no ${name} in the repository that lists it`);
    await fetchBlob(blob, file, path).catch(async (cause) => {
      if ((await sizeOf(path)) !== size) throw cause; // else another process was faster
    });
  }
  await place(path, digest, target);
};

/** Written beside and renamed: nobody reads half of it. */
const writeWhole = async (path: string, text: string): Promise<void> => {
  const own = nameFor(path);
  await fs.mkdir(dirname(path), { recursive: true });
  await fs.writeFile(own, text);
  await fs.rename(own, path);
};

/** Names and sizes of all files of a commit, kept for when nobody can be asked. Hugging Face's own tools have no such list. */
const listFile = (hub: Hub, of: HubName, commit: string): string => join(folderOf(hub, of), '.paca', `${commit}.json`);

type Listed = Pick<HubFile, 'name' | 'size'>;

const readList = async (hub: Hub, of: HubName, commit: string): Promise<readonly Listed[] | null> => {
  const text = await ifExists(() => fs.readFile(listFile(hub, of, commit), 'utf8'), null);
  return text === null ? null : (JSON.parse(text) as readonly Listed[]);
};

const commitFile = (hub: Hub, of: HubName): string => join(folderOf(hub, of), 'refs', of.revision);

/** Which files are wanted, by their names and the names of all files. */
export type Wanted = (name: string, all: readonly string[]) => boolean;

const wantedOf = <A extends Listed>(files: readonly A[], wanted: Wanted): readonly A[] => {
  const names = files.map(({ name }) => name);
  return files.filter(({ name }) => wanted(name, names));
};

const fetchSnapshot = async (snapshot: Snapshot, wanted: Wanted, listener: HubListener): Promise<void> => {
  const { library, hub, of, commit, folder } = snapshot;
  const entries: HubFile[] = [];
  for await (const entry of library.listFiles({ repo: of.repo, revision: commit, ...request(hub) })) {
    if (entry.type === 'file' && isStoreName(entry.path)) entries.push(fileOf(entry));
  }
  await writeWhole(
    listFile(hub, of, commit),
    JSON.stringify(entries.map(({ name, size }): Listed => ({ name, size }))),
  );
  for (const file of wantedOf(entries, wanted)) await fetchFile(snapshot, file, listener);
  await fs.mkdir(folder, { recursive: true });
  await writeWhole(commitFile(hub, of), commit);
};

/** The folder's files with their sizes; null where there is no folder. */
const filesIn = async (folder: string): Promise<readonly Listed[] | null> => {
  const names = await ifExists(() => fs.readdir(folder), null);
  const files = names?.map(async (name) => ({ name, size: await sizeOf(join(folder, name)) })) ?? [];
  return names && (await Promise.all(files)).filter(({ size }) => size >= 0);
};

/**
 * The folder of what was fetched earlier, if every wanted file is there; else what is missing. A folder that only other
 * tools have filled has no list: then some wanted file is enough, and who opens the folder says what it lacks.
 */
const fetchedBefore = async (
  hub: Hub,
  of: HubName,
  wanted: Wanted,
  listener: HubListener,
): Promise<{ readonly folder: string } | { readonly missing: string }> => {
  const commit = (await ifExists(() => fs.readFile(commitFile(hub, of), 'utf8'), of.revision)).trim();
  const folder = join(folderOf(hub, of), 'snapshots', commit);
  const found = isCommit(commit) ? await filesIn(folder) : null;
  if (found === null) return { missing: 'nothing that was fetched before' };
  const needed = wantedOf((await readList(hub, of, commit)) ?? found, wanted);
  const missing = needed.find(({ name, size }) => !found.some((file) => file.name === name && file.size === size));
  if (missing !== undefined) return { missing: `${missing.name} not fetched before` };
  if (needed.length === 0) return { missing: 'none of the files fetched before' };
  listener.onOffline(commit);
  return { folder };
};

const isCommit = (text: string): boolean => /^[0-9a-f]{40}$/.test(text);

const commitOf = async ({ modelInfo }: Library, hub: Hub, { repo: name, revision }: HubName): Promise<string> => {
  const { sha } = await modelInfo({ name, revision, additionalFields: ['sha'], ...request(hub) });
  if (!isCommit(sha)) throw new Error(`an answer without a commit`);
  return sha;
};

/**
 * The folder with the wanted files of a model. `wanted` is given the names of all files too.
 * FileErrors: no such model; one that may not be read; no answer and nothing that was fetched before; other bytes than
 * announced; what the disk reports.
 */
export const fetchFromHub = async (
  hub: Hub,
  of: HubName,
  wanted: Wanted,
  listener: HubListener,
): Promise<Result<string>> => {
  try {
    if (hub.offline) {
      const before = await fetchedBefore(hub, of, wanted, listener);
      return 'folder' in before ? E.right(before.folder) : failure(hub, of, `HF_HUB_OFFLINE, and ${before.missing}`);
    }
    const library = await loadLibrary();
    if (E.isLeft(library)) return library;
    const commit = await commitOf(library.right, hub, of).catch(async (cause) => {
      const before = statusOf(cause) === undefined ? await fetchedBefore(hub, of, wanted, listener) : null;
      if (before === null || 'missing' in before) throw cause;
      return before;
    });
    if (typeof commit !== 'string') return E.right(commit.folder);
    const folder = join(folderOf(hub, of), 'snapshots', commit);
    await fetchSnapshot({ library: library.right, hub, of, commit, folder }, wanted, listener);
    return E.right(folder);
  } catch (cause) {
    return failure(hub, of, cause);
  }
};

/** A file system in which one call fails, or in which everything stops at a call as if the process had died there. */
import type { FileHandle } from 'node:fs/promises';
import { readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type FileSystem, realFileSystem } from '../../src/io/files-node.ts';

export type Fault = 'dies' | 'fails once';

export interface FaultyFs {
  readonly fs: FileSystem;
  /** The calls so far, of functions and of handles, as `sync a` or `rename TMP g`: last parts of paths only. */
  readonly calls: () => readonly string[];
}

const fault = (): Error => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });

const shown = (path: string): string => basename(path).replace(/^\.paca-tmp-.*/, 'TMP');

/**
 * Calls count from 0; the one numbered `at` rejects, after half of its work where it has halves: half the bytes written,
 * some files of a folder removed. Nothing is flushed, for speed, but flushes count.
 */
export const faultyFs = (kind: Fault, at: number): FaultyFs => {
  const calls: string[] = [];
  const nothing = async (): Promise<void> => undefined;
  const guarded = async <A>(call: string, run: () => Promise<A>, half: () => Promise<void> = nothing): Promise<A> => {
    const n = calls.push(call) - 1;
    if (n === at) await half();
    if (n === at || (kind === 'dies' && n > at)) throw fault();
    return run();
  };
  /** The real file is closed in any case: a dead process has no open files either. */
  const close = async (file: FileHandle, name: string): Promise<void> => {
    await file.close();
    await guarded(`close ${name}`, nothing);
  };
  const handle = (file: FileHandle, name: string): FileHandle =>
    ({
      stat: () => guarded(`stat ${name}`, () => file.stat()),
      read: (...args: Parameters<FileHandle['read']>) => guarded(`read ${name}`, () => file.read(...args)),
      writeFile: (bytes: Uint8Array) =>
        guarded(
          `write ${name}`,
          () => file.writeFile(bytes),
          () => file.writeFile(bytes.subarray(0, bytes.length / 2)),
        ),
      sync: () => guarded(`sync ${name}`, nothing),
      close: () => close(file, name),
    }) as unknown as FileHandle;
  const removeSome = async (path: string): Promise<void> => {
    for (const name of (await readdir(path).catch(() => [])).slice(0, 1)) await rm(join(path, name));
  };
  const real = realFileSystem;
  const fs = {
    mkdir: (path: string) => guarded(`mkdir ${shown(path)}`, () => real.mkdir(path)),
    open: (path: string, flags: string) =>
      guarded(`open ${shown(path)}`, async () => handle(await real.open(path, flags), shown(path))),
    readdir: (path: string, options: { readonly withFileTypes: true }) =>
      guarded(`readdir ${shown(path)}`, () => real.readdir(path, options)),
    rename: (from: string, to: string) => guarded(`rename ${shown(from)} ${shown(to)}`, () => real.rename(from, to)),
    rm: (path: string, options: { readonly recursive: true; readonly force: true }) =>
      guarded(
        `rm ${shown(path)}`,
        () => real.rm(path, options),
        () => removeSome(path),
      ),
    stat: (path: string, options: { readonly bigint: true }) =>
      guarded(`stat ${shown(path)}`, () => real.stat(path, options)),
  } as unknown as FileSystem;
  return { fs, calls: () => calls };
};

/**
 * Writes that fail or are cut off: at every call to the file system in turn, and by SIGKILL at random moments. What is
 * read afterwards is the old content or the new, whole.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Files, Store } from '../../src/io/store.ts';
import { nodeStore } from '../../src/io/store-node.ts';
import { orThrow, type Result } from '../../src/spec/errors.ts';
import { faultyFs } from './faulty-fs.ts';
import { temporaryFolder, utf8 } from './temporary.ts';

const version = (text: string): Files => new Map(['a', 'b', 'c'].map((name) => [name, utf8(`${name} of ${text}`)]));
const [first, second] = [version('the first'), version('the second version')];

const quick = (root: string): Store => nodeStore(root, faultyFs('dies', Number.POSITIVE_INFINITY).fs);

/** What the store holds: files and groups by name. */
const contentOf = async (store: Store): Promise<ReadonlyMap<string, unknown>> => {
  const content = new Map<string, unknown>();
  for (const name of orThrow(await store.list())) content.set(name, orThrow(await store.read(name)));
  for (const name of orThrow(await store.listGroups())) content.set(name, orThrow(await store.readGroup(name)));
  return content;
};

interface Write {
  readonly before: (store: Store) => Promise<unknown>;
  readonly write: (store: Store) => Promise<Result<void>>;
  readonly states: readonly ReadonlyMap<string, unknown>[];
}

const file = utf8('file');
const writes: Readonly<Record<string, Write>> = {
  'a new group': {
    before: (store) => store.write('f', file),
    write: (store) => store.writeGroup('g', second),
    states: [
      new Map([['f', file]]),
      new Map<string, unknown>([
        ['f', file],
        ['g', second],
      ]),
    ],
  },
  'a replaced group': {
    before: (store) => store.writeGroup('g', first),
    write: (store) => store.writeGroup('g', second),
    states: [new Map([['g', first]]), new Map([['g', second]])],
  },
  'a removed group': {
    before: (store) => store.writeGroup('g', first),
    write: (store) => store.removeGroup('g'),
    states: [new Map([['g', first]]), new Map()],
  },
  'a replaced file': {
    before: (store) => store.write('f', file),
    write: (store) => store.write('f', utf8('new')),
    states: [new Map([['f', file]]), new Map([['f', utf8('new')]])],
  },
};

/** Index of the content among the states: 0 old, 1 new; -1 for anything else. */
const stateOf = async (store: Store, { states }: Write): Promise<number> => {
  const content = await contentOf(store);
  return states.findIndex((state) => isDeepStrictEqual(content, state));
};

describe.each(Object.entries(writes))('%s', (_, write) => {
  const countCalls = async (): Promise<number> => {
    const root = await temporaryFolder();
    await write.before(quick(root));
    const { fs, calls } = faultyFs('dies', Number.POSITIVE_INFINITY);
    orThrow(await write.write(nodeStore(root, fs)));
    expect(await stateOf(quick(root), write)).toBe(1);
    return calls().length;
  };

  test('cut off at any call: the old or the new, and never the old again after the new', async () => {
    const calls = await countCalls();
    const seen: number[] = [];
    for (let at = 0; at < calls; at++) {
      const root = await temporaryFolder();
      await write.before(quick(root));
      expect(E.isLeft(await write.write(nodeStore(root, faultyFs('dies', at).fs)))).toBe(true);
      seen.push(await stateOf(quick(root), write));
      orThrow(await quick(root).write('next', file));
      expect([at, (await readdir(root)).filter((name) => name.startsWith('.'))]).toEqual([at, []]);
      expect((await readdir(root)).length).toBe((write.states[seen[at] ?? -1]?.size ?? 0) + 1);
    }
    expect(seen).toEqual([...seen].sort());
    expect(new Set(seen)).toEqual(new Set([0, 1]));
  });

  test('one call fails: an error, the old or the new, and no rubbish if the rest works', async () => {
    const calls = await countCalls();
    for (let at = 0; at < calls; at++) {
      const root = await temporaryFolder();
      await write.before(quick(root));
      const result = await write.write(nodeStore(root, faultyFs('fails once', at).fs));
      expect(result).toMatchObject(E.left({ tag: 'FileError', came: 'ENOSPC: no space left on device' }));
      const state = await stateOf(quick(root), write);
      expect(state).toBeGreaterThanOrEqual(0);
      expect((await readdir(root)).sort()).toEqual([...(write.states[state]?.keys() ?? [])].sort());
    }
  });
});

test('what must outlive a loss of power is flushed before what depends on it', async () => {
  const root = join(await temporaryFolder(), 'root');
  const { fs, calls } = faultyFs('dies', Number.POSITIVE_INFINITY);
  const store = nodeStore(root, fs);
  orThrow(await store.write('f', file));
  orThrow(await store.writeGroup('g', first));
  orThrow(await store.writeGroup('g', second));
  orThrow(await store.removeGroup('g'));
  const written = ['sync a', 'sync b', 'sync c', 'sync TMP'];
  const removed = ['sync root', 'rm TMP'];
  expect(calls().filter((call) => /^(sync|rename|rm) /.test(call))).toEqual([
    expect.stringMatching(/^sync paca-test-/),
    ...['sync TMP', 'rename TMP f', 'sync root'],
    ...[...written, 'rename TMP g', 'sync root'],
    ...[...written, 'rename g .paca-old-g', 'rename TMP g', 'sync root', 'rename .paca-old-g TMP', ...removed],
    ...['rename g TMP', ...removed],
  ]);
});

test('cut off twice, at every fifth pair of calls: one of the three versions, whole', async () => {
  const versions = ['one', 'two', 'three'].map((text) => new Map([['a', utf8(text)]]));
  const writeUntil = (root: string, n: number, at: number): Promise<Result<void>> =>
    nodeStore(root, faultyFs('dies', at).fs).writeGroup('g', versions[n] ?? new Map());
  const allCuts = async (at: number, then: number): Promise<readonly boolean[]> => {
    const root = await temporaryFolder();
    const results = [
      await writeUntil(root, 0, Number.POSITIVE_INFINITY),
      await writeUntil(root, 1, at),
      await writeUntil(root, 2, then),
    ];
    const content = await contentOf(quick(root));
    expect(versions.map((files) => new Map([['g', files]]))).toContainEqual(content);
    return results.map(E.isLeft);
  };
  const most = 100; // more calls than a write makes
  for (let at = 0, cut = true; cut && at < most; at++)
    for (let then = at % 5, cutAgain = true; cutAgain; then += 5) {
      [, cut = false, cutAgain = false] = await allCuts(at, then);
      expect(then).toBeLessThan(most);
    }
});

describe('killed', () => {
  const loader = new URL('./typescript-loader.mjs', import.meta.url).href;
  const options = 'Deno' in globalThis ? ['run', '-A'] : ['--import', loader];
  const program = fileURLToPath(new URL('./store-writer.ts', import.meta.url));

  /** The one number of which all these bytes consist. */
  const only = (files: readonly Uint8Array[]): number => {
    const [n = -1] = files[0] ?? [];
    expect(files.every((bytes) => bytes.length > 0 && bytes.every((byte) => byte === n))).toBe(true);
    return n;
  };
  /** How many versions `n` is ahead of `m`; both count modulo 256. */
  const ahead = (n: number, m: number): number => ((n - m + 384) % 256) - 128;

  test('a process killed while it writes: whole at any time, never older than what was reported', async () => {
    const root = join(await temporaryFolder(), 'run');
    const store = nodeStore(root);
    const look = async (): Promise<readonly number[]> => {
      const files = orThrow(await store.readGroup('group'));
      expect([...files.keys()].sort()).toEqual(['part-0', 'part-1', 'part-2']);
      return [only([orThrow(await store.read('file'))]), only([...files.values()])];
    };
    let reported = -1;
    for (let round = 0; round < 2; round++) {
      const child = spawn(process.execPath, [...options, program, root, `${reported + 1}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      onTestFinished(() => void child.kill('SIGKILL'));
      const lines = createInterface({ input: child.stdout }).on('line', (line) => {
        reported = Number(line);
      });
      await once(lines, 'line');
      const end = Date.now() + 100 + Math.random() * 100;
      do {
        const least = reported;
        for (const n of await look()) expect(ahead(n, least)).toBeGreaterThanOrEqual(0);
      } while (Date.now() < end);
      child.kill('SIGKILL');
      await once(child, 'close');
      for (const n of await look()) expect([0, 1]).toContain(ahead(n, reported));
    }
    orThrow(await store.write('next', new Uint8Array(1)));
    expect((await readdir(root)).sort()).toEqual(['file', 'group', 'next']);
  }, 30_000);
});

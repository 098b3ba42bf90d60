/** What every store does, run on the store in memory and on the store in a folder; then what only a folder can do. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { type FileSystem, realFileSystem } from '../../src/io/files-node.ts';
import { memoryStore, type Store } from '../../src/io/store.ts';
import { nodeStore } from '../../src/io/store-node.ts';
import { orThrow, type Result, showError } from '../../src/spec/errors.ts';
import { temporaryFolder, utf8 } from './temporary.ts';

const refusal = (result: Result<unknown>): string => E.match(showError, () => 'done')(result);

const stores: readonly (readonly [string, () => Promise<Store>])[] = [
  ['memoryStore', async () => memoryStore()],
  ['nodeStore', async () => nodeStore(join(await temporaryFolder(), 'made', 'on', 'demand'))],
];

describe.each(stores)('%s', (_, create) => {
  test('is empty at first', async () => {
    const store = await create();
    expect(orThrow(await store.list())).toEqual([]);
    expect(orThrow(await store.listGroups())).toEqual([]);
    for (const result of [await store.read('a'), await store.readGroup('a')])
      expect(refusal(result)).toMatch(/^FileError in .*a: expected .*, got .*no such|nothing of that name/);
  });

  test('reads what was written last, empty bytes too', async () => {
    const store = await create();
    for (const text of ['one', 'a longer one', '', 'two']) {
      orThrow(await store.write('a.json', utf8(text)));
      expect(orThrow(await store.read('a.json'))).toEqual(utf8(text));
    }
    expect(orThrow(await store.list())).toEqual(['a.json']);
  });

  test('appends, in the order of the calls', async () => {
    const store = await create();
    const lines = Array.from({ length: 20 }, (_, i) => `line ${i}\n`);
    for (const result of await Promise.all(lines.map((line) => store.append('log', utf8(line))))) orThrow(result);
    orThrow(await store.append('log', utf8('')));
    expect(new TextDecoder().decode(orThrow(await store.read('log')))).toBe(lines.join(''));
  });

  test('writes in the order of the calls', async () => {
    const store = await create();
    const numbers = Array.from({ length: 20 }, (_, i) => i);
    const files = numbers.map((i) => store.write('f', utf8(`${i}`)));
    const groups = numbers.map((i) => store.writeGroup('g', new Map([[`${i}`, utf8(`${i}`)]])));
    for (const result of await Promise.all([...files, ...groups])) orThrow(result);
    expect(orThrow(await store.read('f'))).toEqual(utf8('19'));
    expect(orThrow(await store.readGroup('g'))).toEqual(new Map([['19', utf8('19')]]));
  });

  test('a group is replaced whole: files of the old one do not stay', async () => {
    const store = await create();
    const [first, second] = [
      new Map([
        ['model.safetensors', utf8('one')],
        ['state.json', utf8('{}')],
      ]),
      new Map([
        ['model.safetensors', utf8('two')],
        ['more', utf8('')],
      ]),
    ];
    for (const files of [first, second, new Map<string, Uint8Array>(), first]) {
      orThrow(await store.writeGroup('step-1', files));
      expect(orThrow(await store.readGroup('step-1'))).toEqual(files);
    }
  });

  test('lists files and groups apart, sorted', async () => {
    const store = await create();
    for (const name of ['b', 'a', '10', '9']) orThrow(await store.write(name, utf8(name)));
    for (const name of ['step-2', 'step-1']) orThrow(await store.writeGroup(name, new Map()));
    expect(orThrow(await store.list())).toEqual(['10', '9', 'a', 'b']);
    expect(orThrow(await store.listGroups())).toEqual(['step-1', 'step-2']);
  });

  test('removes groups, and nothing if there is none', async () => {
    const store = await create();
    orThrow(await store.writeGroup('g', new Map([['a', utf8('a')]])));
    orThrow(await store.writeGroup('h', new Map()));
    for (let i = 0; i < 2; i++) {
      orThrow(await store.removeGroup('g'));
      expect(orThrow(await store.listGroups())).toEqual(['h']);
      expect(E.isLeft(await store.readGroup('g'))).toBe(true);
    }
  });

  test('a file is no group, and a group no file', async () => {
    const store = await create();
    orThrow(await store.write('file', utf8('x')));
    orThrow(await store.writeGroup('group', new Map([['a', utf8('y')]])));
    const results = [
      await store.read('group'),
      await store.write('group', utf8('z')),
      await store.append('group', utf8('z')),
      await store.readGroup('file'),
      await store.writeGroup('file', new Map()),
      await store.removeGroup('file'),
    ];
    for (const result of results) expect(refusal(result)).toMatch(/^FileError/);
    expect(orThrow(await store.read('file'))).toEqual(utf8('x'));
    expect(orThrow(await store.readGroup('group'))).toEqual(new Map([['a', utf8('y')]]));
    expect([orThrow(await store.list()), orThrow(await store.listGroups())]).toEqual([['file'], ['group']]);
  });

  test.each([
    '..',
    '.',
    '',
    '../x',
    'a/b',
    '/etc/passwd',
    'a\\b',
    '.hidden',
    '-x',
    'a\0b',
    'ä',
    'a\n',
    'x'.repeat(201),
  ])('refuses the name %j', async (name) => {
    const store = await create();
    const files = new Map([['a', utf8('a')]]);
    const results = [
      await store.read(name),
      await store.write(name, utf8('x')),
      await store.append(name, utf8('x')),
      await store.readGroup(name),
      await store.writeGroup(name, files),
      await store.removeGroup(name),
      await store.writeGroup('g', new Map([...files, [name, utf8('x')]])),
    ];
    for (const result of results) expect(refusal(result)).toMatch(/expected a name of letters, digits/);
    expect([orThrow(await store.list()), orThrow(await store.listGroups())]).toEqual([[], []]);
  });

  test('what is read is the reader’s own', async () => {
    const store = await create();
    const bytes = utf8('abc');
    orThrow(await store.write('f', bytes));
    orThrow(await store.writeGroup('g', new Map([['f', bytes]])));
    bytes.fill(0);
    orThrow(await store.read('f')).fill(1);
    orThrow(await store.readGroup('g'))
      .get('f')
      ?.fill(1);
    expect(orThrow(await store.read('f'))).toEqual(utf8('abc'));
    expect(orThrow(await store.readGroup('g'))).toEqual(new Map([['f', utf8('abc')]]));
  });

  test('takes bytes in shared memory', async () => {
    const store = await create();
    const bytes = new Uint8Array(new SharedArrayBuffer(4), 1, 2).fill(7);
    orThrow(await store.write('f', bytes));
    expect(orThrow(await store.read('f'))).toEqual(new Uint8Array([7, 7]));
  });
});

describe('a store in a folder', () => {
  test('is plain files and folders, for other tools too', async () => {
    const root = await temporaryFolder();
    const store = nodeStore(root);
    orThrow(await store.write('config.json', utf8('{}')));
    orThrow(await store.writeGroup('adapter', new Map([['adapter_config.json', utf8('[]')]])));
    expect((await readdir(root)).sort()).toEqual(['adapter', 'config.json']);
    expect(await readFile(join(root, 'adapter', 'adapter_config.json'), 'utf8')).toBe('[]');
    await mkdir(join(root, 'foreign', 'deeper'), { recursive: true });
    await writeFile(join(root, 'foreign', 'b'), 'b');
    await writeFile(join(root, 'foreign', '.DS_Store'), '');
    expect(orThrow(await store.readGroup('foreign'))).toEqual(new Map([['b', utf8('b')]]));
  });

  test('a root below a file: ENOTDIR, with the path', async () => {
    const file = join(await temporaryFolder(), 'file');
    await writeFile(file, '');
    const store = nodeStore(join(file, 'run'));
    const results = [
      await store.write('f', utf8('x')),
      await store.append('f', utf8('x')),
      await store.writeGroup('f', new Map()),
      await store.read('f'),
      await store.readGroup('f'),
    ];
    for (const result of results) {
      expect(refusal(result)).toContain('got ENOTDIR: not a directory');
      expect(refusal(result)).toContain(`FileError in ${join(file, 'run', 'f')}`);
    }
    for (const result of [await store.list(), await store.listGroups()])
      expect(refusal(result)).toBe(
        `FileError in ${join(file, 'run')}: expected a folder to list, got ENOTDIR: not a directory`,
      );
  });

  test('a root that cannot be made: the error comes, and soon', async () => {
    const result = await nodeStore('/proc/paca/run').write('f', utf8('x'));
    expect(refusal(result)).toMatch(/^FileError in .*: expected a file to write, got E[A-Z]+: /);
  });

  test('leftovers of writes that were cut off are not seen, and the next write removes them', async () => {
    const root = await temporaryFolder();
    const store = nodeStore(root);
    orThrow(await store.writeGroup('g', new Map([['a', utf8('new')]])));
    for (const left of ['.paca-tmp-1', '.paca-old-g', '.paca-old-h']) {
      await mkdir(join(root, left));
      await writeFile(join(root, left, 'a'), left);
    }
    await writeFile(join(root, '.paca-tmp-2'), 'half a file');
    await writeFile(join(root, '.mine'), 'of somebody else');
    const content = async (): Promise<unknown> => [
      orThrow(await store.list()),
      orThrow(await store.listGroups()),
      orThrow(await store.readGroup('g')).get('a'),
      orThrow(await store.readGroup('h')).get('a'),
    ];
    const expected = [[], ['g', 'h'], utf8('new'), utf8('.paca-old-h')];
    expect(await content()).toEqual(expected);
    orThrow(await store.write('f', utf8('x')));
    expect(await content()).toEqual([['f'], ...expected.slice(1)]);
    expect((await readdir(root)).sort()).toEqual(['.mine', 'f', 'g', 'h']);
  });

  test('a removed group does not come back from its leftovers', async () => {
    const root = await temporaryFolder();
    const store = nodeStore(root);
    orThrow(await store.writeGroup('g', new Map()));
    await mkdir(join(root, '.paca-old-g'));
    orThrow(await store.removeGroup('g'));
    expect(orThrow(await store.listGroups())).toEqual([]);
    expect(await readdir(root)).toEqual([]);
  });

  test('reads files beyond one call’s limit', async () => {
    const root = await temporaryFolder();
    const bytes = new Uint8Array(100_000).map((_, i) => i % 251);
    // A file system that reads at most 30,000 bytes a call, as systems may.
    const slow: FileSystem = {
      ...realFileSystem,
      open: async (path, flags) => {
        const file = await realFileSystem.open(path, flags);
        const read = (into: Uint8Array, offset: number, length: number, position: number): Promise<unknown> =>
          file.read(into, offset, Math.min(length, 30_000), position);
        return { stat: () => file.stat(), read, close: () => file.close() } as unknown as typeof file;
      },
    };
    orThrow(await nodeStore(root).write('f', bytes));
    expect(orThrow(await nodeStore(root, slow).read('f'))).toEqual(bytes);
  });
});

/** Checkpoints of one file and of several: a round trip in memory and on the disk, and reads that take what they must. */
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { type FileSystem, realFileSystem } from '../../src/io/files-node.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource, readAll, type Source } from '../../src/io/source.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import type { Files } from '../../src/io/store.ts';
import { orThrow, type Result, showError } from '../../src/spec/errors.ts';
import { bytesOf, type HostTensor } from '../../src/spec/tensor.ts';
import { sharded } from './shards.ts';
import { temporaryFolder, utf8 } from './temporary.ts';
import { anyTensors, contentOf } from './tensors.ts';

const refusal = (result: Result<unknown>): string => E.match(showError, () => 'accepted')(result);

const onDisk = async (files: Files): Promise<string> => {
  const folder = await temporaryFolder();
  for (const [name, bytes] of files) await writeFile(join(folder, name), bytes);
  return folder;
};

const contentFrom = async (source: Source): Promise<unknown> => {
  const checkpoint = orThrow(await openCheckpoint(source, 'm'));
  const tensors: Record<string, HostTensor> = Object.create(null);
  for (const name of checkpoint.names) {
    tensors[name] = orThrow(await checkpoint.read(name));
    expect(checkpoint.spec(name)).toEqual({ dtype: tensors[name].dtype, shape: tensors[name].shape });
  }
  expect(checkpoint.bytes).toBe(Object.values(tensors).reduce((sum, tensor) => sum + bytesOf(tensor), 0));
  return contentOf(tensors);
};

const situation = fc.tuple(anyTensors, fc.constantFrom(0, 1, 2, 3));

describe('a round trip over no index, or over 1 to 3 shards', () => {
  test('in memory', () =>
    fc.assert(
      fc.asyncProperty(situation, async ([tensors, shards]) => {
        expect(await contentFrom(memorySource(sharded(tensors, shards)))).toEqual(contentOf(tensors));
      }),
    ));

  test('on the disk', () =>
    fc.assert(
      fc.asyncProperty(situation, async ([tensors, shards]) => {
        const folder = await onDisk(sharded(tensors, shards));
        expect(await contentFrom(nodeSource(folder))).toEqual(contentOf(tensors));
      }),
      { numRuns: 20 },
    ));
});

test('opening reads headers alone, a tensor its bytes alone', async () => {
  const tensors = {
    a: { dtype: 'f32', shape: [1000], data: new Float32Array(1000).fill(1) },
    b: { dtype: 'f32', shape: [500], data: new Float32Array(500).fill(2) },
  } as const;
  const files = sharded(tensors, 2);
  const reads: number[] = [];
  const inner = memorySource(files);
  const source: Source = {
    ...inner,
    read: (name, from, length) => {
      if (!name.endsWith('.json')) reads.push(length);
      return inner.read(name, from, length);
    },
  };
  const checkpoint = orThrow(await openCheckpoint(source, 'm'));
  expect(Math.max(...reads)).toBeLessThan(200);
  reads.length = 0;
  expect(orThrow(await checkpoint.read('b')).data).toEqual(tensors.b.data);
  expect(reads).toEqual([2000]);
  expect(refusal(await checkpoint.read('c'))).toBe('FileError in m: expected a tensor "c", got none');
});

test('a whole file is taken before an index, as transformers takes it', async () => {
  const whole = encodeSafetensors({ w: { dtype: 'u8', shape: [1], data: Uint8Array.of(1) } });
  const files = new Map([['model.safetensors', whole], ...sharded({}, 1)]);
  expect(orThrow(await openCheckpoint(memorySource(files), 'm')).names).toEqual(['w']);
});

test('a tensor that is read is the caller’s own', async () => {
  const source = memorySource(sharded({ w: { dtype: 'f32', shape: [1], data: Float32Array.of(1) } }, 0));
  const checkpoint = orThrow(await openCheckpoint(source, 'm'));
  orThrow(await checkpoint.read('w')).data.fill(5 as never);
  expect(orThrow(await checkpoint.read('w')).data[0]).toBe(1);
});

describe.each(['memory', 'folder'] as const)('a source in a %s', (kind) => {
  const create = async (files: Files): Promise<Source> =>
    kind === 'memory' ? memorySource(files) : nodeSource(await onDisk(files));

  test('parts joined are the file', () =>
    fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 20 }), fc.nat(20), fc.nat(20), async (bytes, from, length) => {
        const source = await create(new Map([['f', bytes]]));
        expect(orThrow(await source.size('f'))).toBe(bytes.length);
        expect(orThrow(await readAll(source, 'f'))).toEqual(bytes);
        const part = await source.read('f', from, length);
        if (from + length <= bytes.length) expect(part).toEqual(E.right(bytes.slice(from, from + length)));
        else expect(refusal(part)).toMatch(/^FileError in .*f: expected \d+ bytes from \d+ on, got a file of/);
      }),
      { numRuns: 40 },
    ));

  test.each(['..', '../f', '/etc/passwd', 'a/b', 'a\\b', '', '.f', 'f\0'])('refuses the name %j', async (name) => {
    const source = await create(new Map([['f', utf8('x')]]));
    for (const result of [await source.size(name), await source.read(name, 0, 0)])
      expect(refusal(result)).toContain('expected a name of letters');
  });

  test.each([
    [-1, 1],
    [0, -1],
    [0.5, 1],
    [0, Number.NaN],
    [2 ** 53, 1],
    [0, Number.POSITIVE_INFINITY],
  ])('refuses a part from %d of %d bytes', async (from, length) => {
    const source = await create(new Map([['f', utf8('x')]]));
    expect(refusal(await source.read('f', from, length))).toContain('expected a part from byte 0 on');
  });

  test('a part as long as no memory is refused before memory is taken', async () => {
    const source = await create(new Map([['f', utf8('x')]]));
    expect(refusal(await source.read('f', 0, 2 ** 52))).toContain('got a file of 1 bytes');
  });

  test('lists its files, sorted', async () => {
    const source = await create(
      new Map([
        ['b', utf8('')],
        ['a', utf8('')],
      ]),
    );
    expect(await source.list()).toEqual(E.right(['a', 'b']));
    expect(refusal(await source.size('c'))).toMatch(/^FileError in .*c: expected a file/);
  });
});

describe('a source in a folder', () => {
  test('follows links, and refuses folders', async () => {
    const folder = await onDisk(new Map([['blob', utf8('abc')]]));
    await mkdir(join(folder, 'sub'));
    await symlink('blob', join(folder, 'link'));
    await symlink('sub', join(folder, 'link-to-folder'));
    await symlink('nothing', join(folder, 'dangling'));
    await writeFile(join(folder, '.hidden'), '');
    const source = nodeSource(folder);
    expect(orThrow(await source.list())).toEqual(['blob', 'link']);
    expect(orThrow(await readAll(source, 'link'))).toEqual(utf8('abc'));
    for (const name of ['sub', 'link-to-folder'])
      for (const result of [await source.size(name), await source.read(name, 0, 0)])
        expect(refusal(result)).toMatch(new RegExp(`^FileError in ${join(folder, name)}: .*got a folder$`));
    expect(refusal(await source.size('dangling'))).toContain('got ENOENT: no such file or directory');
    expect(refusal(await nodeSource(join(folder, 'none')).list())).toContain('expected a folder to list, got ENOENT');
    expect(refusal(await nodeSource('/dev').size('null'))).toContain('got no plain file');
  });

  test('reads on where a call gives less than was asked, and says where a file ends too soon', async () => {
    const bytes = new Uint8Array(1000).map((_, i) => i % 251);
    const folder = await onDisk(new Map([['f', bytes]]));
    const slow = (most: (position: number) => number): FileSystem => ({
      ...realFileSystem,
      open: async (path, flags) => {
        const file = await realFileSystem.open(path, flags);
        const read = (into: Uint8Array, offset: number, length: number, position: number): Promise<unknown> =>
          file.read(into, offset, Math.min(length, most(position)), position);
        return { read, close: () => file.close() } as unknown as typeof file;
      },
    });
    expect(
      orThrow(
        await nodeSource(
          folder,
          slow(() => 7),
        ).read('f', 3, 900),
      ),
    ).toEqual(bytes.slice(3, 903));
    const cut = await nodeSource(
      folder,
      slow((position) => Math.max(500 - position, 0)),
    ).read('f', 3, 900);
    expect(refusal(cut)).toBe(
      `FileError in ${join(folder, 'f')}: expected 900 bytes from 3 on, got a file that ends at byte 500`,
    );
  });
});

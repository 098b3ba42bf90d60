/** Wrong and hostile checkpoints: each is refused with a message that says where, and opening always returns. */
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource, type Source } from '../../src/io/source.ts';
import type { Files } from '../../src/io/store.ts';
import { showError } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { entry, lengthOnly, refused } from './hostile-files.ts';
import { INDEX, sharded, withIndex } from './shards.ts';
import { utf8 } from './temporary.ts';
import { fileOf } from './tensors.ts';

const refusal = async (source: Source): Promise<string> =>
  E.match(showError, () => 'accepted')(await openCheckpoint(source, 'm'));

const byte = (...names: readonly string[]): Uint8Array =>
  encodeSafetensors(
    Object.fromEntries(names.map((name) => [name, { dtype: 'u8', shape: [1], data: Uint8Array.of(7) } as const])),
  );

const mapped = (map: Readonly<Record<string, unknown>>, files: Readonly<Record<string, Uint8Array>> = {}): Files =>
  withIndex(JSON.stringify({ weight_map: map }), files);

describe('a file that the format refuses', () => {
  test.each(refused)('as the whole checkpoint: %s', async (_, file, message) => {
    const shown = await refusal(memorySource(new Map([['model.safetensors', file]])));
    expect(shown).toContain(message.replace('m.safetensors', 'm/model.safetensors'));
    expect(shown).toMatch(/^FileError in m\/model\.safetensors/);
  });

  test.each(refused)('as a shard: %s', async (_, file, message) => {
    const files = mapped({ w: 'good.safetensors', a: 'm.safetensors' }, { 'good.safetensors': byte('w') });
    const shown = await refusal(memorySource(new Map([...files, ['m.safetensors', file]])));
    expect(shown).toContain(message);
    expect(shown).toMatch(/^FileError in m\/m\.safetensors/);
  });
});

const name = `the name of a .safetensors file`;
const plain = 'expected a name of letters, digits';
const shard = (value: unknown): Files => mapped({ w: value });
const cases: readonly (readonly [what: string, files: Files, message: string])[] = [
  ['nothing', new Map(), 'm: expected model.safetensors or model.safetensors.index.json, got neither'],
  ['a pickle', new Map([['pytorch_model.bin', utf8('x')]]), 'got pytorch_model.bin, a pickle'],
  ['a pickle in shards', new Map([['pytorch_model-00001-of-00002.bin', utf8('x')]]), 'a pickle'],
  ['shards without an index', new Map([['model-00001-of-00001.safetensors', byte('w')]]), 'got neither'],
  ['an empty index', withIndex(''), `m/${INDEX}: expected JSON`],
  ['an index that is no JSON', withIndex('{"weight_map":{}'), 'expected JSON'],
  ['an index that is no UTF-8', new Map([[INDEX, Uint8Array.of(0x7b, 0xff, 0x7d)]]), 'expected UTF-8'],
  ['a byte order mark', withIndex('\ufeff{"weight_map":{}}'), 'expected JSON'],
  ['an index that is a list', withIndex('[]'), 'expected a JSON object, got []'],
  ['an index that is null', withIndex('null'), 'expected a JSON object, got null'],
  ['deep nesting', withIndex(`{"weight_map":${'['.repeat(100_000)}`), 'more than 64 open brackets'],
  ['no weight_map', withIndex('{}'), 'expected an object weight_map, got nothing'],
  ['an inherited weight_map', withIndex('{"__proto__":{"weight_map":{}}}'), 'expected an object weight_map'],
  ['a weight_map that is a list', withIndex('{"weight_map":[]}'), 'expected an object weight_map, got []'],
  ['a weight_map that is null', withIndex('{"weight_map":null}'), 'expected an object weight_map, got null'],
  ['two weight_maps', withIndex('{"weight_map":{},"weight_map":{}}'), 'the key "weight_map" twice'],
  ['a tensor twice', withIndex('{"weight_map":{"w":"a.safetensors","w":"a.safetensors"}}'), 'the key "w" twice'],
  [
    'a tensor twice, once escaped',
    withIndex('{"weight_map":{"w":"a.safetensors","\\u0077":"a.safetensors"}}'),
    'the key "w" twice',
  ],
  ['a number as shard', shard(1), `m/${INDEX}, tensor "w": expected ${name}, got 1`],
  ['a list as shard', shard(['a.safetensors']), `expected ${name}, got ["a.safetensors"]`],
  ['null as shard', shard(null), `expected ${name}, got null`],
  ['no name', shard(''), `expected ${name}, got ""`],
  ['another kind of file', shard('pytorch_model.bin'), `expected ${name}, got "pytorch_model.bin"`],
  ['the index itself', shard(INDEX), `expected ${name}`],
  ['the folder above', shard('../model.safetensors'), `${plain}, ".", "_" and "-" that begins with a letter or digit`],
  ['a folder above, hidden', shard('a/../../model.safetensors'), plain],
  ['a folder below', shard('sub/model.safetensors'), plain],
  ['a path from the root', shard('/etc/x.safetensors'), plain],
  ['a path of Windows', shard('C:\\x.safetensors'), plain],
  ['a backslash', shard('..\\x.safetensors'), plain],
  ['a stream of Windows', shard('x:y.safetensors'), plain],
  ['a NUL', shard('x\0.safetensors'), plain],
  ['a line break', shard('x\n.safetensors'), plain],
  ['a hidden file', shard('.safetensors'), plain],
  ['an option', shard('-x.safetensors'), plain],
  ['an address', shard('https://example.org/x.safetensors'), plain],
  ['a percent escape', shard('%2e%2e%2fx.safetensors'), plain],
  ['a very long name', shard(`${'x'.repeat(300)}.safetensors`), plain],
  ['a letter beyond ASCII', shard('mödel.safetensors'), plain],
  ['a shard that is not there', shard('a.safetensors'), 'a.safetensors: expected a file, got nothing of that name'],
  [
    'a shard without the tensor',
    mapped({ w: 'a.safetensors', v: 'a.safetensors' }, { 'a.safetensors': byte('w') }),
    `m/${INDEX}, tensor "v": expected the tensor in a.safetensors, got no such tensor`,
  ],
  [
    'an empty shard',
    mapped({ w: 'a.safetensors' }, { 'a.safetensors': byte() }),
    'expected the tensor in a.safetensors, got no such tensor',
  ],
  [
    'a tensor beyond the index',
    mapped({ w: 'a.safetensors' }, { 'a.safetensors': byte('w', 'v') }),
    `m/${INDEX}, tensor "v": expected the tensors of a.safetensors in the index, got this one left out`,
  ],
  [
    'a tensor in two shards',
    mapped({ w: 'a.safetensors', v: 'b.safetensors' }, { 'a.safetensors': byte('w'), 'b.safetensors': byte('w', 'v') }),
    'm, tensor "w": expected each tensor in one shard, got it in a.safetensors and in b.safetensors',
  ],
  [
    'a tensor in another shard than the index says',
    mapped({ w: 'a.safetensors', v: 'b.safetensors' }, { 'a.safetensors': byte('v'), 'b.safetensors': byte('w') }),
    'expected the tensor in a.safetensors, got it in b.safetensors',
  ],
  [
    'a tensor __proto__ of the index alone',
    withIndex('{"weight_map":{"w":"a.safetensors","__proto__":"a.safetensors"}}', { 'a.safetensors': byte('w') }),
    'tensor "__proto__": expected the tensor in a.safetensors',
  ],
  [
    'a tensor __proto__ of a shard alone',
    mapped(
      { w: 'a.safetensors' },
      { 'a.safetensors': fileOf(`{"w":${entry('U8', [0], [0, 0])},"__proto__":${entry('U8', [0], [0, 0])}}`) },
    ),
    'tensor "__proto__": expected the tensors of a.safetensors in the index',
  ],
  [
    'an inherited name',
    mapped({ constructor: 'a.safetensors' }, { 'a.safetensors': byte('w') }),
    'tensor "constructor": expected the tensor in a.safetensors, got no such tensor',
  ],
];

describe('refused', () => {
  test.each(cases)('%s', async (_, files, message) => {
    const shown = await refusal(memorySource(files));
    expect(shown).toContain(message);
    expect(shown.length).toBeLessThan(400);
  });

  test('an index of more than 100 MB, before any of it is read', async () => {
    const source: Source = {
      list: async () => E.right([INDEX]),
      size: async () => E.right(100_000_001),
      read: () => Promise.reject(new Error('read')),
    };
    expect(await refusal(source)).toContain('an index of at most 100000000 bytes');
  });

  test('a header that claims 100 MB of a large file is read in no larger part', async () => {
    const reads: number[] = [];
    const source: Source = {
      list: async () => E.right(['model.safetensors']),
      size: async () => E.right(2 ** 40),
      read: async (_, __, length) => {
        reads.push(length);
        return E.right(lengthOnly(100_000_001n, length));
      },
    };
    expect(await refusal(source)).toContain('at most 100000000 bytes, got the header length 100000001');
    expect(reads).toEqual([8]);
  });

  test.each(['list', 'size', 'read'] as const)('a source that fails to %s', async (what) => {
    const error = { tag: 'FileError', expected: 'a disk', came: 'EIO', where: 'disk' } as const;
    for (const shards of [0, 2]) {
      const source = { ...memorySource(sharded({}, shards)), [what]: async () => E.left(error) };
      expect(await openCheckpoint(source, 'm')).toEqual(E.left(error));
    }
  });
});

describe('fuzz', () => {
  const tensors: Readonly<Record<string, HostTensor>> = {
    a: { dtype: 'f32', shape: [2, 2], data: new Float32Array(4) },
    b: { dtype: 'bf16', shape: [3], data: new Uint16Array(3) },
    c: { dtype: 'i64', shape: [], data: new BigInt64Array(1) },
  };

  /** A source that fails the test when asked for more than the file has: no reader may take such memory. */
  const bounded = (files: Files): Source => {
    const inner = memorySource(files);
    return {
      ...inner,
      read: (file, from, length) => {
        expect(from + length).toBeLessThanOrEqual(files.get(file)?.length ?? 0);
        return inner.read(file, from, length);
      },
    };
  };

  /** Refused with a FileError, or opened and every tensor read. */
  const returns = async (files: Files): Promise<void> => {
    const opened = await openCheckpoint(bounded(files), 'fuzz');
    if (E.isLeft(opened)) expect(opened.left.tag).toBe('FileError');
    else for (const each of opened.right.names) expect(E.isRight(await opened.right.read(each))).toBe(true);
  };

  const changed = (bytes: Uint8Array, changes: readonly (readonly [number, number])[], length: number): Uint8Array => {
    const copy = new Uint8Array(bytes);
    for (const [at, value] of changes) copy[at % copy.length] = value;
    return copy.subarray(0, length);
  };

  test.each([0, 1, 2])('random bytes and truncations in files of %i shards', (shards) => {
    const files = sharded(tensors, shards);
    const names = [...files.keys()];
    const changes = fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 4 });
    const cut = fc.oneof(fc.constant(1000), fc.nat(400));
    return fc.assert(
      fc.asyncProperty(fc.nat(names.length - 1), changes, cut, (which, bytes, length) => {
        const target = names[which]!;
        return returns(new Map([...files, [target, changed(files.get(target)!, bytes, length)]]));
      }),
      { numRuns: 1000 },
    );
  });

  test('any JSON as index and as weight_map', () =>
    fc.assert(
      fc.asyncProperty(fc.json(), async (json) => {
        await returns(withIndex(json, { 'a.safetensors': byte('w') }));
        await returns(withIndex(`{"weight_map":${json}}`, { 'a.safetensors': byte('w') }));
      }),
    ));
});

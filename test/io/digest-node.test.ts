/** Digests of files: their names, sizes and bytes, read part by part. */
import { expect, it } from 'vitest';
import { digestOfFiles } from '../../src/io/digest-node.ts';
import { memorySource } from '../../src/io/source.ts';
import { orThrow } from '../../src/spec/errors.ts';

const digest = async (files: Readonly<Record<string, string>>): Promise<string> => {
  const encoded = Object.entries(files).map(([name, text]) => [name, new TextEncoder().encode(text)] as const);
  return orThrow(await digestOfFiles(memorySource(new Map(encoded)), Object.keys(files)));
};

it('changes with a byte, with a name, and with where one file ends', async () => {
  const all = [{ a: 'xy', b: 'z' }, { a: 'xy', b: 'w' }, { a: 'xy', c: 'z' }, { a: 'x', b: 'yz' }, { a: 'xy' }, {}];
  const digests = await Promise.all(all.map((files) => digest(files as Readonly<Record<string, string>>)));
  expect(new Set(digests).size).toBe(all.length);
  expect(await digest({ a: 'xy', b: 'z' })).toBe(digests[0]);
});

it('says which file is not there', async () => {
  const result = await digestOfFiles(memorySource(new Map()), ['none']);
  expect(result).toMatchObject({ left: { tag: 'FileError', where: 'none' } });
});

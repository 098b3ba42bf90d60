/**
 * The digest of files that may be larger than memory, for Node and Deno.
 *
 * Law: equal digests mean equal names, equal sizes and equal bytes.
 */
import { createHash, type Hash } from 'node:crypto';
import * as E from 'fp-ts/lib/Either.js';
import type { Result } from '../spec/errors.ts';
import type { Source } from './source.ts';

/** Bytes that are read at once. */
const PART = 2 ** 26;

const addFile = async (hash: Hash, source: Source, name: string): Promise<Result<void>> => {
  const size = await source.size(name);
  if (E.isLeft(size)) return size;
  hash.update(`${name}\0${size.right}\0`);
  for (let from = 0; from < size.right; from += PART) {
    const part = await source.read(name, from, Math.min(PART, size.right - from));
    if (E.isLeft(part)) return part;
    hash.update(part.right);
  }
  return E.right(undefined);
};

/** SHA-256 over the files in this order, as 64 hexadecimal digits. */
export const digestOfFiles = async (source: Source, names: readonly string[]): Promise<Result<string>> => {
  const hash = createHash('sha256');
  for (const name of names) {
    const added = await addFile(hash, source, name);
    if (E.isLeft(added)) return added;
  }
  return E.right(hash.digest('hex'));
};

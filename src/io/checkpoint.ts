/**
 * A model's weights in the files that Hugging Face writes: `model.safetensors`, or shards of it with
 * `model.safetensors.index.json`, which says which tensor lies in which shard. Opening reads headers alone; each tensor
 * is read when it is asked for.
 *
 * Laws: every tensor of the files has one name and lies in one place, and index and shards say the same. Opening takes
 * memory for the headers alone, reading a tensor for its bytes alone.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';
import { checkObject, excerpt, readJsonObject } from '../spec/strict-json.ts';
import { bytesOf, type HostTensor, type Spec } from '../spec/tensor.ts';
import { tensorOver } from './little-endian.ts';
import { joinNf4 } from './nf4-file.ts';
import { type Entry, headerEnd, lengthBytes, maxHeaderBytes, readHeader } from './safetensors-header.ts';
import type { Source } from './source.ts';
import { checkNames } from './store.ts';

export interface Checkpoint {
  /** What errors call it. */
  readonly where: string;
  /** The files that hold it, the index not among them. */
  readonly files: readonly string[];
  /** Shard by shard, in the order of their data. */
  readonly names: readonly string[];
  readonly spec: (name: string) => Spec | undefined;
  /** The tensor, the caller's own, with the element type of the file; an NF4 weight is one. Reads its bytes and no others. */
  readonly read: (name: string) => Promise<Result<HostTensor>>;
  /** Of all tensors together. */
  readonly bytes: number;
}

interface Placed extends Entry {
  readonly file: string;
}

/** Which shard holds each tensor. */
type WeightMap = ReadonlyMap<string, string>;

const WHOLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';
const SUFFIX = '.safetensors';

// The index

const checkShardName = (shard: unknown, where: string): Result<string> => {
  if (typeof shard !== 'string' || !shard.endsWith(SUFFIX))
    return fail('FileError', `the name of a ${SUFFIX} file`, excerpt(shard), where);
  return pipe(
    checkNames([shard], where),
    E.map(() => shard),
  );
};

const weightMapOf = (bytes: Uint8Array, where: string): Result<WeightMap> =>
  pipe(
    readJsonObject(bytes, where),
    E.chain(({ weight_map }) => checkObject(weight_map, 'an object weight_map', where)),
    E.chain((map) =>
      E.traverseArray(([name, shard]: readonly [string, unknown]) =>
        pipe(
          checkShardName(shard, `${where}, tensor ${excerpt(name)}`),
          E.map((file) => [name, file] as const),
        ),
      )(Object.entries(map)),
    ),
    E.map((entries) => new Map(entries)),
  );

const readIndex = async (source: Source, where: string): Promise<Result<WeightMap>> => {
  const size = await source.size(INDEX);
  if (E.isLeft(size)) return size;
  if (size.right > maxHeaderBytes)
    return fail('FileError', `an index of at most ${maxHeaderBytes} bytes`, `${size.right} bytes`, where);
  const bytes = await source.read(INDEX, 0, size.right);
  return E.isLeft(bytes) ? bytes : weightMapOf(bytes.right, where);
};

// The shards

const readEntries = async (source: Source, file: string, where: string): Promise<Result<readonly Placed[]>> => {
  const size = await source.size(file);
  if (E.isLeft(size)) return size;
  const prefix = await source.read(file, 0, Math.min(lengthBytes, size.right));
  if (E.isLeft(prefix)) return prefix;
  const end = headerEnd(prefix.right, size.right, where);
  if (E.isLeft(end)) return end;
  const header = await source.read(file, 0, end.right);
  return pipe(
    header,
    E.chain((bytes) => readHeader(bytes, size.right, where)),
    E.map(({ entries }) => entries.map((entry) => ({ ...entry, file }))),
  );
};

const readShards = async (
  source: Source,
  files: readonly string[],
  where: string,
): Promise<Result<readonly Placed[]>> => {
  const all: Placed[] = [];
  for (const file of files) {
    const entries = await readEntries(source, file, `${where}/${file}`);
    if (E.isLeft(entries)) return entries;
    for (const entry of entries.right) all.push(entry);
  }
  return E.right(all);
};

const byName = (entries: readonly Placed[], where: string): Result<ReadonlyMap<string, Placed>> => {
  const found = new Map<string, Placed>();
  for (const entry of entries) {
    const other = found.get(entry.name);
    if (other !== undefined)
      return fail(
        'FileError',
        'each tensor in one shard',
        `it in ${other.file} and in ${entry.file}`,
        `${where}, tensor ${excerpt(entry.name)}`,
      );
    found.set(entry.name, entry);
  }
  return E.right(found);
};

/** Index and shards name the same tensors, at the same places. */
const checkAgree = (
  map: WeightMap,
  found: ReadonlyMap<string, Placed>,
  where: string,
): Result<ReadonlyMap<string, Placed>> => {
  const at = (name: string): string => `${where}/${INDEX}, tensor ${excerpt(name)}`;
  for (const [name, shard] of map) {
    const file = found.get(name)?.file;
    if (file !== shard)
      return fail(
        'FileError',
        `the tensor in ${shard}`,
        file === undefined ? 'no such tensor' : `it in ${file}`,
        at(name),
      );
  }
  for (const { name, file } of found.values())
    if (!map.has(name)) return fail('FileError', `the tensors of ${file} in the index`, 'this one left out', at(name));
  return E.right(found);
};

// The checkpoint

/** The checkpoint with other tensors in the place of some of its own, in their own types. */
export const checkpointWith = (checkpoint: Checkpoint, tensors: Readonly<Record<string, HostTensor>>): Checkpoint => {
  const given = new Map(Object.entries(tensors));
  const spec = (name: string): Spec | undefined => {
    const tensor = given.get(name);
    return tensor === undefined ? checkpoint.spec(name) : { dtype: tensor.dtype, shape: tensor.shape };
  };
  return {
    ...checkpoint,
    spec,
    read: async (name) => {
      const tensor = given.get(name);
      return tensor === undefined
        ? checkpoint.read(name)
        : E.right({ ...tensor, data: tensor.data.slice() } as HostTensor);
    },
    bytes: checkpoint.names.reduce((sum, name) => sum + bytesOf(spec(name)!), 0),
  };
};

const checkpointOf = (
  source: Source,
  files: readonly string[],
  found: ReadonlyMap<string, Placed>,
  where: string,
): Checkpoint => ({
  where,
  files,
  names: [...found.keys()],
  spec: (name) => {
    const entry = found.get(name);
    return entry && { dtype: entry.dtype, shape: entry.shape };
  },
  read: async (name) => {
    const entry = found.get(name);
    if (entry === undefined) return fail('FileError', `a tensor ${excerpt(name)}`, 'none', where);
    const { file, begin, end, dtype, shape } = entry;
    return pipe(
      await source.read(file, begin, end - begin),
      E.map((bytes) => tensorOver({ dtype, shape }, bytes)),
    );
  },
  bytes: [...found.values()].reduce((sum, entry) => sum + bytesOf(entry), 0),
});

const open = async (source: Source, map: WeightMap | null, where: string): Promise<Result<Checkpoint>> => {
  const files = map === null ? [WHOLE] : [...new Set(map.values())].sort();
  return pipe(
    await readShards(source, files, where),
    E.chain((entries) => byName(entries, where)),
    E.chain((found) => (map === null ? E.right(found) : checkAgree(map, found, where))),
    E.map((found) => checkpointOf(source, files, found, where)),
  );
};

const joined = (opened: Result<Checkpoint>): Promise<Result<Checkpoint>> =>
  E.isLeft(opened) ? Promise.resolve(opened) : joinNf4(opened.right);

/**
 * The checkpoint in a folder, which `where` names in errors. As transformers does, `model.safetensors` is taken where
 * both it and an index are there.
 * FileErrors: neither is there; a header as `readHeader` refuses it; an index that is no JSON or names a file outside
 * the folder; an index that does not agree with the shards; 4-bit weights that are no NF4, or lack parts.
 */
export const openCheckpoint = async (source: Source, where: string): Promise<Result<Checkpoint>> => {
  const listed = await source.list();
  if (E.isLeft(listed)) return listed;
  const names = new Set(listed.right);
  if (names.has(WHOLE)) return joined(await open(source, null, where));
  if (names.has(INDEX)) {
    const map = await readIndex(source, `${where}/${INDEX}`);
    return E.isLeft(map) ? map : joined(await open(source, map.right, where));
  }
  const pickle = listed.right.find((name) => /^pytorch_model.*\.bin$/.test(name));
  return fail(
    'FileError',
    `${WHOLE} or ${INDEX}${pickle === undefined ? '' : ' (save_pretrained of transformers writes it)'}`,
    pickle === undefined ? 'neither' : `${pickle}, a pickle, which can run code when it is read`,
    where,
  );
};

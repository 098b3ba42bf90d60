/**
 * The header of a safetensors file, read and checked before any data. A reader that streams reads 8 bytes, asks
 * {@link headerEnd} how many more, and gets from {@link readHeader} where each tensor lies.
 *
 * Law: the entries of a `right` cover the data exactly: no hole, no overlap, nothing beyond the file or left over, and
 * each entry is as long as its shape and element type say.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { FileType } from '../spec/dtype.ts';
import { defect, fail, type Result } from '../spec/errors.ts';
import { checkObject, excerpt, type JsonObject, parseStrictJson, utf8 } from '../spec/strict-json.ts';
import { bytesOf, type Spec, showSpec } from '../spec/tensor.ts';

/** Where a tensor lies: bytes `begin` (inclusive) to `end` (exclusive), counted from the start of the file. */
export interface Entry extends Spec {
  readonly name: string;
  readonly begin: number;
  readonly end: number;
}

export interface Header {
  /** In the order of their data. */
  readonly entries: readonly Entry[];
  /** Without prototype, so any key is safe. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** The bytes that hold the header's length. */
export const lengthBytes: number = 8;

/** Headers of more bytes are refused, as the Python library does. */
export const maxHeaderBytes: number = 100_000_000;

export const metadataKey: string = '__metadata__';

/** The format's name of each element type. Files hold tensors in this order, so each is aligned to its element. */
export const codes: Readonly<Record<FileType, string>> = {
  i64: 'I64',
  f64: 'F64',
  f32: 'F32',
  i32: 'I32',
  bf16: 'BF16',
  f16: 'F16',
  u8: 'U8',
};
export const dtypes: readonly FileType[] = Object.keys(codes) as readonly FileType[];

/** Half a surrogate pair: JSON can escape it, UTF-8 cannot hold it. */
export const loneSurrogate: RegExp = /\p{Surrogate}/u;

/** A record without prototype: `__proto__` and `constructor` are names like any other. */
export const bareRecord = <A>(entries: readonly (readonly [string, A])[]): Readonly<Record<string, A>> =>
  Object.setPrototypeOf(Object.fromEntries(entries), null);

/**
 * The number of bytes before the data, read from the first 8 bytes of a file of `fileLength` bytes: as many as
 * {@link readHeader} needs. FileError: fewer than 8 bytes, a header beyond the file's end or `maxHeaderBytes`.
 */
export const headerEnd = (prefix: Uint8Array, fileLength: number, where: string): Result<number> => {
  if (fileLength < lengthBytes) return fail('FileError', 'at least 8 bytes', `${fileLength} bytes`, where);
  const length = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength).getBigUint64(0, true);
  const limit = Math.min(maxHeaderBytes, fileLength - lengthBytes);
  return length <= limit
    ? E.right(lengthBytes + Number(length))
    : fail('FileError', `a header of at most ${limit} bytes`, `the header length ${length}`, `${where}, bytes 0 to 8`);
};

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && !Object.is(value, -0);

const counts = (value: unknown, where: string): Result<readonly number[]> =>
  Array.isArray(value) && value.every(isCount)
    ? E.right(value)
    : fail('FileError', 'a list of whole numbers from 0 to 2^53 - 1', excerpt(value), where);

const dtypeOf = (code: unknown, where: string): Result<FileType> =>
  pipe(
    dtypes.find((dtype) => codes[dtype] === code),
    E.fromNullable({
      tag: 'FileError',
      expected: `one of ${Object.values(codes).join(', ')}`,
      came: excerpt(code),
      where,
    }),
  );

const wellFormed = (text: string, where: string): Result<string> =>
  loneSurrogate.test(text)
    ? fail('FileError', 'Unicode text', `${excerpt(text)}, a lone surrogate`, where)
    : E.right(text);

/** Checks `data_offsets` against the shape and the data's length. */
const placed = (
  tensor: Spec & { readonly name: string },
  span: readonly number[],
  dataLength: number,
  where: string,
): Result<Entry> => {
  const [begin, end] = span;
  const size = bytesOf(tensor);
  const came = `data_offsets ${excerpt(span)}`;
  if (!Number.isSafeInteger(size))
    return fail('FileError', 'fewer than 2^53 bytes', `shape ${excerpt(tensor.shape)}`, where);
  if (span.length !== 2 || begin === undefined || end === undefined || begin > end)
    return fail('FileError', 'data_offsets [begin, end] with begin <= end', came, where);
  if (end > dataLength) return fail('FileError', `offsets within the ${dataLength} bytes of data`, came, where);
  if (end - begin !== size)
    return fail('FileError', `${size} bytes for ${excerpt(showSpec(tensor))}`, `${end - begin} bytes, ${came}`, where);
  return E.right({ ...tensor, begin, end });
};

/** The entry as the header states it: `begin` and `end` count from the start of the data. */
const entryOf =
  (dataLength: number, where: string) =>
  ([name, value]: readonly [string, unknown]): Result<Entry> => {
    const at = `${where}, tensor ${excerpt(name)}`;
    return pipe(
      wellFormed(name, at),
      E.chain(() => checkObject(value, 'an object with dtype, shape and data_offsets', at)),
      E.bindTo('fields'),
      E.bind('dtype', ({ fields }) => dtypeOf(fields.dtype, `${at}, dtype`)),
      E.bind('shape', ({ fields }) => counts(fields.shape, `${at}, shape`)),
      E.bind('span', ({ fields }) => counts(fields.data_offsets, `${at}, data_offsets`)),
      E.chain(({ dtype, shape, span }) => placed({ name, dtype, shape }, span, dataLength, at)),
    );
  };

const noteOf =
  (where: string) =>
  ([key, value]: readonly [string, unknown]): Result<readonly [string, string]> => {
    const at = `${where}, ${metadataKey} ${excerpt(key)}`;
    return pipe(
      wellFormed(key, at),
      E.chain(() =>
        typeof value === 'string' ? wellFormed(value, at) : fail('FileError', 'text', excerpt(value), at),
      ),
      E.map((text) => [key, text] as const),
    );
  };

const metadataOf = (value: unknown, where: string): Result<Header['metadata']> =>
  pipe(
    checkObject(value, 'an object of texts', `${where}, ${metadataKey}`),
    E.chain((notes) => E.traverseArray(noteOf(where))(Object.entries(notes))),
    E.map(bareRecord),
  );

/** The entries in the order of their data, if they cover all `dataLength` bytes once. */
const tiled = (entries: readonly Entry[], dataLength: number, where: string): Result<readonly Entry[]> => {
  const sorted = [...entries].sort((a, b) => a.begin - b.begin || a.end - b.end);
  const endBefore = (i: number): number => sorted[i - 1]?.end ?? 0;
  const i = sorted.findIndex(({ begin }, k) => begin !== endBefore(k));
  const wrong = sorted[i];
  if (wrong !== undefined) {
    const kind = wrong.begin > endBefore(i) ? 'a hole' : 'an overlap';
    const came = `${kind}: data_offsets ${excerpt([wrong.begin, wrong.end])}`;
    const before = i === 0 ? '' : `, the end of tensor ${excerpt(sorted[i - 1]?.name)}`;
    return fail(
      'FileError',
      `data from offset ${endBefore(i)}${before}`,
      came,
      `${where}, tensor ${excerpt(wrong.name)}`,
    );
  }
  const end = endBefore(sorted.length);
  return end === dataLength
    ? E.right(sorted)
    : fail('FileError', `${end} bytes of data`, `${dataLength - end} surplus bytes`, `${where}, data offset ${end}`);
};

const headerOf = (json: JsonObject, dataBegin: number, dataLength: number, where: string): Result<Header> => {
  const { [metadataKey]: notes = {}, ...described } = json;
  return pipe(
    metadataOf(notes, where),
    E.bindTo('metadata'),
    E.bind('relative', () => E.traverseArray(entryOf(dataLength, where))(Object.entries(described))),
    E.bind('sorted', ({ relative }) => tiled(relative, dataLength, where)),
    E.map(({ metadata, sorted }) => ({
      entries: sorted.map((e) => ({ ...e, begin: dataBegin + e.begin, end: dataBegin + e.end })),
      metadata,
    })),
  );
};

/**
 * The header of a file of `fileLength` bytes; `prefix` are its first bytes, at least {@link headerEnd} of them. `where`
 * names the file in errors, which count offsets from the start of the data, as the header does.
 * FileError: a header that is too long, not UTF-8, not a JSON object, or has a key twice; metadata that are not texts;
 * an element type this package does not know; a shape or offsets that are not whole numbers, disagree with each other
 * or leave the file; data that overlap, leave a hole, or go on behind the last tensor. Unknown fields are ignored.
 */
export const readHeader = (prefix: Uint8Array, fileLength: number, where: string): Result<Header> =>
  pipe(
    headerEnd(prefix, fileLength, where),
    E.chain((end) => {
      if (prefix.length < end) return defect(`readHeader: ${end} bytes needed, ${prefix.length} given`);
      const at = `${where}, header`;
      return pipe(
        utf8(prefix.subarray(lengthBytes, end), at),
        E.chain((text) =>
          text.startsWith('{')
            ? parseStrictJson(text, at)
            : fail('FileError', 'a JSON object, from its "{" on', excerpt(text), at),
        ),
        E.map((json) => json as JsonObject), // JSON that begins with "{" is an object
        E.chain((json) => headerOf(json, end, fileLength - end, where)),
      );
    }),
  );

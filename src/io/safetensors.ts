/**
 * The safetensors format: 8 bytes with the header's length (u64), a JSON header, then the data of all tensors without a
 * gap. Everything is little-endian. Format: https://github.com/huggingface/safetensors#format
 *
 * Laws: `decode(encode(tensors, metadata))` gives back every bit. `encode` does not depend on the order of keys.
 * `encode(decode(bytes))` is `bytes` for a file that the Python library wrote with at most one metadata key (it writes
 * several in random order). `decode` returns for any bytes, in time and memory linear in their number.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { defect, type Result } from '../spec/errors.ts';
import { isNf4 } from '../spec/nf4.ts';
import { bytesOf, type HostTensor, type Spec, showSpec, sizeOf } from '../spec/tensor.ts';
import { joinBytes } from './digest.ts';
import { tensorBytes, tensorFromBytes } from './little-endian.ts';
import {
  bareRecord,
  codes,
  dtypes,
  lengthBytes,
  loneSurrogate,
  metadataKey,
  readHeader,
} from './safetensors-header.ts';

/** What a file holds. Both records have no prototype, so any name is safe, `__proto__` too. */
export interface Safetensors {
  readonly tensors: Readonly<Record<string, HostTensor>>;
  readonly metadata: Readonly<Record<string, string>>;
}

// Writing

/** The order of code points, which is the order of UTF-8 bytes. (`<` compares UTF-16 units.) */
const byCodePoint = (a: string, b: string): number => {
  const [x, y] = [[...a], [...b]];
  const i = x.findIndex((c, k) => c !== y[k]);
  return i < 0 ? x.length - y.length : (x[i]?.codePointAt(0) ?? 0) - (y[i]?.codePointAt(0) ?? -1);
};

const sortedByName = <A>(record: Readonly<Record<string, A>>): readonly (readonly [string, A])[] =>
  Object.entries(record).sort(([a], [b]) => byCodePoint(a, b));

/** Tensors, or their specs, in the order of their data: by element type, the widest first, then by name. */
export const inFileOrder = <S extends Spec>(
  tensors: Readonly<Record<string, S>>,
): readonly (readonly [string, S])[] => {
  const named = sortedByName(tensors);
  return dtypes.flatMap((dtype) => named.filter(([, tensor]) => tensor.dtype === dtype));
};

/** `[0, s₀, s₀+s₁, …]` */
const offsets = (sizes: readonly number[]): readonly number[] => {
  let end = 0;
  return [0, ...sizes.map((size) => (end += size))];
};

/** `{"key":json,…}`. Joined by hand, because an object would move keys like "10" to its front. */
const jsonObject = (members: readonly (readonly [key: string, json: string])[]): string =>
  `{${members.map(([key, json]) => `${JSON.stringify(key)}:${json}`).join(',')}}`;

const headerText = (
  tensors: readonly (readonly [string, Spec])[],
  begins: readonly number[],
  metadata: Readonly<Record<string, string>>,
): string => {
  const notes = sortedByName(metadata).map(([key, value]) => [key, JSON.stringify(value)] as const);
  const entries = tensors.map(([name, { dtype, shape }], i) => {
    const code = isNf4(dtype) ? defect(`tensor ${name}: a file holds ${dtype} in parts`) : codes[dtype];
    const entry = { dtype: code, shape, data_offsets: [begins[i], begins[i + 1]] };
    return [name, JSON.stringify(entry)] as const;
  });
  return jsonObject(notes.length === 0 ? entries : [[metadataKey, jsonObject(notes)], ...entries]);
};

/**
 * All bytes of a file before its data, for tensors of these specs in {@link inFileOrder}. Defects as in
 * {@link encodeSafetensors}.
 */
export const safetensorsHead = (
  ordered: readonly (readonly [string, Spec])[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array => {
  const texts = [...ordered.map(([name]) => name), ...Object.entries(metadata).flat()];
  if (ordered.some(([name]) => name === metadataKey)) defect(`a tensor may not be named ${metadataKey}`);
  if (texts.some((text) => loneSurrogate.test(text))) defect('a safetensors header with a lone surrogate');
  const begins = offsets(ordered.map(([, spec]) => bytesOf(spec)));
  const header = new TextEncoder().encode(headerText(ordered, begins, metadata));
  const headerBytes = Math.ceil(header.length / 8) * 8;
  const head = new Uint8Array(lengthBytes + headerBytes).fill(0x20, lengthBytes);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerBytes), true);
  head.set(header, lengthBytes);
  return head;
};

const checkWritable = (name: string, { dtype, shape, data }: HostTensor): void => {
  if (data.length !== sizeOf(shape))
    defect(`tensor ${name}: ${data.length} elements for ${showSpec({ dtype, shape })}`);
};

/**
 * The file that holds these tensors, byte for byte what the Python library writes. Empty metadata are left out.
 * Defects, which callers exclude: a tensor named `__metadata__`, data that do not fit their shape, a lone surrogate in
 * a name or in the metadata (it has no UTF-8).
 *
 * @example
 * ```ts
 * import { decodeSafetensors, encodeSafetensors, orThrow } from 'paca-ts';
 *
 * const bytes = encodeSafetensors({ w: { dtype: 'f32', shape: [2], data: Float32Array.of(1, 2) } });
 * orThrow(decodeSafetensors(bytes, 'memory')).tensors['w']?.shape; // => [2]
 * ```
 */
export const encodeSafetensors = (
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array => {
  const ordered = inFileOrder(tensors);
  for (const [name, tensor] of ordered) checkWritable(name, tensor);
  return joinBytes([safetensorsHead(ordered, metadata), ...ordered.map(([, tensor]) => tensorBytes(tensor))]);
};

// Reading

/**
 * The tensors and metadata in the bytes of a whole file; all data are copied. `where` names the file in errors.
 * FileError as in `readHeader`.
 */
export const decodeSafetensors = (bytes: Uint8Array, where: string): Result<Safetensors> =>
  pipe(
    readHeader(bytes, bytes.length, where),
    E.map(({ entries, metadata }) => ({
      tensors: bareRecord(entries.map((e) => [e.name, tensorFromBytes(e, bytes.subarray(e.begin, e.end))])),
      metadata,
    })),
  );

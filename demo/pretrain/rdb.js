/**
 * Reads the data of an installed R package (`Rdata.rdx` and `Rdata.rdb`) without R: as much of R's serialisation as vectors,
 * lists and strings need.
 *
 * The index is gzip, each object of the database is four bytes of length and a zlib stream, and both hold the XDR form that
 * "R Internals", section 1.8, describes: big-endian, each item an integer of flags (the low byte is its type) and its content.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync, inflateSync } from 'node:zlib';

/** @typedef {null | string | unknown[] | { [name: string]: unknown }} Value a list holds values in turn */

const types = { symbol: 1, pairs: 2, chars: 9, logical: 10, integer: 13, real: 14, string: 16, list: 19 };
const marks = { nil: 254, reference: 255 };

/**
 * What a serialised object holds; a list with names becomes a record.
 *
 * @param {Buffer} bytes
 * @returns {Value}
 */
const unserialise = (bytes) => {
  if (bytes.toString('latin1', 0, 2) !== 'X\n') throw new Error('not an R object in XDR form');
  let at = 2;
  /** @type {Value[]} */
  const symbols = [];

  const integer = () => {
    at += 4;
    return bytes.readInt32BE(at - 4);
  };
  const real = () => {
    at += 8;
    return bytes.readDoubleBE(at - 8);
  };
  /** @param {number} length */
  const text = (length) => {
    at += length;
    return bytes.toString('utf8', at - length, at);
  };
  /** @template A @param {() => A} read @returns {A[]} */
  const vector = (read) => Array.from({ length: integer() }, read);
  const chars = () => {
    const length = integer();
    return length < 0 ? '' : text(length);
  };

  /** @returns {Value} */
  const item = () => {
    const flags = integer();
    const type = flags & 255;
    const hasAttributes = (flags & 512) !== 0;
    const hasTag = (flags & 1024) !== 0;
    if (type === marks.nil) return null;
    if (type === marks.reference) return symbols[(flags >> 8) - 1] ?? null;
    if (type === types.symbol) {
      const name = item();
      symbols.push(name);
      return name;
    }
    if (type === types.pairs) {
      if (hasAttributes) item();
      const tag = hasTag ? item() : null;
      const head = item();
      const tail = item();
      return { ...(typeof tag === 'string' ? { [tag]: head } : {}), .../** @type {object} */ (tail ?? {}) };
    }
    if (type === types.chars) return chars();
    const content = elements(type);
    const attributes = /** @type {{ names?: string[] } | null} */ (hasAttributes ? item() : null);
    return attributes?.names === undefined
      ? content
      : Object.fromEntries(attributes.names.map((name, i) => [name, content[i] ?? null]));
  };

  /** @param {number} type @returns {unknown[]} */
  const elements = (type) => {
    if (type === types.logical || type === types.integer) return vector(integer);
    if (type === types.real) return vector(real);
    if (type === types.string) return vector(() => String(item()));
    if (type === types.list) return vector(item);
    throw new Error(`R type ${type} at byte ${at} is not one that this reader knows`);
  };

  const version = integer();
  at += 8; // the versions of R that wrote it and that can read it
  if (version === 3)
    text(integer()); // the native encoding
  else if (version !== 2) throw new Error(`version ${version} of R's serialisation is not one that this reader knows`);
  return item();
};

/**
 * The character vectors of a package's data, by name: `readTexts('…/janeaustenr/data/Rdata').emma` is the lines of Emma.
 *
 * @param {string} base path of the database without its extension
 * @returns {{ [name: string]: string[] }}
 */
export const readTexts = (base) => {
  const index = /** @type {{ variables: { [name: string]: [number, number] } }} */ (
    unserialise(gunzipSync(readFileSync(`${base}.rdx`)))
  );
  const database = readFileSync(`${base}.rdb`);
  /** @param {[number, number]} place */
  const object = ([start, length]) => {
    const value = unserialise(inflateSync(database.subarray(start + 4, start + length)));
    if (!Array.isArray(value) || !value.every((line) => typeof line === 'string'))
      throw new Error('not a vector of text');
    return /** @type {string[]} */ (value);
  };
  return Object.fromEntries(Object.entries(index.variables).map(([name, place]) => [name, object(place)]));
};

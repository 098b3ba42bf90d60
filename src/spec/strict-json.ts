/**
 * JSON without surprises. `JSON.parse` keeps the last of two equal keys and follows any depth; text that means two
 * things to two readers, or that nests absurdly, is refused here.
 *
 * Law: `parseStrictJson` is `right(JSON.parse(text))` if no object of `text` holds a key twice and nothing nests deeper
 * than `maxDepth`; otherwise `left`. It takes time and memory linear in the text.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from './errors.ts';

/** Brackets that may be open at once. */
export const maxDepth: number = 64;

/** A value as an error message shows it: JSON, cut where it grows long. */
export const excerpt = (value: unknown, length = 80): string => {
  const text = JSON.stringify(typeof value === 'string' ? value.slice(0, length) : value) ?? 'nothing';
  return text.length > length ? `${text.slice(0, length)}…` : text;
};

/** The index behind the string that opens at `start`. */
const endOfString = (text: string, start: number): number => {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
  return i + 1;
};

/** In JSON a string is a key if and only if a colon follows. */
const colonFollows = (text: string, from: number): boolean => {
  let i = from;
  while (text[i] === ' ' || text[i] === '\n' || text[i] === '\t' || text[i] === '\r') i++;
  return text[i] === ':';
};

/** What is wrong with the keys or the depth, in words. Throws a SyntaxError on a key that is no JSON string. */
const offence = (text: string): string | undefined => {
  const open: Set<string>[] = [];
  for (let i = 0; i < text.length; ) {
    const c = text[i];
    const end: number = c === '"' ? endOfString(text, i) : i + 1;
    if (c === '{' || c === '[') open.push(new Set());
    if (c === '}' || c === ']') open.pop();
    if (open.length > maxDepth) return `more than ${maxDepth} open brackets`;
    if (c === '"' && colonFollows(text, end)) {
      const key: string = JSON.parse(text.slice(i, end));
      if (open.at(-1)?.has(key)) return `the key ${excerpt(key)} twice`;
      open.at(-1)?.add(key);
    }
    i = end;
  }
  return undefined;
};

/** The value that `text` stands for. FileError: not JSON, a key twice in one object, nesting beyond `maxDepth`. */
export const parseStrictJson = (text: string, where: string): Result<unknown> => {
  try {
    const wrong = offence(text);
    return wrong === undefined
      ? E.right(JSON.parse(text))
      : fail('FileError', 'JSON objects that hold each key once', wrong, where);
  } catch (cause) {
    return fail('FileError', 'JSON', (cause as Error).message, where);
  }
};

export type JsonObject = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The value, if it is an object. */
export const checkObject = (value: unknown, expected: string, where: string): Result<JsonObject> =>
  isObject(value) ? E.right(value) : fail('FileError', expected, excerpt(value), where);

/** The text that the bytes are. FileError: no UTF-8. A byte order mark is kept, and is no JSON. */
export const utf8 = (bytes: Uint8Array, where: string): Result<string> => {
  try {
    return E.right(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return fail('FileError', 'UTF-8', 'other bytes', where);
  }
};

/** The JSON object that the bytes of a whole file hold. */
export const readJsonObject = (bytes: Uint8Array, where: string): Result<JsonObject> =>
  pipe(
    utf8(bytes, where),
    E.chain((text) => parseStrictJson(text, where)),
    E.chain((json) => checkObject(json, 'a JSON object', where)),
  );

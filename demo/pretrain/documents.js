/** The speeches as the base learnt from them, and which pieces of documents it did not see. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const chunkLength = 2000;
const heldOutEvery = 20;

/** Of what is held out, every so many-th document is in `demo/base/held-out.jsonl`. */
export const ownTextEvery = 9;

/** Typographic marks become those of a keyboard, as the novels have them; a dash is two hyphens. @param {string} text */
export const plain = (text) =>
  text
    .normalize('NFC')
    .replace(/[‘’]/g, "'")
    .replace(/[“”]/g, '"')
    .replace(/\s*—\s*/g, '--')
    .replace(/[–‑]/g, '-')
    .replace(/[•_]/g, '')
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();

/** Speeches come as one long line each, in files named by their years. @param {string} data */
export const speeches = (data) =>
  readdirSync(data)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({ year: Number.parseInt(name, 10), text: plain(readFileSync(join(data, name), 'utf8')) }));

/** The pieces of a document that end with a sentence and have at least the wanted length; all together are the document. @param {string} text */
const chunks = (text) =>
  text.match(new RegExp(`[\\s\\S]{${chunkLength},}?(?:[.?!]["')\\]]*\\s|$)|[\\s\\S]+$`, 'g')) ?? [];

/** The chunks of each document, with those held out: every twentieth of all. @param {readonly string[]} documents */
export const marked = (documents) => {
  let count = 0;
  return documents.map((document) =>
    chunks(document).map((chunk) => {
      count += 1;
      return { chunk, heldOut: count % heldOutEvery === 0 };
    }),
  );
};

/**
 * Writes `demo/base/held-out.jsonl`: every ninth of the documents that were held out from pretraining, its first 900
 * characters, a JSON line each. On it is measured what a fine-tuning run makes the base forget.
 *
 *     node demo/pretrain/held-out.js      # after corpus.js
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { ownTextEvery } from './documents.js';

const length = 900;

/** @param {string} path */
const at = (path) => fileURLToPath(new URL(path, import.meta.url));

const documents = readFileSync(at('work/validation.txt'), 'utf8').split('\f');
const lines = documents
  .filter((_, i) => i % ownTextEvery === 0)
  .map((document) => `${JSON.stringify({ text: document.slice(0, length) })}\n`);
writeFileSync(at('../base/held-out.jsonl'), lines.join(''));
process.stdout.write(`${lines.length} documents\n`);

/**
 * Turns `work/train.txt` and `work/validation.txt` into `train.tokens` and `validation.tokens`, by the tokenizer that `bpe.js` wrote:
 * little-endian 16-bit numbers, `<|endoftext|>` before the first document and after each.
 *
 *     node demo/pretrain/tokenize.js [--out <folder of the tokenizer; demo/pretrain/work where none is given>]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { encoder, endOfText } from './tokenizer.js';

const work = fileURLToPath(new URL('work', import.meta.url));
const { values } = parseArgs({ options: { out: { type: 'string', default: work } } });

const json = JSON.parse(readFileSync(join(values.out, 'tokenizer.json'), 'utf8'));
const encode = encoder(json);
const end = json.model.vocab[endOfText];

/** @param {number[]} tokens */
const littleEndian = (tokens) => {
  const bytes = Buffer.alloc(2 * tokens.length);
  tokens.forEach((token, i) => {
    bytes.writeUInt16LE(token, 2 * i);
  });
  return bytes;
};

for (const name of ['train', 'validation']) {
  const text = readFileSync(join(work, `${name}.txt`), 'utf8');
  const documents = text.split('\f');
  const parts = [littleEndian([end]), ...documents.map((document) => littleEndian([...encode(document), end]))];
  const bytes = Buffer.concat(parts);
  writeFileSync(join(values.out, `${name}.tokens`), bytes);
  const count = bytes.length / 2;
  const words = count - documents.length - 1;
  process.stdout.write(`${name}: ${count} tokens, ${(text.length / words).toFixed(3)} characters a token of text\n`);
}

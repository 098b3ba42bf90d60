/**
 * Learns a byte-level BPE tokenizer on `work/train.txt` and writes it in the form of Hugging Face: `tokenizer.json`,
 * `tokenizer_config.json` and `special_tokens_map.json`.
 *
 *     node demo/pretrain/bpe.js [--size 2048] [--out <folder; demo/pretrain/work where none is given>]
 *
 * The size counts the special tokens (0 is `<|endoftext|>`, 1 is `<|pad|>`) and the 256 bytes.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { config, specialTokens, toJson, train } from './tokenizer.js';

const work = fileURLToPath(new URL('work', import.meta.url));
const { values } = parseArgs({
  options: { size: { type: 'string', default: '2048' }, out: { type: 'string', default: work } },
});

const size = Number(values.size);
if (!Number.isInteger(size) || size < 258 || size > 65536) throw new Error(`--size ${values.size}: not 258 … 65536`);

const learned = train(readFileSync(join(work, 'train.txt'), 'utf8').split('\f'), size);
mkdirSync(values.out, { recursive: true });
/** @param {string} name @param {object} content */
const write = (name, content) => writeFileSync(join(values.out, name), `${JSON.stringify(content, null, 2)}\n`);
write('tokenizer.json', toJson(learned));
write('tokenizer_config.json', config);
write('special_tokens_map.json', specialTokens);
process.stdout.write(`${learned.tokens.length} tokens, ${learned.merges.length} merges\n`);

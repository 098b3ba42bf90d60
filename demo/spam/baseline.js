/**
 * What is simple, to place other results by: the length of a mail alone, and naive Bayes on its words.
 *
 *     node demo/spam/baseline.js
 *
 * P(class | mail) ∝ P(class) · Π P(word | class), each word's probability from the training mails with one added to every count. Words
 * that never occurred in training are passed over.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';

/** @typedef {{ prompt: string, completion: string }} Example */

/** @param {string} name @returns {Example[]} */
const read = (name) =>
  readFileSync(new URL(name, import.meta.url), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** The words of the mail, without the question. @param {Example} example @returns {string[]} */
const words = ({ prompt }) =>
  prompt
    .slice(0, prompt.lastIndexOf('\n'))
    .toLowerCase()
    .match(/[a-z0-9']+/g) ?? [];

/** @param {Example[]} examples @returns {Map<string, number>} */
const countWords = (examples) => {
  const counts = new Map();
  for (const word of examples.flatMap(words)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
};

/** @param {Example[]} train @returns {(example: Example) => string} */
const naiveBayes = (train) => {
  const known = new Set(train.flatMap(words));
  const classes = [...new Set(train.map(({ completion }) => completion))].map((completion) => {
    const own = train.filter((example) => example.completion === completion);
    const counts = countWords(own);
    const total = own.flatMap(words).length + known.size;
    return {
      completion,
      prior: own.length / train.length,
      /** @param {string} w */ p: (w) => ((counts.get(w) ?? 0) + 1) / total,
    };
  });
  return (example) => {
    const seen = words(example).filter((word) => known.has(word));
    const scored = classes.map(({ completion, prior, p }) => ({
      completion,
      score: seen.reduce((sum, word) => sum + Math.log(p(word)), Math.log(prior)),
    }));
    return scored.reduce((best, next) => (next.score > best.score ? next : best)).completion;
  };
};

/** Ham is shorter: the classifier by length alone that is best on the training mails. @param {Example[]} train */
const byLength = (train) => {
  /** @param {number} limit @returns {(example: Example) => string} */
  const classifier = (limit) => (example) => (example.prompt.length < limit ? ' ham' : ' spam');
  /** @param {number} limit */
  const right = (limit) => train.filter((example) => classifier(limit)(example) === example.completion).length;
  const limits = [...new Set(train.map(({ prompt }) => prompt.length))];
  return classifier(limits.reduce((best, limit) => (right(limit) > right(best) ? limit : best)));
};

const train = read('train.jsonl');
const test = read('test.jsonl');

/** @param {(example: Example) => string} classify @param {string} label */
const report = (classify, label) => {
  const own = test.filter(({ completion }) => label === '' || completion === label);
  const right = own.filter((example) => classify(example) === example.completion).length;
  return `${right} of ${own.length} (${((100 * right) / own.length).toFixed(2)}%)`;
};

for (const [name, classify] of /** @type {const} */ ([
  ['naive Bayes', naiveBayes(train)],
  ['length alone', byLength(train)],
])) {
  const byClass = `spam ${report(classify, ' spam')}, ham ${report(classify, ' ham')}`;
  process.stdout.write(`${name}, ${train.length} train: ${report(classify, '')} right; ${byClass}\n`);
}

/** What is simple, to place the results of a task by: always the same answer, and naive Bayes on what a text shows. */
import { readFileSync } from 'node:fs';
import process from 'node:process';

/** @typedef {import('./make.js').Example} Example */
/** @typedef {(example: Example) => string} Classifier */

/** `train.jsonl` or `test.jsonl` beside the program that asks for it. @param {string} program @param {string} name @returns {Example[]} */
const read = (program, name) =>
  readFileSync(new URL(`${name}.jsonl`, program), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** The prompt without the question, its last line. @param {Example} example */
export const textOf = ({ prompt }) => prompt.slice(0, prompt.lastIndexOf('\n'));

/** @param {Example} example @returns {string[]} */
export const words = (example) =>
  textOf(example)
    .toLowerCase()
    .match(/[a-z0-9']+/g) ?? [];

/** @param {readonly string[]} features @returns {Map<string, number>} */
const countOf = (features) => {
  const counts = new Map();
  for (const feature of features) counts.set(feature, (counts.get(feature) ?? 0) + 1);
  return counts;
};

/**
 * P(class | text) ∝ P(class) · Π P(feature | class), each feature's probability from the training texts with one added to every
 * count. Features that never occurred in training are passed over.
 *
 * @param {readonly Example[]} train
 * @param {(example: Example) => readonly string[]} featuresOf
 * @returns {Classifier}
 */
export const naiveBayes = (train, featuresOf) => {
  const known = new Set(train.flatMap(featuresOf));
  const classes = [...new Set(train.map(({ completion }) => completion))].map((completion) => {
    const own = train.filter((example) => example.completion === completion);
    const features = own.flatMap(featuresOf);
    const counts = countOf(features);
    const total = features.length + known.size;
    return {
      completion,
      prior: own.length / train.length,
      /** @param {string} feature */ p: (feature) => ((counts.get(feature) ?? 0) + 1) / total,
    };
  });
  return (example) => {
    const seen = featuresOf(example).filter((feature) => known.has(feature));
    const scored = classes.map(({ completion, prior, p }) => ({
      completion,
      score: seen.reduce((sum, feature) => sum + Math.log(p(feature)), Math.log(prior)),
    }));
    return scored.reduce((best, next) => (next.score > best.score ? next : best)).completion;
  };
};

/** The most frequent answer. @param {readonly Example[]} train @returns {Classifier} */
const always = (train) => {
  const [[most]] = /** @type {[[string, number]]} */ (
    [...countOf(train.map(({ completion }) => completion))].sort((a, b) => b[1] - a[1])
  );
  return () => most;
};

/**
 * Prints how many of the test each classifier gets right, in all and of each class.
 *
 * @param {string} program its URL
 * @param {(train: readonly Example[]) => Readonly<Record<string, Classifier>>} classifiersOf
 */
export const report = (program, classifiersOf) => {
  const [train, test] = [read(program, 'train'), read(program, 'test')];
  const labels = [...new Set(test.map(({ completion }) => completion))];
  for (const [name, classify] of Object.entries({ 'always the same': always(train), ...classifiersOf(train) })) {
    /** @param {readonly Example[]} examples */
    const share = (examples) => {
      const right = examples.filter((example) => classify(example) === example.completion).length;
      return `${((100 * right) / examples.length).toFixed(2)}%`;
    };
    const byClass = labels.map((label) => `${label.trim()} ${share(test.filter((e) => e.completion === label))}`);
    process.stdout.write(`${name}: ${share(test)} of ${test.length} (${byClass.join(', ')})\n`);
  }
};

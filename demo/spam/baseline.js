/**
 * What is simple, to place other results by: the length of a mail alone, and naive Bayes on its words.
 *
 *     node demo/spam/baseline.js
 */
import { naiveBayes, report, words } from '../task/baseline.js';

/** @typedef {import('../task/make.js').Example} Example */

/** Ham is shorter: the classifier by length alone that is best on the training mails. @param {readonly Example[]} train */
const byLength = (train) => {
  /** @param {number} limit @returns {(example: Example) => string} */
  const classifier = (limit) => (example) => (example.prompt.length < limit ? ' ham' : ' spam');
  /** @param {number} limit */
  const right = (limit) => train.filter((example) => classifier(limit)(example) === example.completion).length;
  const limits = [...new Set(train.map(({ prompt }) => prompt.length))];
  return classifier(limits.reduce((best, limit) => (right(limit) > right(best) ? limit : best)));
};

report(import.meta.url, (train) => ({
  'length alone': byLength(train),
  'naive Bayes on words': naiveBayes(train, words),
}));

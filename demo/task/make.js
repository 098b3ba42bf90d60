/**
 * What the programs that make a task share: the package they read, an order that a seed gives, what repeats and what a demo should
 * not show, and the two files that they write.
 *
 * Law: the same package gives the same bytes, and the digests printed at the end are those of the task's README.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

/** @typedef {{ prompt: string, completion: string }} Example */

/** @param {boolean} condition @param {string} message */
export const check = (condition, message) => {
  if (!condition) throw new Error(message);
};

/** @param {string | Buffer} content */
const sha256 = (content) => createHash('sha256').update(content).digest('hex');

/** The folder of an unpacked npm package, which must be of that name and version. @param {string | undefined} folder @param {string} wanted */
export const packageFolder = (folder, wanted) => {
  check(folder !== undefined, `usage: node make.js <folder of the npm package ${wanted}>`);
  const { name, version } = JSON.parse(readFileSync(join(String(folder), 'package.json'), 'utf8'));
  check(`${name}@${version}` === wanted, `expected ${wanted}, got ${name}@${version}`);
  return String(folder);
};

/** Names in an order that looks like chance and is always the same. @param {readonly string[]} names @param {string} seed */
export const shuffled = (names, seed) =>
  names
    .map((name) => ({ name, key: sha256(`${seed} ${name}`) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ name }) => name);

/** What a demo should not show. */
export const offensive =
  /\b(\w*porn\w*|xxx|\w*sex\w*|hot stars|copulat\w*|nudes?|naked|adults?|penis|viagra|cum|fuck\w*|shit\w*|horny|nasty|sluts?|cock|dick\w*|teens?|girls?|erotic\w*|orgasms?|breasts?|lolita\w*|incest|rap(e|ed|ing)|erect\w*|libido|virgins?|bitch\w*|nigg\w*|negro\w*|squaws?)\b/i;

/** A text is a repetition if so much of it (its runs of three words) is in texts that were taken before. */
const mostRepeated = 0.5;

/** @param {string} text */
const triples = (text) => {
  const words = text.toLowerCase().match(/[a-z']+/g) ?? [];
  return words.slice(2).map((word, i) => `${words[i]} ${words[i + 1]} ${word}`);
};

/**
 * Those that repeat none before them: with another beginning, and runs of three words of their own.
 *
 * @template A
 * @param {readonly A[]} items
 * @param {(item: A) => string} textOf
 * @param {(item: A) => readonly string[]} beginningsOf
 */
export const withoutRepetitions = (items, textOf, beginningsOf) => {
  const seen = new Set();
  const begun = new Set();
  return items.filter((item) => {
    const runs = triples(textOf(item));
    const beginnings = beginningsOf(item);
    const repeated = runs.filter((run) => seen.has(run)).length;
    if (beginnings.some((beginning) => begun.has(beginning)) || repeated > mostRepeated * runs.length) return false;
    for (const run of runs) seen.add(run);
    for (const beginning of beginnings) begun.add(beginning);
    return true;
  });
};

/**
 * The classes take turns: the first of each, the second of each, ….
 *
 * @param {ReadonlyMap<string, readonly Example[]>} classes by name
 * @param {number} each how many of each class
 */
const inTurns = (classes, each) => {
  for (const [name, { length }] of classes) check(length >= each, `expected ${each} of ${name}, got ${length}`);
  return Array.from({ length: each }, (_, i) => [...classes.values()].flatMap((of) => of.slice(i, i + 1))).flat();
};

/**
 * Writes a file of the task beside the program that asks for it.
 *
 * @param {string} program its URL
 * @param {'train' | 'test'} name
 * @param {ReadonlyMap<string, readonly Example[]>} classes by name
 * @param {number} each how many of each class
 */
export const writeExamples = (program, name, classes, each) => {
  const examples = inTurns(classes, each);
  const content = examples.map((example) => `${JSON.stringify(example)}\n`).join('');
  writeFileSync(new URL(`${name}.jsonl`, program), content);
  process.stdout.write(
    `${name}.jsonl: ${examples.length} lines, ${content.length} bytes, SHA-256 ${sha256(content)}\n`,
  );
};

/**
 * Writes both files: of each class the first `train` to learn from, those after them as the test.
 *
 * @param {string} program its URL
 * @param {ReadonlyMap<string, readonly Example[]>} classes by name
 * @param {{ readonly train: number, readonly test: number }} each how many of each class
 */
export const writeTask = (program, classes, { train, test }) => {
  for (const [name, { length }] of classes) process.stdout.write(`${name}: ${length} distinct\n`);
  writeExamples(program, 'train', classes, train);
  writeExamples(program, 'test', new Map([...classes].map(([name, of]) => [name, of.slice(train)])), test);
};

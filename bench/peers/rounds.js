/** Runs the programs: each measurement in a process of its own, the programs in turn, round by round. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { methodOf, programs } from './tasks.js';

/** @typedef {import('./program.js').Measured} Measured */
/** @typedef {import('./tasks.js').Task} Task */

/**
 * What a program prints on stdout. Throws with what it said on stderr if it fails.
 * @param {string} program @param {readonly string[]} args
 */
export const outputOf = (program, args) => {
  const { status, signal, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status === 0) return stdout;
  const reason = error?.message ?? `ended with ${signal ?? `exit code ${status}`}\n${stderr}`;
  throw new Error(`${[program, ...args].join(' ')}: ${reason}`);
};

/** @param {string} node @param {string} program @param {Task} task @param {number} steps @returns {Measured} */
const measurement = (node, program, task, steps) => {
  const file = fileURLToPath(new URL(`${program}.js`, import.meta.url));
  return JSON.parse(outputOf(node, [file, task.work, methodOf(task, program), String(steps)]));
};

/**
 * One round: every program does every task once, the programs next to each other.
 * @param {string} node @param {readonly Task[]} tasks @param {number} steps
 */
export const round = (node, tasks, steps) =>
  tasks.flatMap((task) => programs.map((program) => measurement(node, program, task, steps)));

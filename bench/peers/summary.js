/** From the measurements of all rounds to one row for each program and task, and the rows as a table. */
import { median } from './program.js';
import { methodOf, OURS, programs } from './tasks.js';

/** @typedef {import('./program.js').Measured} Measured */
/** @typedef {import('./tasks.js').Task} Task */

/**
 * @typedef {object} Ratio paca-ts divided by the peer: below 1, paca-ts is faster or smaller.
 * @property {number} ms
 * @property {number} peakBytes
 */

/** @typedef {Measured & { readonly ratio: Ratio | null }} Row Without a ratio: paca-ts itself. */

/** @param {readonly Measured[]} measured @param {Task} task @param {string} program @returns {Measured} */
const medians = (measured, task, program) => {
  const method = methodOf(task, program);
  const own = measured.filter((m) => m.name === program && m.work === task.work && m.method === method);
  const [first] = own;
  if (first === undefined) throw new Error(`no measurement of ${program} ${task.work} ${method}`);
  return {
    ...first,
    msPerStep: median(own.map((m) => m.msPerStep)),
    peakBytes: median(own.map((m) => m.peakBytes)),
  };
};

/** @param {readonly Task[]} tasks @param {readonly Measured[]} measured @returns {readonly Row[]} */
export const summarise = (tasks, measured) =>
  tasks.flatMap((task) => {
    const ours = medians(measured, task, OURS);
    return programs.map((program) => {
      if (program === OURS) return { ...ours, ratio: null };
      const theirs = medians(measured, task, program);
      const ratio = { ms: ours.msPerStep / theirs.msPerStep, peakBytes: ours.peakBytes / theirs.peakBytes };
      return { ...theirs, ratio };
    });
  });

/** @param {Row} row */
const cells = ({ name, version, method, msPerStep, peakBytes, ratio }) => [
  `  ${name} ${version}`.padEnd(18),
  method.padEnd(18),
  msPerStep.toFixed(2).padStart(9),
  (ratio?.ms.toFixed(2) ?? '').padStart(14),
  (peakBytes / 2 ** 20).toFixed(1).padStart(10),
  (ratio?.peakBytes.toFixed(2) ?? '').padStart(14),
];

const heading = [
  ' '.repeat(18),
  ' '.repeat(18),
  'ms'.padStart(9),
  'ours / theirs'.padStart(14),
  'peak MiB'.padStart(10),
  'ours / theirs'.padStart(14),
].join(' ');

/** @param {readonly Task[]} tasks @param {readonly Row[]} rows */
export const table = (tasks, rows) => {
  const blocks = tasks.flatMap(({ title }, i) => [
    title,
    ...rows.slice(i * programs.length, (i + 1) * programs.length).map((row) => cells(row).join(' ').trimEnd()),
  ]);
  return `${[heading, ...blocks].join('\n')}\n`;
};

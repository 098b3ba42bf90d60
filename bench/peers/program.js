/**
 * What a measured process does: it prepares the work that its arguments name, does it some times, and prints one line of
 * JSON. It runs nothing else, so that its peak memory is the work's own.
 *
 *   node bench/peers/PROGRAM.js step METHOD STEPS
 *   node bench/peers/PROGRAM.js llama METHOD STEPS
 *   node bench/peers/PROGRAM.js gemm 'LAYOUT MxNxK' STEPS
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { layouts, nameOfProduct, sizes } from './work.js';

/**
 * @typedef {object} Product
 * @property {() => Promise<void>} multiply Computes the product, and frees it.
 * @property {() => Promise<Float32Array>} result Computes the product and reads it.
 */

/**
 * @typedef {(method: string) => Promise<() => Promise<number>>} Prepare
 *   A training step, ready to be repeated. It ends when the new weights are computed, and gives the loss before them.
 */

/**
 * @typedef {object} Program
 * @property {string} name
 * @property {string} version
 * @property {Prepare} step
 * @property {Prepare} llama
 * @property {(layout: import('./work.js').Layout, size: import('./work.js').Size) => Promise<Product>} gemm
 */

/**
 * @typedef {object} Measured
 * @property {string} name
 * @property {string} version
 * @property {string} work
 * @property {string} method
 * @property {number} msPerStep
 * @property {number} peakBytes
 * @property {readonly number[]} losses Of every step, warm-up included; of a product, the mean square of its elements.
 */

/** A package.json, by its path from this folder. @param {string} path */
export const readManifest = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'));

/** Steps before the ones that are timed. */
const WARM_UP = 5;

/** @param {readonly number[]} values */
export const median = (values) => {
  const sorted = [...values].sort((a, b) => a - b);
  return ((sorted[(sorted.length - 1) >> 1] ?? Number.NaN) + (sorted[sorted.length >> 1] ?? Number.NaN)) / 2;
};

/**
 * The median time of an action, after the warm-up, and what it gave each time.
 * @template A @param {() => Promise<A>} action @param {number} steps
 */
const timed = async (action, steps) => {
  const times = [];
  const results = [];
  for (let step = -WARM_UP; step < steps; step++) {
    const start = performance.now();
    results.push(await action());
    if (step >= 0) times.push(performance.now() - start);
  }
  return { msPerStep: median(times), results };
};

/** @param {Float32Array} values */
const meanSquare = (values) => values.reduce((sum, x) => sum + x * x, 0) / values.length;

/** @param {Prepare} prepare @param {string} method @param {number} steps */
const measureStep = async (prepare, method, steps) => {
  const { msPerStep, results } = await timed(await prepare(method), steps);
  return { msPerStep, losses: results };
};

/** @param {Program} program @param {string} method @param {number} steps */
const measureProduct = async ({ gemm }, method, steps) => {
  const all = layouts.flatMap((layout) => sizes.map((size) => ({ layout, size })));
  const found = all.find(({ layout, size }) => nameOfProduct(layout, size) === method);
  if (found === undefined) throw new Error(`no product ${method}`);
  const { multiply, result } = await gemm(found.layout, found.size);
  const { msPerStep } = await timed(multiply, steps);
  return { msPerStep, losses: [meanSquare(await result())] };
};

/** Runs a program as the arguments of this process say. @param {Program} program */
export const main = async (program) => {
  const [work = '', method = '', count = ''] = process.argv.slice(2);
  const steps = Number(count);
  if (!(work === 'step' || work === 'llama' || work === 'gemm') || !(Number.isInteger(steps) && steps > 0)) {
    throw new Error('expected the arguments: step|llama|gemm METHOD STEPS');
  }
  const { msPerStep, losses } = await (work === 'gemm'
    ? measureProduct(program, method, steps)
    : measureStep(program[work], method, steps));
  const { name, version } = program;
  const peakBytes = process.resourceUsage().maxRSS * 1024;
  /** @type {Measured} */
  const measured = { name, version, work, method, msPerStep, peakBytes, losses };
  process.stdout.write(`${JSON.stringify(measured)}\n`);
};

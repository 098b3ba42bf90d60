/** Who does what: the programs that are compared, and the tasks that each of them is given. */
import { layouts, nameOfProduct, sizes } from './work.js';

/**
 * @typedef {object} Task
 * @property {'step' | 'llama' | 'gemm'} work
 * @property {string} title
 * @property {string} ours The method that paca-ts is asked for.
 * @property {string} theirs The method that its peers are asked for.
 */

export const OURS = 'paca-ts';
export const PEERS = ['jax-js', 'tfjs'];

/** In the order in which they take turns. */
export const programs = [OURS, ...PEERS];

/** @type {readonly Task[]} */
const steps = [
  { work: 'step', title: 'a step, all trained', ours: 'full', theirs: 'full' },
  { work: 'step', title: 'a step, PaCA beside their LoRA', ours: 'paca', theirs: 'lora' },
  { work: 'llama', title: 'a LLaMA step, all trained', ours: 'full', theirs: 'full' },
  { work: 'llama', title: 'a LLaMA step, PaCA beside their LoRA', ours: 'paca', theirs: 'lora' },
];

/** @type {readonly Task[]} */
const products = sizes.flatMap((size) =>
  layouts.map((layout) => {
    const name = nameOfProduct(layout, size);
    return { work: /** @type {const} */ ('gemm'), title: `a product, ${name}`, ours: name, theirs: name };
  }),
);

/** @param {string | undefined} only */
export const tasksOf = (only) => [...steps, ...products].filter(({ work }) => only === undefined || work === only);

/** @param {Task} task @param {string} program */
export const methodOf = (task, program) => (program === OURS ? task.ours : task.theirs);

/**
 * The work that every program of this folder does, and the numbers that it does it on: an MLP 512→2048→512 with ReLU
 * and biases, mean squared error over 256 rows, Adam; matrix products; and in `llama-work.js` a small LLaMA. The numbers come from a fixed sequence, so
 * that all programs compute the same losses.
 */

/** @typedef {{ readonly shape: readonly number[], readonly data: Float32Array<ArrayBuffer> }} Numbers */
/** @typedef {{ readonly m: number, readonly n: number, readonly k: number }} Size */

export const ROWS = 256;
export const WIDTHS = /** @type {const} */ ([512, 2048, 512]);

/** Columns of PaCA, or the width between LoRA's two factors; with α = r both scale by 1. */
export const RANK = 16;

export const ADAM = { learningRate: 1e-3, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/**
 * Uniform numbers of (−bound, bound), from a linear congruential generator modulo 2³² (Numerical Recipes' constants).
 * @param {number} seed @param {readonly number[]} shape @param {number} bound @returns {Numbers}
 */
export const uniform = (seed, shape, bound) => {
  let state = Math.imul(seed, 0x9e3779b1);
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return ((state + 0.5) / 2 ** 31 - 1) * bound;
  };
  return { shape, data: Float32Array.from({ length: shape.reduce((n, d) => n * d, 1) }, next) };
};

/** The bound of uniform numbers that have variance 1. */
const UNIT = Math.sqrt(3);

export const inputs = () => uniform(1, [ROWS, WIDTHS[0]], UNIT);
export const targets = () => uniform(2, [ROWS, WIDTHS[2]], UNIT);

/** The bound of fresh weights: 1/√fan_in. @param {0 | 1} layer */
const fresh = (layer) => 1 / Math.sqrt(WIDTHS[layer]);

/** W, [out, in]. @param {0 | 1} layer */
export const weight = (layer) => uniform(3 + layer, [layer === 0 ? WIDTHS[1] : WIDTHS[2], WIDTHS[layer]], fresh(layer));

/** b, [out]. @param {0 | 1} layer */
export const bias = (layer) => uniform(5 + layer, [layer === 0 ? WIDTHS[1] : WIDTHS[2]], fresh(layer));

/** LoRA's A, [r, in]; its B begins as zero. @param {0 | 1} layer */
export const loraDown = (layer) => uniform(7 + layer, [RANK, WIDTHS[layer]], fresh(layer));

/** @type {readonly Size[]} */
export const sizes = [
  { m: 512, n: 512, k: 512 },
  { m: 1024, n: 1024, k: 1024 },
  { m: 256, n: 1408, k: 512 },
];

/** A·B, A·Bᵀ, Aᵀ·B. */
export const layouts = /** @type {const} */ (['nn', 'nt', 'tn']);

/** @typedef {typeof layouts[number]} Layout */

/** The operands of a product in a layout. @param {Layout} layout @param {Size} size @returns {[Numbers, Numbers]} */
export const operands = (layout, { m, n, k }) => [
  uniform(9, layout === 'tn' ? [k, m] : [m, k], 1),
  uniform(10, layout === 'nt' ? [n, k] : [k, n], 1),
];

/** A product as an argument and in the results: `nt 512x512x512`, m×n×k. @param {Layout} layout @param {Size} size */
export const nameOfProduct = (layout, { m, n, k }) => `${layout} ${m}x${n}x${k}`;

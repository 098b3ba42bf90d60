/**
 * The mean of f32 numbers as PyTorch computes it on a CPU with vectors of 256 bits and one thread: what bitsandbytes takes
 * for the offset of double quantisation. f32 addition is not associative, so the order is part of the value; the source is
 * `aten/src/ATen/native/cpu/SumKernel.cpp` (`vectorized_inner_sum`, `multi_row_sum`).
 */

/** Numbers of a vector, vectors that are added side by side, levels of the cascade. */
const LANES = 8;
const ROWS = 4;
const LEVELS = 4;

type Sums = Float32Array;

const addTo = (sums: Sums, values: ArrayLike<number>, from = 0): void => {
  for (let i = 0; i < sums.length; i++) sums[i] = sums[i]! + values[from + i]!;
};

/** ⌈log₂ n⌉, 0 for n < 2. */
const ceilLog2 = (n: number): number => (n <= 1 ? 0 : 32 - Math.clz32(n - 1));

/** The sums of `steps` rows of ROWS × LANES numbers, in a cascade: a full level is handed to the next. */
const cascade = (x: Float32Array, steps: number): Sums => {
  const width = ROWS * LANES;
  const power = Math.max(4, Math.floor(ceilLog2(steps) / LEVELS));
  const step = 1 << power;
  const mask = step - 1;
  const levels = Array.from({ length: LEVELS }, () => new Float32Array(width));
  let i = 0;
  while (i + step <= steps) {
    for (let j = 0; j < step; j++, i++) addTo(levels[0]!, x, i * width);
    for (let j = 1; j < LEVELS; j++) {
      addTo(levels[j]!, levels[j - 1]!);
      levels[j - 1]!.fill(0);
      if ((i & (mask << (j * power))) !== 0) break;
    }
  }
  for (; i < steps; i++) addTo(levels[0]!, x, i * width);
  for (let j = 1; j < LEVELS; j++) addTo(levels[0]!, levels[j]!);
  return levels[0]!;
};

export const torchMean = (x: Float32Array): number => {
  const vectors = Math.floor(x.length / LANES);
  const steps = Math.floor(vectors / ROWS);
  const sums = cascade(x, steps);
  const vector = sums.slice(0, LANES);
  for (let i = steps * ROWS; i < vectors; i++) addTo(vector, x, i * LANES);
  for (let row = 1; row < ROWS; row++) addTo(vector, sums, row * LANES);
  let total = 0;
  for (let i = vectors * LANES; i < x.length; i++) total = Math.fround(total + x[i]!);
  for (const lane of vector) total = Math.fround(total + lane);
  return Math.fround(total / x.length);
};

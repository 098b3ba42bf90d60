/**
 * Seeded randomness with the state passed: every function returns its value and the next state, nothing is hidden.
 * The generator is pure-rand's xoroshiro128+; a state is four 32-bit words, so it can be written to a checkpoint.
 *
 * Laws: equal states give equal values, in every engine; `splitRng(r, a)` and `splitRng(r, b)` are independent streams.
 */
import { uniformFloat64 } from 'pure-rand/distribution/uniformFloat64';
import { uniformInt } from 'pure-rand/distribution/uniformInt';
import { xoroshiro128plusFromState } from 'pure-rand/generator/xoroshiro128plus';
import type { RandomGenerator } from 'pure-rand/types/RandomGenerator';
import { elementary64 } from '../spec/elementary/index.ts';

export type Rng = readonly [number, number, number, number];

/** Spreads the bits of a 32-bit word (the finaliser of MurmurHash3): near seeds give far states. */
const mix = (word: number): number => {
  const a = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  const b = Math.imul(a ^ (a >>> 13), 0xc2b2ae35);
  return (b ^ (b >>> 16)) | 0;
};

/**
 * A state from words that carry the seed. Each word of it depends on all of them: the generator's first draw reads two
 * words alone. The last term keeps it from being all zero, which would be a fixed point.
 */
const stateOf = (words: Rng): Rng => {
  const golden = 0x9e3779b9;
  const at = (i: number): number => words.reduce((h, word) => mix(((h ^ word) + golden) | 0), mix(i + 1));
  return [at(0), at(1), at(2), at(3) | 1];
};

/** The state of a seed: any safe integer. */
export const rngFromSeed = (seed: number): Rng => {
  const high = Math.floor(seed / 4294967296) | 0;
  return stateOf([seed | 0, high, mix(seed | 0), mix(high ^ 0x5bd1e995)]);
};

/**
 * An independent stream, named by a label: the layer's path, 'shuffle', 'epoch 3'.
 *
 * @example
 * ```ts
 * import { permutation, rngFromSeed, splitRng } from 'paca-ts';
 *
 * const rng = splitRng(rngFromSeed(1), 'layers.0');
 * const [order, next] = permutation(rng, 5);
 * order.length; // => 5
 * permutation(rng, 5)[1].every((word, i) => word === next[i]); // => true
 * ```
 */
export const splitRng = (rng: Rng, label: string): Rng => {
  const hash = Array.from(label).reduce((h, c) => mix((Math.imul(h, 31) + (c.codePointAt(0) ?? 0)) | 0), label.length);
  const [a, b, c, d] = rng;
  return stateOf([a ^ hash, b ^ mix(hash + 1), c ^ mix(hash + 2), d ^ mix(hash + 3)]);
};

/** Runs `draw` on a fresh generator of this state; returns its value and the state that it left. */
const run = <A>(rng: Rng, draw: (generator: RandomGenerator) => A): readonly [A, Rng] => {
  const generator = xoroshiro128plusFromState(rng);
  const value = draw(generator);
  const [a = 0, b = 0, c = 0, d = 0] = generator.getState();
  return [value, [a, b, c, d]];
};

/** One number of [0, 1), a multiple of 2⁻⁵³. */
export const uniform = (rng: Rng): readonly [number, Rng] => run(rng, uniformFloat64);

/** `n` numbers of [0, 1). */
export const uniforms = (rng: Rng, n: number): readonly [Float64Array, Rng] =>
  run(rng, (g) => new Float64Array(n).map(() => uniformFloat64(g)));

/** `n` standard normals (Box–Muller, in spec-f64). */
export const normals = (rng: Rng, n: number): readonly [Float64Array, Rng] =>
  run(rng, (g) => {
    const values = new Float64Array(n);
    for (let i = 0; i < n; i += 2) {
      const radius = Math.sqrt(-2 * elementary64.log(1 - uniformFloat64(g)));
      const angle = 2 * Math.PI * uniformFloat64(g);
      values[i] = radius * elementary64.cos(angle);
      if (i + 1 < n) values[i + 1] = radius * elementary64.sin(angle);
    }
    return values;
  });

/** A random order of 0 … n − 1 (Fisher–Yates). */
export const permutation = (rng: Rng, n: number): readonly [Int32Array, Rng] =>
  run(rng, (g) => {
    const order = Int32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = uniformInt(g, 0, i);
      const swap = order[i] as number;
      order[i] = order[j] as number;
      order[j] = swap;
    }
    return order;
  });

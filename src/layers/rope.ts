/**
 * Rotary position embedding (Su et al. 2021): turns q or k by angles that grow with the position. The tables of cos and
 * sin are parameters that do not train; nothing is kept. Shapes: x and y `[batch, tokens, heads, width]`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import type { Layer } from '../core/layer.ts';
import { type None, none } from '../core/tree.ts';
import { type DocumentStarts, placesInDocuments } from '../spec/documents.ts';
import { elementary64 } from '../spec/elementary/index.ts';
import type { HostTensorOf, Spec } from '../spec/tensor.ts';
import { untrained } from './activations.ts';
import { checkInput, fresh, isFloat } from './checks.ts';
import type { HeadsConfig } from './reshape.ts';

/** cos and sin of the angles, `[positions, width/2]` each, at least as many positions as tokens. */
export interface RopeTables<T> {
  readonly cos: T;
  readonly sin: T;
}

/** `starts`: where documents start, at each of which positions begin anew at 0. */
export const rope = <T extends Spec>(
  { rope: kernel }: Kernels<T>,
  { heads, width }: HeadsConfig,
  starts?: DocumentStarts,
): Layer<RopeTables<T>, None, T, T, None> => {
  const places = starts === undefined ? undefined : placesInDocuments(starts);
  return {
    forward: ({ cos, sin }, x) => [kernel.forward(x, cos, sin, places), none],
    backward: ({ cos, sin }, _, dy) => [none, kernel.backward(dy, cos, sin, places)],
    ...untrained,
    output: (x) =>
      pipe(
        checkInput(
          x,
          `a float tensor [batch, tokens, ${heads}, ${width}] of an even width`,
          'rope',
          (s) => isFloat(s) && s.shape.length === 4 && s.shape[2] === heads && s.shape[3] === width && width % 2 === 0,
        ),
        E.map((s) => fresh(s, 'rope', s.shape)),
      ),
    residual: () => none,
  };
};

/** θ^(−2i/width) for each pair i of elements: radians that it turns by from one position to the next. */
export const ropeFrequencies = (width: number, theta: number): readonly number[] =>
  Array.from({ length: width / 2 }, (_, i) => elementary64.pow(theta, (-2 * i) / width));

/**
 * The tables for positions 0 … count − 1: angles position·frequency, their cos and sin, times a factor, computed in f64
 * and rounded once to f32.
 *
 * @example
 * ```ts
 * import { ropeFrequencies, ropeTables } from 'paca-ts';
 *
 * const { cos, sin } = ropeTables(3, ropeFrequencies(4, 10000));
 * cos.shape; // => [3, 2]
 * sin.data[2]; // => 0.8414709568023682
 * ```
 */
export const ropeTables = (
  count: number,
  frequencies: readonly number[],
  factor = 1,
): RopeTables<HostTensorOf<'f32'>> => {
  const table = (f: (angle: number) => number): HostTensorOf<'f32'> => ({
    dtype: 'f32',
    shape: [count, frequencies.length],
    data: Float32Array.from(
      { length: count * frequencies.length },
      (_, i) => factor * f(Math.floor(i / frequencies.length) * frequencies[i % frequencies.length]!),
    ),
  });
  return { cos: table(elementary64.cos), sin: table(elementary64.sin) };
};

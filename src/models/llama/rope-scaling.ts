/**
 * How a model stretches its rotary frequencies to sequences longer than those it was trained on. Formulas as in Hugging
 * Face transformers' `modeling_rope_utils.py`; computed in f64 and rounded once to f32, as the models hold them.
 *
 * With f_i = θ^(−2i/width) and a factor F:
 *   linear   f/F
 *   llama3   f/F for waves longer than L/low, f for waves shorter than L/high, in between a straight mix of the two
 *            (L: the original positions; wave length 2π/f)
 *   yarn     f/F where a wave turns fewer than `slow` times in L, f where more than `fast` times, in between a straight
 *            mix by the index i; cos and sin times an attention factor, 0.1·ln F + 1 if none is given (Peng et al. 2023)
 */
import { ropeFrequencies } from '../../layers/rope.ts';
import { elementary64 } from '../../spec/elementary/index.ts';

export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequency: number;
      readonly highFrequency: number;
      readonly originalPositions: number;
    }
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly fast: number;
      readonly slow: number;
      readonly originalPositions: number;
      readonly attentionFactor: number;
      /** Whether the borders of the mix are whole indices. */
      readonly truncate: boolean;
    };

export interface ScaledRope {
  /** Radians from one position to the next, of each pair. */
  readonly frequencies: readonly number[];
  /** What cos and sin are multiplied by. */
  readonly factor: number;
}

const llama3 = (f: number, s: RopeScaling & { kind: 'llama3' }): number => {
  const turns = (s.originalPositions * f) / (2 * Math.PI);
  if (turns < s.lowFrequency) return f / s.factor;
  if (turns > s.highFrequency) return f;
  const share = (turns - s.lowFrequency) / (s.highFrequency - s.lowFrequency);
  return ((1 - share) * f) / s.factor + share * f;
};

/** The index i, not whole, at which a wave turns so many times over the original positions. */
const indexOfTurns = (turns: number, width: number, theta: number, positions: number): number =>
  (width * elementary64.log(positions / (turns * 2 * Math.PI))) / (2 * elementary64.log(theta));

const yarn = (
  frequencies: readonly number[],
  width: number,
  theta: number,
  s: RopeScaling & { kind: 'yarn' },
): readonly number[] => {
  const border = (turns: number): number => indexOfTurns(turns, width, theta, s.originalPositions);
  const [first, last] = [border(s.fast), border(s.slow)];
  const low = Math.max(s.truncate ? Math.floor(first) : first, 0);
  const high = Math.min(s.truncate ? Math.ceil(last) : last, width - 1);
  const span = high === low ? 0.001 : high - low;
  return frequencies.map((f, i) => {
    const stretched = Math.min(Math.max((i - low) / span, 0), 1);
    return (f / s.factor) * stretched + f * (1 - stretched);
  });
};

/** The frequencies of heads of this width, `width/2` of them. */
export const scaledRope = (width: number, theta: number, scaling: RopeScaling): ScaledRope => {
  const plain = ropeFrequencies(width, theta);
  const rounded = (frequencies: readonly number[], factor = 1): ScaledRope => ({
    frequencies: frequencies.map(Math.fround),
    factor,
  });
  switch (scaling.kind) {
    case 'none':
      return rounded(plain);
    case 'linear':
      return rounded(plain.map((f) => f / scaling.factor));
    case 'llama3':
      return rounded(plain.map((f) => llama3(f, scaling)));
    case 'yarn':
      return rounded(yarn(plain, width, theta, scaling), scaling.attentionFactor);
  }
};

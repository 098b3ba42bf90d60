/**
 * Text from a language model, token by token. Keys and values of earlier tokens are kept, so each token is computed once.
 *
 * Law: the logits have the bits of a forward pass over the whole sequence. What is drawn is a function of the prompt and the
 * random state alone.
 */
import type { Kernels } from '../core/fused.ts';
import { type Rng, uniform } from '../core/rng.ts';
import type { Tree } from '../core/tree.ts';
import { elementary64 } from '../spec/elementary/index.ts';
import type { Spec } from '../spec/tensor.ts';
import type { Model } from './model.ts';

export interface Sampling {
  /** 0 takes the likeliest token; else logits are divided by it. */
  readonly temperature: number;
  /** Only so many of the likeliest tokens, or null. */
  readonly topK: number | null;
  /** Only the likeliest tokens that together have this probability; 1 for all. */
  readonly topP: number;
}

export const greedy: Sampling = { temperature: 0, topK: null, topP: 1 };

const argmax = (logits: ArrayLike<number>): number => {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[best]!) best = i;
  return best;
};

/** The candidates with their weights e^((logit − largest)/temperature), likeliest first; ties in the order of the ids. */
const candidates = (
  logits: ArrayLike<number>,
  { temperature, topK, topP }: Sampling,
): readonly (readonly [id: number, weight: number])[] => {
  const largest = logits[argmax(logits)]!;
  const sorted = Array.from({ length: logits.length }, (_, id): readonly [number, number] => [
    id,
    elementary64.exp((logits[id]! - largest) / temperature),
  ]).sort(([a], [b]) => logits[b]! - logits[a]! || a - b);
  const few = topK === null ? sorted : sorted.slice(0, topK);
  const total = few.reduce((sum, [, weight]) => sum + weight, 0);
  let mass = 0;
  const end = few.findIndex(([, weight]) => {
    mass += weight;
    return mass >= topP * total;
  });
  return end < 0 ? few : few.slice(0, end + 1);
};

/** The next token, and the random state after it was drawn. */
export const sampleToken = (
  logits: ArrayLike<number>,
  sampling: Sampling,
  rng: Rng,
): readonly [token: number, rng: Rng] => {
  if (sampling.temperature === 0) return [argmax(logits), rng];
  const choices = candidates(logits, sampling);
  const [u, next] = uniform(rng);
  let left = u * choices.reduce((sum, [, weight]) => sum + weight, 0);
  const chosen = choices.find(([, weight]) => {
    left -= weight;
    return left < 0;
  });
  return [(chosen ?? choices.at(-1)!)[0], next];
};

export interface Generation {
  readonly prompt: readonly number[];
  /** The most new tokens. */
  readonly most: number;
  /** Tokens that end the text; they are not given. */
  readonly stop: readonly number[];
  readonly sampling: Sampling;
  readonly rng: Rng;
}

/** The logits of the next token after `tokens`, which follow `position` others, and what is kept of them all. */
const decode = <T extends Spec>(
  k: Kernels<T>,
  { layer }: Model<T>,
  params: Tree<T>,
  tokens: readonly number[],
  position: number,
  past: Tree<T> | null,
): readonly [logits: T, kept: Tree<T>] =>
  k.scope(() => {
    const inputs = k.fromHost({ dtype: 'i32', shape: [1, tokens.length], data: Int32Array.from(tokens) });
    return layer({ kind: 'decode', position, past }).forward(params, inputs);
  });

/** The new tokens, each as soon as it is known. */
export async function* generate<T extends Spec>(
  k: Kernels<T>,
  model: Model<T>,
  params: Tree<T>,
  { prompt, most, stop, sampling, rng: seed }: Generation,
): AsyncGenerator<number, void> {
  let rng = seed;
  let tokens = prompt;
  let past: Tree<T> | null = null;
  try {
    for (let made = 0, position = 0; made < most; made++) {
      const [logits, kept]: readonly [T, Tree<T>] = decode(k, model, params, tokens, position, past);
      if (past !== null) k.donate(past);
      past = kept;
      position += tokens.length;
      const { data } = await k.toHost(logits);
      k.donate(logits);
      const [token, next] = sampleToken(data as Float32Array, sampling, rng);
      if (stop.includes(token)) return;
      yield token;
      rng = next;
      tokens = [token];
    }
  } finally {
    if (past !== null) k.donate(past);
  }
}

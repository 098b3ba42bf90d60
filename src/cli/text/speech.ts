/**
 * Text that a model makes, given out piece by piece.
 *
 * Laws: the pieces joined are the text; none ends within a character; the text holds no stop text. What is made is a
 * function of the prompt, the sampling and the random state alone.
 */
import type { Rng } from '../../core/rng.ts';
import { generate, type Sampling } from '../../models/generate.ts';
import type { Spec } from '../../spec/tensor.ts';
import { stopsOf } from './base.ts';
import type { Speaker } from './judge.ts';

export interface SpeechOptions {
  /** The most new tokens. */
  readonly most: number;
  /** Texts that end the speech and are no part of it. */
  readonly stops: readonly string[];
  readonly sampling: Sampling;
  readonly rng: Rng;
}

export interface Speech {
  readonly text: string;
  /** Tokens that were made, those of a stop text among them. */
  readonly tokens: number;
  /** The model ended the text; a stop text did; it reached the most tokens. */
  readonly stopped: 'eos' | 'stop' | 'length';
}

/** The text before the first stop text; null where it holds none. */
const beforeStop = (text: string, stops: readonly string[]): string | null => {
  const places = stops.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
  return places.length === 0 ? null : text.slice(0, Math.min(...places));
};

/** How much of the end of a text may be the beginning of a stop text. */
const begunStop = (text: string, stops: readonly string[]): number => {
  const begun = (stop: string): number => {
    for (let n = Math.min(stop.length - 1, text.length); n > 0; n--) if (text.endsWith(stop.slice(0, n))) return n;
    return 0;
  };
  return Math.max(0, ...stops.map(begun));
};

/** The beginning of a text that no further token changes: bytes of a character that is not yet whole decode to U+FFFD. */
export const settled = (text: string, stops: readonly string[]): string => {
  let end = text.length;
  while (text[end - 1] === '\uFFFD') end--;
  const whole = text.slice(0, end);
  return whole.slice(0, whole.length - begunStop(whole, stops));
};

/** Speaks on after the tokens of a prompt; `onText` is given each piece as soon as it is settled. */
export const speak = async <T extends Spec>(
  { kernels, base, model, params }: Speaker<T>,
  prompt: readonly number[],
  { most, stops, sampling, rng }: SpeechOptions,
  onText: (piece: string) => void,
): Promise<Speech> => {
  const { tokenizer } = base;
  const stop = stopsOf(base);
  const made: number[] = [];
  let given = 0;
  const give = (text: string): void => {
    if (text.length <= given) return;
    onText(text.slice(given));
    given = text.length;
  };
  for await (const token of generate(kernels, model, params, { prompt, most, stop, sampling, rng })) {
    made.push(token);
    const text = tokenizer.decode(made);
    const ended = beforeStop(text, stops);
    if (ended !== null) {
      give(ended);
      return { text: ended, tokens: made.length, stopped: 'stop' };
    }
    give(settled(text, stops));
  }
  const text = tokenizer.decode(made);
  give(text);
  return { text, tokens: made.length, stopped: made.length === most ? 'length' : 'eos' };
};

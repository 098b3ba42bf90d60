/**
 * `generation_config.json` of a Hugging Face folder: how a model is meant to speak.
 *
 * Law: a setting that would change the text and is not honoured here is named in `unheeded`; none is dropped silently.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Sampling } from '../models/generate.ts';
import { fail, type Result } from '../spec/errors.ts';
import { checkObject, excerpt, type JsonObject } from '../spec/strict-json.ts';

export interface GenerationConfig {
  /** Tokens that end a text: Llama 3 has several. */
  readonly stops: readonly number[];
  /** Greedy unless the file says `do_sample`. */
  readonly sampling: Sampling;
  /** The most new tokens, or null. */
  readonly maxNewTokens: number | null;
  /** What the file asks for and nobody heeds, as it stands there: `repetition_penalty 1.1`. */
  readonly unheeded: readonly string[];
}

/** Settings that are honoured, and those that change no text. */
const known: readonly string[] = [
  ...['eos_token_id', 'do_sample', 'temperature', 'top_k', 'top_p', 'max_new_tokens'],
  ...['bos_token_id', 'pad_token_id', 'decoder_start_token_id', 'transformers_version', '_from_model_config'],
  ...['use_cache', 'output_attentions', 'output_hidden_states', 'output_scores', 'output_logits'],
  ...['return_dict_in_generate', 'cache_implementation', 'cache_config', 'disable_compile'],
];

/** Values with which a setting does nothing; `null` and `false` do nothing anywhere. */
const neutral: Readonly<Record<string, number>> = {
  repetition_penalty: 1,
  encoder_repetition_penalty: 1,
  length_penalty: 1,
  typical_p: 1,
  num_beams: 1,
  num_beam_groups: 1,
  num_return_sequences: 1,
  no_repeat_ngram_size: 0,
  encoder_no_repeat_ngram_size: 0,
  diversity_penalty: 0,
  min_p: 0,
  min_length: 0,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
};

const changesText = ([key, value]: readonly [string, unknown]): boolean =>
  !known.includes(key) && value !== null && value !== false && value !== neutral[key];

/** A number as `holds` wants it; `otherwise` where there is none. */
const numberOf = <A>(
  json: JsonObject,
  key: string,
  otherwise: A,
  expected: string,
  holds: (n: number) => boolean,
  where: string,
): Result<number | A> => {
  const value = json[key] ?? null;
  if (value === null) return E.right(otherwise);
  return typeof value === 'number' && holds(value)
    ? E.right(value)
    : fail('ConfigError', expected, excerpt(value), `${where}, ${key}`);
};

const isToken = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** `eos_token_id`, as generation_config.json and config.json have it: one token, several, or none. */
const stopTokens = ({ eos_token_id: value = null }: JsonObject, where: string): Result<readonly number[]> => {
  const tokens: readonly unknown[] = Array.isArray(value) ? value : value === null ? [] : [value];
  return tokens.every(isToken)
    ? E.right(tokens)
    : fail('ConfigError', 'a token, or a list of them', excerpt(value), `${where}, eos_token_id`);
};

/** As transformers draws where the file says that it draws: at a temperature of 1, from the 50 likeliest. */
const samplingOf = (json: JsonObject, where: string): Result<Sampling> =>
  json.do_sample === true
    ? pipe(
        E.Do,
        E.bind('temperature', () => numberOf(json, 'temperature', 1, 'a number from 0 on', (n) => n >= 0, where)),
        E.bind('topK', () => numberOf(json, 'top_k', 50, 'a count, or 0 for all', isToken, where)),
        E.bind('topP', () => numberOf(json, 'top_p', 1, 'a number in (0, 1]', (n) => n > 0 && n <= 1, where)),
        E.map(({ temperature, topK, topP }) => ({ temperature, topK: topK === 0 ? null : topK, topP })),
      )
    : E.right({ temperature: 0, topK: null, topP: 1 });

/** Errors: a setting that is honoured and has a value that is none. */
export const parseGenerationConfig = (value: unknown, where: string): Result<GenerationConfig> =>
  pipe(
    E.Do,
    E.bind('json', () => checkObject(value, 'a JSON object', where)),
    E.bind('stops', ({ json }) => stopTokens(json, where)),
    E.bind('sampling', ({ json }) => samplingOf(json, where)),
    E.bind('maxNewTokens', ({ json }) =>
      numberOf(json, 'max_new_tokens', null, 'a count of 1 or more', (n) => isToken(n) && n > 0, where),
    ),
    E.map(({ json, ...rest }) => ({
      ...rest,
      unheeded: Object.entries(json)
        .filter(changesText)
        .map(([key, asked]) => `${key} ${JSON.stringify(asked)}`),
    })),
  );

/**
 * Records that bring their own choices, as MMLU's do: `choices`, a list of texts, and `answer`, an index into it or one of
 * its texts. Where there is no `answer`, the completion is the right one.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../../spec/errors.ts';
import { excerpt, type JsonObject, parseStrictJson } from '../../spec/strict-json.ts';

export interface Choices {
  readonly texts: readonly string[];
  /** Which of them is right. */
  readonly right: number;
}

const areTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) &&
  value.length >= 2 &&
  value.every((text) => typeof text === 'string' && text !== '') &&
  new Set(value).size === value.length;

const placeOf = (texts: readonly string[], answer: unknown): number =>
  typeof answer === 'string' ? texts.indexOf(answer) : texts.findIndex((_, i) => i === answer);

/** The choices among the fields of a record, if it has some; `completion` is its answer where no field says it. */
export const choicesOf = (fields: JsonObject, completion: unknown, where: string): Result<Choices | null> => {
  const { choices: texts, answer = completion } = fields;
  if (texts === undefined) return E.right(null);
  if (!areTexts(texts)) return fail('DataError', 'two or more different texts in choices', excerpt(texts), where);
  const right = placeOf(texts, answer);
  return right >= 0
    ? E.right({ texts, right })
    : fail('DataError', `an answer that is one of the choices, or 0 … ${texts.length - 1}`, excerpt(answer), where);
};

const isAsked = (value: unknown): value is JsonObject & { readonly prompt: string } =>
  typeof value === 'object' &&
  value !== null &&
  ['prompt', 'choices', 'answer'].every((name) => Object.hasOwn(value, name)) &&
  !Object.hasOwn(value, 'completion');

/** A line whose record has a prompt, choices and the right one, given the completion that this says. */
export const completeLine = (line: string, where: string): Result<string> => {
  const fields = parseStrictJson(line, where);
  if (E.isLeft(fields) || !isAsked(fields.right)) return E.right(line);
  const record = fields.right;
  return pipe(
    choicesOf(record, undefined, where),
    E.map((own) => JSON.stringify({ ...record, completion: own?.texts[own.right] })),
  );
};

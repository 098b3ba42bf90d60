/** What a model is asked to go on from: a prompt on the command line, or the records of a JSONL file. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { chatRenderer } from '../../data/chat.ts';
import { type Message, sampleFromLine } from '../../data/records.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { checkObject, excerpt, type JsonObject, parseStrictJson } from '../../spec/strict-json.ts';
import { readBytes } from '../package-root.ts';
import type { Base } from './base.ts';

export interface Prompt {
  /** The record's own. */
  readonly id?: unknown;
  /** As it was given; of a chat, as its template writes it. */
  readonly prompt: string;
  readonly ids: readonly number[];
}

/** Tokens of a text. A chat template writes its own special tokens. */
const encode = (
  { tokenizer, config }: Base,
  text: string,
  isChat: boolean,
  where: string,
): Result<readonly number[]> => {
  const ids = tokenizer.encode(text, { special: !isChat });
  if (ids.length === 0) return fail('DataError', 'a prompt of at least one token', excerpt(text), where);
  return ids.length <= config.positions
    ? E.right(ids)
    : fail('DataError', `a prompt of at most the model's ${config.positions} positions`, `${ids.length} tokens`, where);
};

const render = ({ tokenizer }: Base, messages: readonly Message[], where: string): Result<string> =>
  pipe(
    chatRenderer(tokenizer),
    E.chain((renderer) => renderer(messages, { addGenerationPrompt: true })),
    E.mapLeft((error) => ({ ...error, where: `${where}: ${error.where}` })),
  );

/** A text as it stands, or as the message of a user. */
export const textPrompt = (base: Base, prompt: string, isChat: boolean, where: string): Result<Prompt> =>
  pipe(
    isChat ? render(base, [{ role: 'user', content: prompt }], where) : E.right(prompt),
    E.chain((text) => encode(base, text, isChat, where)),
    E.map((ids) => ({ prompt, ids })),
  );

/** A last answer is what the model is asked for, so it is left out. */
const chatPrompt = (base: Base, line: string, where: string): Result<Prompt> =>
  pipe(
    sampleFromLine(line, 'messages', where),
    E.map((sample) => (sample.kind === 'chat' ? sample.messages : [])),
    E.map((messages) => (messages.at(-1)?.role === 'assistant' ? messages.slice(0, -1) : messages)),
    E.chain((messages) =>
      messages.length > 0 ? render(base, messages, where) : fail('DataError', 'a message to answer', 'none', where),
    ),
    E.bindTo('prompt'),
    E.bind('ids', ({ prompt }) => encode(base, prompt, true, where)),
  );

const readRecord = (base: Base, line: string, fields: JsonObject, isChat: boolean, where: string): Result<Prompt> => {
  const [hasPrompt, hasMessages] = [Object.hasOwn(fields, 'prompt'), Object.hasOwn(fields, 'messages')];
  if (hasPrompt === hasMessages) {
    return fail(
      'DataError',
      'a record with prompt or messages',
      hasPrompt ? 'both' : excerpt(Object.keys(fields)),
      where,
    );
  }
  if (hasMessages) return chatPrompt(base, line, where);
  return typeof fields.prompt === 'string'
    ? textPrompt(base, fields.prompt, isChat, where)
    : fail('DataError', 'a string in prompt', excerpt(fields.prompt), where);
};

const readLine = (base: Base, line: string, isChat: boolean, where: string): Result<Prompt> =>
  pipe(
    parseStrictJson(line, where),
    E.chain((value) => checkObject(value, 'a JSON object', where)),
    E.chain((fields) =>
      pipe(
        readRecord(base, line, fields, isChat, where),
        E.map((prompt) => ('id' in fields ? { id: fields.id, ...prompt } : prompt)),
      ),
    ),
  );

/** The prompts of a JSONL file: records with `prompt`, or with `messages`, whose last answer is left out. */
export const promptsFromFile = (
  base: Base,
  path: string,
  isChat: boolean,
): TE.TaskEither<PacaError, readonly Prompt[]> =>
  pipe(
    () => readBytes(path),
    TE.chainEitherK((bytes) => {
      const lines = new TextDecoder().decode(bytes).trimEnd().split('\n');
      return lines.length === 1 && lines[0] === ''
        ? fail('DataError', 'at least one record', 'none', path)
        : E.traverseArrayWithIndex((i, line: string) => readLine(base, line, isChat, `${path}:${i + 1}`))(lines);
    }),
  );

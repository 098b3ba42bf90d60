/**
 * JSONL → samples: one line, one record, one {@link Sample}, in the shapes that data sets have.
 *
 * | format       | fields                                      | becomes                                             |
 * |--------------|---------------------------------------------|-----------------------------------------------------|
 * | `text`       | `text`                                      | one segment that trains                             |
 * | `completion` | `prompt`, `completion`                      | the prompt, then the completion, which trains       |
 * | `messages`   | `messages: [{ role, content }]`             | a chat                                              |
 * | `alpaca`     | `instruction`, `input` (if any), `output`   | a prompt in alpaca's words, then the output         |
 * | `sharegpt`   | `conversations: [{ from, value }]`          | a chat; `human`, `gpt`, `system` by their usual roles |
 *
 * `completion` is the only name of the answer to a `prompt`: OpenAI's, TRL's and mlx-lm's. `response` and `answer` mean
 * different things in different sets (Commonsense170K keeps the label to evaluate by in `answer`), so they are not guessed.
 *
 * Laws: the fields of a record are those that its sample is made of and `aside`, untouched, and no others; what is wrong
 * with a line is a `DataError` or `FileError` in `FILE:LINE`, lines counted from 1; the first such line is reported.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import { excerpt, parseStrictJson } from '../spec/strict-json.ts';

// model

export type RecordFormat = 'text' | 'completion' | 'messages' | 'alpaca' | 'sharegpt';

/** A piece of a document, and whether it is to be learnt. */
export interface Segment {
  readonly text: string;
  readonly trains: boolean;
}

export type Role = 'system' | 'developer' | 'user' | 'assistant' | 'tool';

export interface Message {
  readonly role: Role;
  readonly content: string;
}

export type Sample = PlainSample | ChatSample;

interface Provenance {
  /** `FILE:LINE`. */
  readonly where: string;
  /** The other fields of the record, for evaluation. */
  readonly aside: Readonly<Record<string, unknown>>;
}

export interface PlainSample extends Provenance {
  readonly kind: 'plain';
  readonly segments: readonly Segment[];
}

export interface ChatSample extends Provenance {
  readonly kind: 'chat';
  readonly messages: readonly Message[];
}

type Fields = Readonly<Record<string, unknown>>;
type Content = Pick<PlainSample, 'kind' | 'segments'> | Pick<ChatSample, 'kind' | 'messages'>;

interface Shape {
  readonly required: readonly string[];
  readonly optional: readonly string[];
  readonly read: (fields: Fields, where: string) => Result<Content>;
}

// values

const wrong = (expected: string, came: unknown, where: string): Result<never> =>
  fail('DataError', expected, came === undefined ? 'nothing' : excerpt(came), where);

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Half of a surrogate pair is no character: no tokenizer gives it back. */
const loneSurrogate = /\p{Surrogate}/u;

const readText = (value: unknown, name: string, where: string): Result<string> => {
  if (typeof value !== 'string') return wrong(`a string in ${name}`, value, where);
  return loneSurrogate.test(value)
    ? wrong(`Unicode text in ${name}`, 'half of a surrogate pair', where)
    : E.right(value);
};

const filledText = (value: unknown, name: string, where: string): Result<string> =>
  pipe(
    readText(value, name, where),
    E.chain((text) => (text.trim() === '' ? wrong(`text in ${name}`, text, where) : E.right(text))),
  );

// plain formats

const plain = (...segments: readonly Segment[]): Content => ({ kind: 'plain', segments });

const readPlainText = (fields: Fields, where: string): Result<Content> =>
  pipe(
    filledText(fields.text, 'text', where),
    E.map((text) => plain({ text, trains: true })),
  );

/** A prompt may be empty: that is how such files write plain text. */
const readCompletion = (fields: Fields, where: string): Result<Content> =>
  pipe(
    E.Do,
    E.bind('prompt', () => readText(fields.prompt, 'prompt', where)),
    E.bind('completion', () => filledText(fields.completion, 'completion', where)),
    E.map(({ prompt, completion }) => plain({ text: prompt, trains: false }, { text: completion, trains: true })),
  );

/**
 * Alpaca's prompt, as most of its users have it: with a line break after `### Response:`. (Stanford's first script had none.)
 */
export const alpacaPrompt = (instruction: string, input: string): string => {
  const context = input === '' ? '' : ', paired with an input that provides further context';
  const given = input === '' ? '' : `### Input:\n${input}\n\n`;
  return (
    `Below is an instruction that describes a task${context}. ` +
    'Write a response that appropriately completes the request.\n\n' +
    `### Instruction:\n${instruction}\n\n${given}### Response:\n`
  );
};

const readAlpaca = (fields: Fields, where: string): Result<Content> =>
  pipe(
    E.Do,
    E.bind('instruction', () => filledText(fields.instruction, 'instruction', where)),
    E.bind('input', () => readText(fields.input ?? '', 'input', where)),
    E.bind('output', () => filledText(fields.output, 'output', where)),
    E.map(({ instruction, input, output }) =>
      plain({ text: alpacaPrompt(instruction, input), trains: false }, { text: output, trains: true }),
    ),
  );

// chat formats

const roles: Readonly<Record<string, Role>> = {
  system: 'system',
  developer: 'developer',
  user: 'user',
  assistant: 'assistant',
  tool: 'tool',
};

const speakers: Readonly<Record<string, Role>> = { system: 'system', human: 'user', gpt: 'assistant' };

const roleOf = (known: Readonly<Record<string, Role>>, value: unknown): Role | undefined =>
  typeof value === 'string' && Object.hasOwn(known, value) ? known[value] : undefined;

/** A reader of lists of turns whose fields have these names. An empty turn is wrong, but for a system prompt. */
const readTurns =
  (list: string, roleField: string, textField: string, known: Readonly<Record<string, Role>>) =>
  (fields: Fields, where: string): Result<Content> => {
    const turns = fields[list];
    if (!Array.isArray(turns) || turns.length === 0) return wrong(`a list of turns in ${list}`, turns, where);
    const readTurn = (i: number, turn: unknown): Result<Message> => {
      const name = `${list}[${i}]`;
      if (!isObject(turn)) return wrong(`an object in ${name}`, turn, where);
      const role = roleOf(known, turn[roleField]);
      if (role === undefined)
        return wrong(`${Object.keys(known).join(', ')} in ${name}.${roleField}`, turn[roleField], where);
      if (turn.tool_calls != null) return wrong(`no tool calls in ${name}: they are not read yet`, turn, where);
      const read = role === 'system' ? readText : filledText;
      return pipe(
        read(turn[textField], `${name}.${textField}`, where),
        E.map((content) => ({ role, content })),
      );
    };
    return pipe(
      turns,
      E.traverseArrayWithIndex(readTurn),
      E.map((messages) => ({ kind: 'chat', messages })),
    );
  };

// formats

const shapes: Readonly<Record<RecordFormat, Shape>> = {
  text: { required: ['text'], optional: [], read: readPlainText },
  completion: { required: ['prompt', 'completion'], optional: [], read: readCompletion },
  messages: { required: ['messages'], optional: [], read: readTurns('messages', 'role', 'content', roles) },
  alpaca: { required: ['instruction', 'output'], optional: ['input'], read: readAlpaca },
  sharegpt: { required: ['conversations'], optional: [], read: readTurns('conversations', 'from', 'value', speakers) },
};

export const recordFormats: readonly RecordFormat[] = ['text', 'completion', 'messages', 'alpaca', 'sharegpt'];

const has = (fields: Fields, format: RecordFormat): boolean =>
  shapes[format].required.every((name) => Object.hasOwn(fields, name));

/** The one format whose fields a record has. */
const detect = (fields: Fields, where: string): Result<RecordFormat> => {
  const [format, ...others] = recordFormats.filter((name) => has(fields, name));
  if (format === undefined) {
    const known = recordFormats.map((name) => shapes[name].required.join(' + ')).join(', ');
    return fail('DataError', `the fields of one format (${known})`, excerpt(Object.keys(fields)), where);
  }
  const all = [format, ...others].join(' and ');
  return others.length === 0
    ? E.right(format)
    : fail('DataError', 'the fields of one format, or a format by name', `those of ${all}`, where);
};

const readAs = (fields: Fields, format: RecordFormat, where: string): Result<Sample> => {
  const { required, optional, read } = shapes[format];
  const missing = required.find((name) => !Object.hasOwn(fields, name));
  if (missing !== undefined)
    return fail('DataError', `a field ${missing}`, `only ${excerpt(Object.keys(fields))}`, where);
  const used = new Set([...required, ...optional]);
  const aside = Object.fromEntries(Object.entries(fields).filter(([name]) => !used.has(name)));
  return pipe(
    read(fields, where),
    E.map((content) => ({ ...content, aside, where })),
  );
};

const fieldsOf = (line: string, where: string): Result<Fields> =>
  pipe(
    parseStrictJson(line, where),
    E.chain((value) => (isObject(value) ? E.right(value) : wrong('a JSON object', value, where))),
  );

type Choose = (fields: Fields, where: string) => Result<RecordFormat>;

const readLine = (line: string, choose: Choose, where: string): Result<Sample> =>
  pipe(
    E.Do,
    E.bind('fields', () => fieldsOf(line, where)),
    E.bind('format', ({ fields }) => choose(fields, where)),
    E.chain(({ fields, format }) => readAs(fields, format, where)),
  );

/** The sample of one line. Without a format (`auto`) the record's fields tell. */
export const sampleFromLine = (line: string, format: RecordFormat | 'auto', where: string): Result<Sample> =>
  readLine(line, format === 'auto' ? detect : () => E.right(format), where);

/** The lines of a file without byte order mark and without blank lines at the end. To JSON, the CR of CRLF is a space. */
const linesOf = (text: string): readonly string[] => {
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  return lines.slice(0, lines.findLastIndex((line) => line.trim() !== '') + 1);
};

/** In a file without a format by name, each line has the format of the first. */
const chooseAs =
  (first: RecordFormat): Choose =>
  (fields, where) =>
    pipe(
      detect(fields, where),
      E.chain((format) =>
        format === first ? E.right(format) : fail('DataError', `the format of line 1, ${first}`, format, where),
      ),
    );

const chooseByFirst = (line: string, where: string): Result<Choose> =>
  pipe(
    fieldsOf(line, where),
    E.chain((fields) => detect(fields, where)),
    E.map(chooseAs),
  );

/**
 * The samples of a JSONL file, in its order. `file` is its name in messages. With `auto` all lines must have the format
 * of the first.
 *
 * @example
 * ```ts
 * import { orThrow, samplesFromJsonl } from 'paca-ts';
 *
 * const [sample] = orThrow(samplesFromJsonl('{"prompt":"1+1=","completion":"2","category":"sum"}\n', 'auto', 'sums.jsonl'));
 * sample; // => { kind: 'plain', segments: [{ text: '1+1=', trains: false }, { text: '2', trains: true }], aside: { category: 'sum' }, where: 'sums.jsonl:1' }
 * ```
 */
export const samplesFromJsonl = (
  text: string,
  format: RecordFormat | 'auto',
  file: string,
): Result<readonly Sample[]> => {
  const lines = linesOf(text);
  const [first] = lines;
  if (first === undefined) return fail('DataError', 'at least one record', 'none', file);
  return pipe(
    format === 'auto' ? chooseByFirst(first, `${file}:1`) : E.right<PacaError, Choose>(() => E.right(format)),
    E.chain((choose) =>
      pipe(
        lines,
        E.traverseArrayWithIndex((i, line) => readLine(line, choose, `${file}:${i + 1}`)),
      ),
    ),
  );
};

/**
 * Messages → text, by the chat template of the tokenizer, and which parts of that text are the assistant's.
 *
 * A template says nowhere which part of its output is the answer. It is found by rendering prefixes of the conversation:
 * what stands before an answer is the earlier messages with the generation prompt, exactly what a model is given when it
 * must write that answer; what the rendering grows by when the answer is added is the answer, with the end of turn that
 * the template writes after it. This needs a template whose prefixes are stable: rendering more messages must not
 * change what the earlier ones gave. Templates that rewrite history (that leave out earlier thoughts, for instance) are an
 * error, not a guess.
 *
 * Laws: the segments of a chat joined are its rendering; before the k-th trained segment stands the rendering of the messages
 * before the k-th answer with the generation prompt; nothing depends on the day or the machine.
 */
import { Environment, Interpreter, Template } from '@huggingface/jinja';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import type { Message, Segment } from './records.ts';
import type { Tokenizer } from './tokenizer.ts';

// model

export interface ChatOptions {
  /** Variables that the template knows by name: `enable_thinking`, `date_string`, … */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What templates that ask for today are told, as `YYYY-MM-DD`. By default 2024-07-26. */
  readonly date?: string;
}

/** The text of a conversation. With `addGenerationPrompt` it ends where an answer begins. */
export type RenderChat = (
  messages: readonly Message[],
  options: { readonly addGenerationPrompt: boolean },
) => Result<string>;

/** The day that LLaMA 3's template names where it is told none. */
const defaultDate = '2024-07-26';

type Program = Template['parsed'];

const place = 'chat template';

// what templates call

const months: readonly string[] = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];

/** Python's strftime for a day, at midnight, in English. A directive that it does not know throws. */
const strftime = (date: string, format: string): string => {
  const [year = '', month = '', day = ''] = date.split('-');
  const name = months[Number(month) - 1] ?? '';
  const parts: Readonly<Record<string, string>> = {
    '%Y': year,
    '%y': year.slice(2),
    '%m': month,
    '%d': day,
    '%B': name,
    '%b': name.slice(0, 3),
    '%H': '00',
    '%M': '00',
    '%S': '00',
    '%%': '%',
  };
  return format.replace(/%./g, (directive) => {
    const part = parts[directive];
    if (part === undefined) throw new Error(`strftime_now does not know ${directive}`);
    return part;
  });
};

/** Python's range. */
const range = (start: number, stop?: number, step = 1): readonly number[] => {
  const [from, to] = stop === undefined ? [0, start] : [start, stop];
  return Array.from({ length: Math.max(0, Math.ceil((to - from) / step)) }, (_, i) => from + i * step);
};

const raise = (message: string): never => {
  throw new Error(message);
};

/**
 * The names of a template. The library's own `Template.render` gives it the clock; here the day is an argument. A later
 * name covers an earlier one.
 */
const environmentOf = (variables: Readonly<Record<string, unknown>>, date: string): Environment => {
  const names: Readonly<Record<string, unknown>> = {
    true: true,
    True: true,
    false: false,
    False: false,
    none: null,
    None: null,
    range,
    raise_exception: raise,
    strftime_now: (format: string) => strftime(date, format),
    ...variables,
  };
  const environment = new Environment();
  for (const [name, value] of Object.entries(names)) environment.set(name, value);
  return environment;
};

// rendering

const attempt = <A>(expected: string, run: () => A): Result<A> => {
  try {
    return E.right(run());
  } catch (cause) {
    return fail('DataError', expected, (cause as Error).message, place);
  }
};

const isDay = (date: string): boolean => /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/.test(date);

const render = (program: Program, names: Readonly<Record<string, unknown>>, date: string): string => {
  const { value } = new Interpreter(environmentOf(names, date)).run(program);
  return String(value);
};

/**
 * The renderer of a tokenizer's chat template. A tokenizer without one is a `ConfigError`: how a model wants to be spoken to
 * cannot be guessed. What the template refuses (an order of roles, say) is a `DataError`.
 */
export const chatRenderer = (
  { chatTemplate, specialTokens }: Tokenizer,
  { variables = {}, date = defaultDate }: ChatOptions = {},
): Result<RenderChat> => {
  if (chatTemplate === null)
    return fail('ConfigError', 'a tokenizer with a chat template, or data that is no chat', 'none', place);
  if (!isDay(date)) return fail('ConfigError', 'a day as YYYY-MM-DD', date, 'date');
  return pipe(
    attempt('a template in Jinja', () => new Template(chatTemplate).parsed),
    E.map(
      (program): RenderChat =>
        (messages, { addGenerationPrompt }) => {
          const names = { ...specialTokens, ...variables, messages, add_generation_prompt: addGenerationPrompt };
          return attempt('a conversation that the template accepts', () => render(program, names, date));
        },
    ),
  );
};

// segments

/** What `whole` has after `start`, which it must begin with. */
const growth = (start: string, whole: string, what: string): Result<string> =>
  whole.startsWith(start)
    ? E.right(whole.slice(start.length))
    : fail('DataError', 'a template that leaves what it wrote as it is', `other text before ${what}`, place);

interface Cut {
  readonly text: string;
  readonly segments: readonly Segment[];
}

const extend = (cut: Cut, to: Result<string>, trains: boolean, what: string): Result<Cut> =>
  pipe(
    E.Do,
    E.bind('text', () => to),
    E.bind('grown', ({ text }) => growth(cut.text, text, what)),
    E.map(({ text, grown }) => ({
      text,
      segments: grown === '' ? cut.segments : [...cut.segments, { text: grown, trains }],
    })),
  );

/** The rendering of a conversation in pieces: the assistant's, which train, and those between them. */
export const chatSegments = (render: RenderChat, messages: readonly Message[]): Result<readonly Segment[]> => {
  const upTo = (count: number, addGenerationPrompt: boolean): Result<string> =>
    render(messages.slice(0, count), { addGenerationPrompt });
  const answers = messages.flatMap(({ role }, i) => (role === 'assistant' ? [i] : []));
  const nothing: Result<Cut> = E.right({ text: '', segments: [] });
  return pipe(
    answers.reduce(
      (cut: E.Either<PacaError, Cut>, i) =>
        pipe(
          cut,
          E.chain((before) => extend(before, upTo(i, true), false, `message ${i}`)),
          E.chain((asked) => extend(asked, upTo(i + 1, false), true, `the end of message ${i}`)),
        ),
      nothing,
    ),
    E.chain((cut) => extend(cut, upTo(messages.length, false), false, 'the end')),
    E.map(({ segments }) => segments),
  );
};

/**
 * What a language model makes of held-out samples: whether the answer is right. With choices, the one that the model finds
 * likeliest counts, as MMLU is scored; else it is generated, and must be the expected text. Choices are the same for all
 * samples, or each record's own: `choices`, a list, with `answer`, an index or a text, where its completion is none of them.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../../core/fused.ts';
import { rngFromSeed } from '../../core/rng.ts';
import type { Tree } from '../../core/tree.ts';
import { chatRenderer } from '../../data/chat.ts';
import { type TokenBatch, tokenBatch } from '../../data/packing.ts';
import type { PlainSample, Sample } from '../../data/records.ts';
import { sequencesFromSamples, type TokenSequence } from '../../data/sequences.ts';
import { generate, greedy } from '../../models/generate.ts';
import type { Model } from '../../models/model.ts';
import { fail, type Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { rowLogLikelihoods } from '../../train/score.ts';
import { type Base, paddingOf, stopsOf } from './base.ts';
import { type Choices, choicesOf } from './choices.ts';

/** A model with weights, and the tokens that it speaks. */
export interface Speaker<T extends Spec> {
  readonly kernels: Kernels<T>;
  readonly base: Base;
  readonly model: Model<T>;
  readonly params: Tree<T>;
}

export interface Judged {
  /** What `accuracy` is a share of: likeliest choices that are right, or generated answers that are the expected text. */
  readonly by: 'choices' | 'generation';
  readonly accuracy: number;
  readonly count: number;
  /** Accuracy of each category that the records name. */
  readonly categories: Readonly<Record<string, number>>;
}

interface Question {
  readonly prompt: string;
  /** Whether the prompt brings its special tokens along, as a chat template's does. */
  readonly isChat: boolean;
  readonly answer: string;
  /** The record's own, and which of them is right. */
  readonly own: Choices | null;
  readonly category: string | null;
  readonly where: string;
}

/** A document without a prompt: nothing is asked. */
export const isPlainText = (sample: Sample): boolean =>
  sample.kind === 'plain' && sample.segments.slice(0, -1).every(({ text }) => text === '');

const questionOf = (sample: Sample, { tokenizer }: Base): Result<Question> => {
  const { where, aside } = sample;
  const category = typeof aside.category === 'string' ? aside.category : null;
  const withOwn = (question: Omit<Question, 'own'>): Result<Question> =>
    pipe(
      choicesOf(aside, question.answer, where),
      E.map((own) => ({ ...question, own })),
    );
  if (sample.kind === 'plain') {
    const answer = sample.segments.at(-1);
    const prompt = sample.segments.slice(0, -1).map(({ text }) => text);
    return answer?.trains === true && !isPlainText(sample)
      ? withOwn({ prompt: prompt.join(''), isChat: false, answer: answer.text, category, where })
      : fail('DataError', 'a prompt and an answer', 'plain text', where);
  }
  const last = sample.messages.at(-1);
  if (last?.role !== 'assistant')
    return fail('DataError', 'a chat that ends with an answer', String(last?.role), where);
  return pipe(
    chatRenderer(tokenizer),
    E.chain((render) => render(sample.messages.slice(0, -1), { addGenerationPrompt: true })),
    E.chain((prompt) => withOwn({ prompt, isChat: true, ...{ answer: last.content, category, where } })),
  );
};

/** The prompt with a choice as its answer, without the end of the text, which is no part of it. */
const sequenceOf = (
  { prompt, where }: Question,
  choice: string,
  { tokenizer, config }: Base,
): Result<TokenSequence> => {
  const sample: PlainSample = {
    kind: 'plain',
    segments: [
      { text: prompt, trains: false },
      { text: choice, trains: true },
    ],
    aside: {},
    where,
  };
  return pipe(
    sequencesFromSamples([sample], tokenizer, { maxLength: config.positions, lossOn: 'completion' }),
    E.chain(({ sequences: [sequence], report: { truncated } }) => {
      if (sequence === undefined || truncated > 0)
        return fail('DataError', `at most ${config.positions} tokens`, 'more', where);
      const length = sequence.ids.length - (sequence.ids.at(-1) === tokenizer.eos ? 1 : 0);
      return E.right({ ids: sequence.ids.slice(0, length), trains: sequence.trains.slice(0, length) });
    }),
  );
};

/** Rows that are scored together. */
const ROWS = 16;

/** Candidates that differ in their last token alone: what comes before it runs through the model once. */
type Group = readonly [number, ...number[]];

const groupsOf = (sequences: readonly TokenSequence[]): readonly Group[] => {
  const groups = new Map<string, Group>();
  sequences.forEach(({ ids }, i) => {
    const key = ids.slice(0, -1).join();
    const before = groups.get(key);
    groups.set(key, before === undefined ? [i] : [...before, i]);
  });
  return [...groups.values()];
};

/** Micro-batches of the first candidate of each group, of the second, …; a group that has no more repeats its first. */
const batchesOf = (
  sequences: readonly TokenSequence[],
  groups: readonly Group[],
  base: Base,
): Result<readonly TokenBatch[]> =>
  pipe(
    Array.from({ length: Math.max(...groups.map(({ length }) => length)) }, (_, i) =>
      groups.map((group) => Int32Array.of(group[i] ?? group[0])),
    ),
    E.traverseArray((rows) => tokenBatch(sequences, rows, { pack: false, padToMultipleOf: 8 }, paddingOf(base))),
  );

/** Σ log p of each candidate's tokens after its question. */
const likelihoodsOf = async <T extends Spec>(
  { kernels: k, base, model, params }: Speaker<T>,
  candidates: readonly (readonly [question: Question, choice: string])[],
  { rows: most = ROWS, onRows = () => {} }: JudgeOptions,
): Promise<Result<readonly number[]>> => {
  const sequences = pipe(
    candidates,
    E.traverseArray(([question, choice]) => sequenceOf(question, choice, base)),
  );
  if (E.isLeft(sequences)) return sequences;
  const groups = groupsOf(sequences.right);
  const likelihoods = new Map<number, number>();
  for (let i = 0; i < groups.length; i += most) {
    const part = groups.slice(i, i + most);
    const batches = batchesOf(sequences.right, part, base);
    if (E.isLeft(batches)) return batches;
    const scores = await rowLogLikelihoods(k, model, params, batches.right as readonly [TokenBatch, ...TokenBatch[]]);
    part.forEach((group, row) => {
      group.forEach((candidate, j) => {
        likelihoods.set(candidate, scores[j]?.[row] as number);
      });
    });
    onRows(likelihoods.size, candidates.length);
  }
  return E.right(candidates.map((_, i) => likelihoods.get(i) as number));
};

/** Whether the likeliest choice of each question is the right one; of equal ones the first counts. */
const choose = async <T extends Spec>(
  speaker: Speaker<T>,
  questions: readonly (readonly [question: Question, choices: Choices])[],
  options: JudgeOptions,
): Promise<Result<readonly boolean[]>> =>
  pipe(
    await likelihoodsOf(
      speaker,
      questions.flatMap(([question, { texts }]) => texts.map((text) => [question, text] as const)),
      options,
    ),
    E.map((likelihoods) => {
      let start = 0;
      return questions.map(([, { texts, right }]) => {
        const own = likelihoods.slice(start, start + texts.length);
        start += texts.length;
        return own.indexOf(Math.max(...own)) === right;
      });
    }),
  );

/** The most tokens of a generated answer. */
const LONGEST_ANSWER = 48;

const answerOf = async <T extends Spec>(
  { kernels, base, model, params }: Speaker<T>,
  { prompt, isChat }: Question,
): Promise<string> => {
  const { tokenizer, config } = base;
  const most = Math.min(LONGEST_ANSWER, Math.floor(config.positions / 2));
  const ids = tokenizer.encode(prompt, { special: !isChat }).slice(-(config.positions - most));
  const made: number[] = [];
  const generation = { prompt: ids, most, stop: stopsOf(base), sampling: greedy, rng: rngFromSeed(0) };
  for await (const token of generate(kernels, model, params, generation)) made.push(token);
  return tokenizer.decode(made);
};

/** One question with the model's own words. */
export interface Answered {
  readonly prompt: string;
  readonly expected: string;
  readonly answer: string;
}

/** The model's own answers to the first samples. */
export const answers = async <T extends Spec>(
  speaker: Speaker<T>,
  samples: readonly Sample[],
): Promise<Result<readonly Answered[]>> => {
  const answered: Answered[] = [];
  for (const sample of samples) {
    const question = questionOf(sample, speaker.base);
    if (E.isLeft(question)) return question;
    const { prompt, answer: expected } = question.right;
    answered.push({ prompt, expected, answer: await answerOf(speaker, question.right) });
  }
  return E.right(answered);
};

const share = (right: readonly boolean[]): number => right.filter(Boolean).length / right.length;

const tally = (by: Judged['by'], questions: readonly Question[], right: readonly boolean[]): Judged => {
  const names = [...new Set(questions.flatMap(({ category }) => (category === null ? [] : [category])))].sort();
  const within = (name: string): number => share(right.filter((_, i) => questions[i]?.category === name));
  return {
    by,
    accuracy: share(right),
    count: right.length,
    categories: Object.fromEntries(names.map((name) => [name, within(name)])),
  };
};

export interface JudgeOptions {
  /** Rows that are scored together; 16 if not given. */
  readonly rows?: number;
  /** Told how many candidates or answers are done, of how many. */
  readonly onRows?: (done: number, total: number) => void;
}

/** The choices of every question: those that are given, or its own; null where no question has any. */
const allChoices = (
  questions: readonly Question[],
  given: readonly string[] | null,
): Result<readonly (readonly [Question, Choices])[] | null> => {
  if (given !== null) {
    return E.traverseArray((question: Question) =>
      given.includes(question.answer)
        ? E.right([question, { texts: given, right: given.indexOf(question.answer) }] as const)
        : fail('DataError', `one of ${given.map((c) => `'${c}'`).join(', ')}`, `'${question.answer}'`, question.where),
    )(questions);
  }
  if (questions.every(({ own }) => own === null)) return E.right(null);
  return E.traverseArray((question: Question) =>
    question.own === null
      ? fail('DataError', 'choices in every record, or in none', 'none', question.where)
      : E.right([question, question.own] as const),
  )(questions);
};

/**
 * Errors: a sample without prompt and answer; an answer that is none of the choices; choices in some records and not in
 * others.
 */
export const judge = async <T extends Spec>(
  speaker: Speaker<T>,
  samples: readonly Sample[],
  given: readonly string[] | null,
  options: JudgeOptions = {},
): Promise<Result<Judged>> => {
  const read = pipe(
    E.Do,
    E.bind('questions', () => E.traverseArray((sample: Sample) => questionOf(sample, speaker.base))(samples)),
    E.bind('choices', ({ questions }) => allChoices(questions, given)),
  );
  if (E.isLeft(read)) return read;
  const { questions, choices } = read.right;
  if (choices !== null) {
    return pipe(
      await choose(speaker, choices, options),
      E.map((right) => tally('choices', questions, right)),
    );
  }
  const right: boolean[] = [];
  for (const question of questions) {
    right.push((await answerOf(speaker, question)).trim() === question.answer.trim());
    options.onRows?.(right.length, questions.length);
  }
  return E.right(tally('generation', questions, right));
};

/**
 * What a language model makes of held-out samples: whether the answer is right. With choices, the one that the model finds
 * likeliest counts, as MMLU is scored; else it is generated, and must be the expected text.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../../core/fused.ts';
import { rngFromSeed } from '../../core/rng.ts';
import type { Tree } from '../../core/tree.ts';
import { chatRenderer } from '../../data/chat.ts';
import { tokenBatch } from '../../data/packing.ts';
import type { PlainSample, Sample } from '../../data/records.ts';
import { sequencesFromSamples, type TokenSequence } from '../../data/sequences.ts';
import { generate, greedy } from '../../models/generate.ts';
import type { Model } from '../../models/model.ts';
import { fail, type Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { rowLogLikelihoods } from '../../train/score.ts';
import type { Base } from './base.ts';

/** A model with weights, and the tokens that it speaks. */
export interface Speaker<T extends Spec> {
  readonly kernels: Kernels<T>;
  readonly base: Base;
  readonly model: Model<T>;
  readonly params: Tree<T>;
}

export interface Judged {
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
  readonly category: string | null;
  readonly where: string;
}

const questionOf = (sample: Sample, { tokenizer }: Base): Result<Question> => {
  const { where, aside } = sample;
  const category = typeof aside.category === 'string' ? aside.category : null;
  if (sample.kind === 'plain') {
    const answer = sample.segments.at(-1);
    const before = sample.segments.slice(0, -1);
    return answer?.trains === true && before.length > 0
      ? E.right({
          prompt: before.map(({ text }) => text).join(''),
          isChat: false,
          ...{ answer: answer.text, category, where },
        })
      : fail('DataError', 'a prompt and an answer', 'plain text', where);
  }
  const last = sample.messages.at(-1);
  if (last?.role !== 'assistant')
    return fail('DataError', 'a chat that ends with an answer', String(last?.role), where);
  return pipe(
    chatRenderer(tokenizer),
    E.chain((render) => render(sample.messages.slice(0, -1), { addGenerationPrompt: true })),
    E.map((prompt) => ({ prompt, isChat: true, ...{ answer: last.content, category, where } })),
  );
};

/** The prompt with a choice as its answer; the end of the text is no part of the answer. */
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
    E.chain(({ sequences: [sequence] }) => {
      if (sequence === undefined) return fail('DataError', `at most ${config.positions} tokens`, 'more', where);
      const trains = sequence.trains.slice();
      if (sequence.ids.at(-1) === tokenizer.eos) trains[trains.length - 1] = 0;
      return E.right({ ids: sequence.ids, trains });
    }),
  );
};

/** Rows that are scored together. */
const ROWS = 16;

/** Which choice of each question is likeliest; of equal ones the first. */
const choose = async <T extends Spec>(
  { kernels: k, base, model, params }: Speaker<T>,
  questions: readonly Question[],
  choices: readonly string[],
): Promise<Result<readonly number[]>> => {
  const sequences = pipe(
    questions.flatMap((question) => choices.map((choice) => [question, choice] as const)),
    E.traverseArray(([question, choice]) => sequenceOf(question, choice, base)),
  );
  if (E.isLeft(sequences)) return sequences;
  const likelihoods: number[] = [];
  for (let i = 0; i < sequences.right.length; i += ROWS) {
    const part = sequences.right.slice(i, i + ROWS);
    const rows = part.map((_, row) => Int32Array.of(row));
    const batch = tokenBatch(part, rows, { pack: false, padToMultipleOf: 8 }, base.tokenizer.pad ?? 0);
    if (E.isLeft(batch)) return batch;
    likelihoods.push(...(await rowLogLikelihoods(k, model, params, batch.right)));
  }
  return E.right(
    questions.map((_, i) => {
      const own = likelihoods.slice(i * choices.length, (i + 1) * choices.length);
      return own.indexOf(Math.max(...own));
    }),
  );
};

/** The most tokens of a generated answer. */
const LONGEST_ANSWER = 48;

const answerOf = async <T extends Spec>(
  { kernels, base, model, params }: Speaker<T>,
  { prompt, isChat }: Question,
): Promise<string> => {
  const { tokenizer, config } = base;
  const ids = tokenizer.encode(prompt, { special: !isChat }).slice(-(config.positions - LONGEST_ANSWER));
  const made: number[] = [];
  const stop = tokenizer.eos === null ? [] : [tokenizer.eos];
  const generation = { prompt: ids, most: LONGEST_ANSWER, stop, sampling: greedy, rng: rngFromSeed(0) };
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

const tally = (questions: readonly Question[], right: readonly boolean[]): Judged => {
  const names = [...new Set(questions.flatMap(({ category }) => (category === null ? [] : [category])))].sort();
  const within = (name: string): number => share(right.filter((_, i) => questions[i]?.category === name));
  return {
    accuracy: share(right),
    count: right.length,
    categories: Object.fromEntries(names.map((name) => [name, within(name)])),
  };
};

/** Errors: a sample without prompt and answer; an answer that is none of the choices. */
export const judge = async <T extends Spec>(
  speaker: Speaker<T>,
  samples: readonly Sample[],
  choices: readonly string[] | null,
): Promise<Result<Judged>> => {
  const questions = pipe(
    samples,
    E.traverseArray((sample) => questionOf(sample, speaker.base)),
  );
  if (E.isLeft(questions)) return questions;
  if (choices === null) {
    const right: boolean[] = [];
    for (const question of questions.right) {
      right.push((await answerOf(speaker, question)).trim() === question.answer.trim());
    }
    return E.right(tally(questions.right, right));
  }
  const odd = questions.right.find(({ answer }) => !choices.includes(answer));
  if (odd !== undefined) {
    return fail('DataError', `one of ${choices.map((c) => `'${c}'`).join(', ')}`, `'${odd.answer}'`, odd.where);
  }
  return pipe(
    await choose(speaker, questions.right, choices),
    E.map((chosen) =>
      tally(
        questions.right,
        questions.right.map(({ answer }, i) => choices[chosen[i] as number] === answer),
      ),
    ),
  );
};

/** `paca compare`: methods side by side, on language models where the config names data, else on the digits. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { fail, type Result } from '../../spec/errors.ts';
import type { Command } from '../command.ts';
import { compareDigits } from '../digits/compare.ts';
import { compareKeys, parseCompare } from '../digits/config.ts';
import type { CompareInput } from '../digits/settings.ts';
import { readInput } from '../input.ts';
import { type Comparison, parseTextCompare, textCompareKeys } from './settings.ts';
import { compareText } from './text.ts';

type Input =
  | { readonly task: 'digits'; readonly of: CompareInput }
  | { readonly task: 'text'; readonly of: Comparison };

const parse = (input: unknown, where: string): Result<Input> => {
  const isText =
    typeof input === 'object' && input !== null && ['base', 'data', 'tasks'].some((key) => Object.hasOwn(input, key));
  return isText
    ? E.map((of: Comparison): Input => ({ task: 'text', of }))(parseTextCompare(input, where))
    : E.map((of: CompareInput): Input => ({ task: 'digits', of }))(parseCompare(input, where));
};

const keys: readonly string[] = [...new Set([...textCompareKeys, ...compareKeys])];
const texts: readonly string[] = ['base', 'data', 'test', 'ownText'];

export const compare: Command = {
  summary: 'methods side by side, with the same data and budget: right answers, loss, memory, time',
  usage:
    'paca compare CONFIG.yaml | --base FOLDER --data FILE.jsonl [--methods METHODS] [--selects SELECTS]\n' +
    '             [--seeds 3] [--rate-factors FACTORS] [--match rank|trainable] [--own-text FILE.jsonl]\n' +
    '             [--run FOLDER] [--resume] [--json] [--KEY VALUE ...]\n' +
    "       paca compare [CONFIG.yaml] [--methods '[full, paca]'] [--selects '[random, gradient]'] [--json]   (digits)",
  keys: keys.filter((key) => !texts.includes(key)),
  texts: ['run', ...texts],
  switches: ['json', 'resume'],
  run: (world, args) =>
    pipe(
      readInput(args, keys, parse),
      TE.chain((input) => {
        if (input.task === 'text') return compareText(world, args, input.of);
        const idle = ['run', 'resume'].find((name) => args.values[name] !== undefined);
        return idle === undefined
          ? compareDigits(world, input.of, args.values.json === true)
          : TE.fromEither(fail('ConfigError', 'base and data, or tasks', `--${idle} without them`, 'compare'));
      }),
    )(),
};

/** `paca finetune`: one run in a folder of its own, resumable; of a language model where the config names a base. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Result } from '../spec/errors.ts';
import type { Command } from './command.ts';
import { finetuneKeys, parseFinetune } from './digits/config.ts';
import { finetuneDigits } from './digits/finetune.ts';
import type { FinetuneInput } from './digits/settings.ts';
import { readInput } from './input.ts';
import { parseText, textKeys } from './text/config.ts';
import { finetuneText } from './text/finetune.ts';
import type { TextInput } from './text/settings.ts';

type Input =
  | { readonly task: 'digits'; readonly of: FinetuneInput }
  | { readonly task: 'text'; readonly of: TextInput };

const parse = (input: unknown, where: string): Result<Input> => {
  const isText = typeof input === 'object' && input !== null && ('base' in input || 'data' in input);
  return isText
    ? E.map((of: TextInput): Input => ({ task: 'text', of }))(parseText(input, where))
    : E.map((of: FinetuneInput): Input => ({ task: 'digits', of }))(parseFinetune(input, where));
};

const keys: readonly string[] = [...new Set([...textKeys, ...finetuneKeys])];
const texts: readonly string[] = ['base', 'data', 'test'];

export const finetune: Command = {
  summary: 'fine-tune a language model (--base, --data), or the digits model, in a resumable run folder',
  usage:
    'paca finetune CONFIG.yaml | --base FOLDER|OWNER/NAME --data FILE.jsonl [--KEY VALUE ...]\n' +
    '              [--run FOLDER] [--resume] [--dry-run] [--json]\n' +
    '       paca finetune [--model mlp|tanh|cnn] [--KEY VALUE ...]   (digits)',
  keys: keys.filter((key) => !texts.includes(key)),
  texts: ['run', ...texts],
  switches: ['json', 'resume', 'dryRun'],
  run: (world, args) =>
    pipe(
      readInput(args, keys, parse),
      TE.chain((input) =>
        input.task === 'text' ? finetuneText(world, args, input.of) : finetuneDigits(world, args, input.of),
      ),
    )(),
};

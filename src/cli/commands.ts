/** The commands by their names. */
import { bench } from './bench/command.ts';
import type { Command } from './command.ts';
import { compare } from './compare.ts';
import { doctor } from './doctor.ts';
import { finetune } from './finetune.ts';
import { evalText } from './text/eval.ts';
import { generateText } from './text/generate.ts';
import { vectors } from './vectors.ts';

export const commands: Readonly<Record<string, Command>> = {
  doctor,
  vectors,
  finetune,
  generate: generateText,
  eval: evalText,
  compare,
  bench,
};

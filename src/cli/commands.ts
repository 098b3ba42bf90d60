/** The commands by their names. */
import { convert } from './adapters/convert.ts';
import { merge } from './adapters/merge.ts';
import { quantise } from './adapters/quantise.ts';
import { bench } from './bench/command.ts';
import type { Command } from './command.ts';
import { compare } from './compare/command.ts';
import { doctor } from './doctor.ts';
import { finetune } from './finetune.ts';
import { plan } from './plan/command.ts';
import { study } from './study/command.ts';
import { evalText } from './text/eval.ts';
import { generateText } from './text/generate.ts';
import { select } from './text/select.ts';
import { vectors } from './vectors.ts';
import { verifyConvergence } from './verify-convergence.ts';

export const commands: Readonly<Record<string, Command>> = {
  doctor,
  vectors,
  finetune,
  generate: generateText,
  eval: evalText,
  compare,
  study,
  select,
  plan,
  convert,
  merge,
  quantise,
  bench,
  'verify-convergence': verifyConvergence,
};

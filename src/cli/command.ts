/** What a command is, and what it is given of the world. */
import type { Result } from '../spec/errors.ts';
import type { Arguments } from './args.ts';
import type { ProgressWriter } from './show/progress.ts';

/** Done, a check failed, wrong usage or input. */
export type ExitCode = 0 | 1 | 2;

export interface World {
  /** Standard output: the answer, and with `--json` one document and nothing else. */
  readonly print: (text: string) => void;
  /** Standard error: progress and diagnostics. */
  readonly terminal: ProgressWriter;
  /** Columns of the terminal, if it is one. */
  readonly columns: number | undefined;
  /** Milliseconds. */
  readonly clock: () => number;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
}

export interface Command {
  readonly summary: string;
  readonly usage: string;
  /** Flags with a value in YAML, flags with any text, and switches, in camel case. */
  readonly keys: readonly string[];
  readonly texts: readonly string[];
  readonly switches: readonly string[];
  readonly run: (world: World, args: Arguments) => Promise<Result<ExitCode>>;
}

export const printJson = ({ print }: World, value: unknown): void => print(`${JSON.stringify(value, null, 2)}\n`);

#!/usr/bin/env node
/**
 * The program `paca`. Exit codes: 0 done, 1 a check failed or the run was stopped, 2 wrong usage or input.
 */
import process from 'node:process';
import * as E from 'fp-ts/lib/Either.js';
import { showError } from '../spec/errors.ts';
import { kebab, parseArguments } from './args.ts';
import { orFullMemory } from './backend.ts';
import type { Command, ExitCode, World } from './command.ts';
import { commands } from './commands.ts';

const help = (): string => {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const list = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return ['usage: paca COMMAND [options]', '', ...list, '', 'paca COMMAND --help tells its options.', ''].join('\n');
};

const helpOf = ({ summary, usage, keys, texts, switches }: Command): string => {
  return [
    `usage: ${usage}`,
    '',
    summary,
    '',
    `with a value: ${[...texts, ...keys].map(kebab).join(' ')}`,
    `switches: ${[...switches, 'help'].map(kebab).join(' ')}`,
    '',
  ].join('\n');
};

/** Aborts at the first Ctrl-C or SIGTERM; the second ends the program at once. */
const interruption = (): AbortSignal => {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => (controller.signal.aborted ? process.exit(1) : controller.abort()));
  }
  return controller.signal;
};

/** A reader that has seen enough (`paca … | head`) is no error. */
const endWithReader = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(0);
};

/** A command that never asks for the signal is ended by the first Ctrl-C. */
const world = (): World => {
  let signal: AbortSignal | undefined;
  return {
    print: (text) => process.stdout.write(text),
    terminal: process.stderr,
    columns: process.stdout.columns,
    clock: () => performance.now(),
    get signal() {
      signal ??= interruption();
      return signal;
    },
  };
};

/** One line, whatever a wrong value held. */
const complain = (message: string): ExitCode => {
  process.stderr.write(`paca: ${message.replace(/\s*[\r\n]\s*/g, ' ')}\n`);
  return 2;
};

const main = async ([name, ...rest]: readonly string[]): Promise<ExitCode> => {
  if (name === undefined || name === '--help' || name === 'help') {
    process.stdout.write(help());
    return name === undefined ? 2 : 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) return complain(`expected one of ${Object.keys(commands).join(', ')}, got '${name}'`);
  const args = parseArguments(rest, { ...command, switches: [...command.switches, 'help'] });
  if (E.isLeft(args)) return complain(showError(args.left));
  if (args.right.values.help) {
    process.stdout.write(helpOf(command));
    return 0;
  }
  const result = await orFullMemory(() => command.run(world(), args.right));
  if (E.isRight(result)) return result.right;
  const code = complain(showError(result.left));
  return result.left.tag === 'Interrupted' || result.left.tag === 'NonFiniteError' ? 1 : code;
};

process.stdout.on('error', endWithReader);
process.exitCode = await main(process.argv.slice(2));

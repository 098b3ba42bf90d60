/** This program as a process of its own, so that what it measures of its memory is that of the one thing it does. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import * as E from 'fp-ts/lib/Either.js';
import type * as TE from 'fp-ts/lib/TaskEither.js';
import { type ErrorTag, fail, type PacaError, type Result } from '../../spec/errors.ts';
import { parseStrictJson } from '../../spec/strict-json.ts';
import type { World } from '../command.ts';
import { packageRoot } from '../package-root.ts';

const isDeno = 'Deno' in globalThis;

/** The program and its first arguments: Deno runs the sources, Node what the build made of them. */
const program = (): readonly [string, readonly string[]] => {
  const root = packageRoot();
  const first = isDeno ? ['run', '-A', join(root, 'src/cli/main.ts')] : [join(root, 'dist/src/cli/main.js')];
  return [process.execPath, first];
};

const interrupted = (argv: readonly string[]): Result<never> =>
  fail('Interrupted', `paca ${argv[0]} to end`, 'a stop', argv.slice(0, 2).join(' '));

/** What a child that failed says of it: its last line is the error. */
const failure = (argv: readonly string[], told: string, ended: string): Result<never> => {
  const why = told.trim().split('\n').at(-1) ?? '';
  const tag = tags.find((name) => why.startsWith(`paca: ${name} `)) ?? 'BackendError';
  return fail(tag, `paca ${argv[0]} to end well`, `${ended}: ${why}`, argv.slice(0, 2).join(' '));
};

const tags: readonly ErrorTag[] = [
  'ShapeError',
  'IndexError',
  'ConfigError',
  'FileError',
  'DataError',
  'NonFiniteError',
];

/**
 * Runs the program in a process group of its own, so that a Ctrl-C in the terminal reaches this process alone, which passes
 * it on once; the child dies with this process.
 */
const spawned = (world: World, argv: readonly string[]): Promise<Result<string>> => {
  const [path, first] = program();
  if (world.signal.aborted) return Promise.resolve(interrupted(argv));
  return new Promise((resolve) => {
    const child = spawn(path, [...first, ...argv], { stdio: ['ignore', 'pipe', 'pipe'], detached: true });
    let [output, told] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      told = `${told}${text}`.slice(-2000);
      world.terminal.write(text);
    });
    const stop = (): boolean => child.kill('SIGINT');
    const kill = (): boolean => child.kill('SIGKILL');
    world.signal.addEventListener('abort', stop);
    process.on('exit', kill);
    const end = (result: Result<string>): void => {
      world.signal.removeEventListener('abort', stop);
      process.off('exit', kill);
      resolve(result);
    };
    child.on('error', (error) => end(fail('BackendError', 'a process that starts', error.message, path)));
    child.on('close', (code, signal) => {
      if (world.signal.aborted) end(interrupted(argv));
      else end(code === 0 ? E.right(output) : failure(argv, told, signal ?? `exit code ${code}`));
    });
  });
};

/** What the command prints with `--json`. What it says beside that goes to the terminal. */
export const childJson =
  (world: World, argv: readonly string[]): TE.TaskEither<PacaError, unknown> =>
  async () => {
    const output = await spawned(world, [...argv, '--json']);
    return E.isLeft(output) ? output : parseStrictJson(output.right, `paca ${argv[0]}`);
  };

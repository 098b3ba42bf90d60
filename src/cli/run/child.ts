/** This program as a process of its own, so that what it measures of its memory is that of the one thing it does. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import * as E from 'fp-ts/lib/Either.js';
import type * as TE from 'fp-ts/lib/TaskEither.js';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
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

const spawned = (world: World, argv: readonly string[]): Promise<Result<string>> => {
  const [path, first] = program();
  return new Promise((resolve) => {
    const child = spawn(path, [...first, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    let [output, told] = ['', ''];
    child.stdout.on('data', (text: Buffer) => {
      output += text.toString();
    });
    child.stderr.on('data', (text: Buffer) => {
      told = `${told}${text.toString()}`.slice(-2000);
      world.terminal.write(text.toString());
    });
    const stop = (): void => {
      child.kill('SIGINT');
    };
    world.signal.addEventListener('abort', stop);
    const end = (result: Result<string>): void => {
      world.signal.removeEventListener('abort', stop);
      resolve(result);
    };
    child.on('error', (error) => end(fail('BackendError', 'a process that starts', error.message, path)));
    child.on('close', (code) => {
      if (code === 0) return end(E.right(output));
      const why = told.trim().split('\n').at(-1) ?? '';
      const tag = world.signal.aborted ? 'Interrupted' : 'DataError';
      end(fail(tag, `paca ${argv[0]} to end well`, `exit code ${code}: ${why}`, argv.slice(0, 3).join(' ')));
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

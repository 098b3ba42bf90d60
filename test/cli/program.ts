/** The program, called in this process with a world of its own, or as a process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as E from 'fp-ts/lib/Either.js';
import { afterAll } from 'vitest';
import { parseArguments } from '../../src/cli/args.ts';
import { orFullMemory } from '../../src/cli/backend.ts';
import type { World } from '../../src/cli/command.ts';
import { commands } from '../../src/cli/commands.ts';
import type { PacaError } from '../../src/spec/errors.ts';

export interface Called {
  readonly output: string;
  /** What went to the terminal. */
  readonly told: string;
  readonly code: number | null;
  readonly error: PacaError | null;
}

/** Runs a command in this process. */
export const call = async (
  argv: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<Called> => {
  const [name = '', ...rest] = argv;
  const command = commands[name]!;
  let [output, told] = ['', ''];
  const world: World = {
    print: (text) => {
      output += text;
    },
    terminal: {
      write: (text) => {
        told += text;
        return true;
      },
    },
    columns: undefined,
    clock: () => performance.now(),
    signal,
  };
  const args = parseArguments(rest, command);
  if (E.isLeft(args)) return { output, told, code: null, error: args.left };
  const result = await orFullMemory(() => command.run(world, args.right));
  return E.isLeft(result)
    ? { output, told, code: null, error: result.left }
    : { output, told, code: result.right, error: null };
};

const here = dirname(fileURLToPath(import.meta.url));
const main = join(here, '..', '..', 'src', 'cli', 'main.ts');
const loader = join(here, '..', 'io', 'typescript-loader.mjs');

const command = (argv: readonly string[]): readonly [string, readonly string[]] => {
  const { Deno } = globalThis as { Deno?: { execPath: () => string } };
  return Deno === undefined
    ? [process.execPath, ['--no-warnings', '--import', loader, main, ...argv]]
    : [Deno.execPath(), ['run', '-A', main, ...argv]];
};

export interface Process {
  readonly child: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;
}

/** Starts the program as a process of its own. */
export const start = (argv: readonly string[]): Process => started(...command(argv));

/** The same, where no file may grow beyond so many KiB: what is written past it fails, as on a full disk. */
export const startCramped = (argv: readonly string[], kibibytes: number): Process => {
  const [program, args] = command(argv);
  return started('bash', ['-c', `trap '' XFSZ; ulimit -f ${kibibytes}; exec "$@"`, 'bash', program, ...args]);
};

/** The same in a process group of its own, as a terminal starts it. */
export const startInGroup = (argv: readonly string[]): Process => started(...command(argv), true);

const started = (program: string, args: readonly string[], detached = false): Process => {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  return { child, ended };
};

/** A folder that goes when the tests of the file end. */
export const temporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'paca-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};

/** Settings with which a run takes a moment. */
export const quick: readonly string[] =
  '--steps 12 --pretrain-steps 10 --eval-every 5 --checkpoint-every 4 --rank 4'.split(' ');

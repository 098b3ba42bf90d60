/** The program `paca` as a process of its own, so that its peak memory is that of the one thing it does. */
import { spawnSync } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));

/** What the command prints with `--json`. */
export const runProgram = <A>(argv: readonly string[]): A => {
  const { status, stdout, error } = spawnSync(process.execPath, [program, ...argv, '--json'], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  if (error !== undefined || status !== 0) throw error ?? new Error(`paca ${argv.join(' ')} ended with ${status}`);
  return JSON.parse(stdout) as A;
};

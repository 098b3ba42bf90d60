/** Runs that are stopped, killed and gone on with; folders that hold a run. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { call, quick, start, temporaryFolder } from './program.ts';

const folder = temporaryFolder();
const settings = [
  '--steps',
  '60',
  '--pretrain-steps',
  '10',
  '--eval-every',
  '20',
  '--checkpoint-every',
  '10',
  '--rank',
  '4',
];

interface Logged {
  readonly kind: string;
  readonly step: number;
}

const eventsOf = (run: string): readonly Logged[] => {
  const path = join(run, 'events.jsonl');
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  return lines.map((line) => JSON.parse(line) as Logged);
};

const until = async (holds: () => boolean): Promise<void> => {
  const deadline = Date.now() + 60_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('waited for a minute');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
};

const reached = (run: string, step: number) => (): boolean => (eventsOf(run).at(-1)?.step ?? 0) >= step;

const digestOf = async (run: string, ...flags: readonly string[]): Promise<string> => {
  const { output, error } = await call(['finetune', '--run', run, ...settings, ...flags, '--json']);
  expect(error).toBeNull();
  return JSON.parse(output).digest;
};

const stepsOf = (run: string): readonly number[] =>
  eventsOf(run).flatMap(({ kind, step }) => (kind === 'step' ? [step] : []));

const everyStep = Array.from({ length: 60 }, (_, i) => i + 1);
const whole = digestOf(join(folder, 'whole'));

it('a run that was killed and gone on with ends with the bits of one that was not', async () => {
  const expected = await whole;
  const run = join(folder, 'killed');
  for (const [flags, step] of [
    [[], 13],
    [['--resume'], 34],
  ] as const) {
    const { child, ended } = start(['finetune', '--run', run, ...settings, ...flags]);
    await until(reached(run, step));
    child.kill('SIGKILL');
    await ended;
  }
  expect(await digestOf(run, '--resume')).toBe(expected);
  expect(stepsOf(run)).toEqual(everyStep);
}, 120_000);

it('Ctrl-C saves, says how to go on, and ends with 1', async () => {
  const expected = await whole;
  const run = join(folder, 'stopped');
  const { child, ended } = start(['finetune', '--run', run, ...settings]);
  await until(reached(run, 5));
  // Not child.kill, after which Deno tells no exit code.
  process.kill(child.pid!, 'SIGINT');
  const { code, stdout, stderr } = await ended;
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).toContain(`--run ${run} --resume`);
  expect(
    eventsOf(run)
      .slice(-2)
      .map(({ kind }) => kind),
  ).toEqual(['checkpoint', 'interrupted']);
  expect(await digestOf(run, '--resume')).toBe(expected);
  expect(stepsOf(run)).toEqual(everyStep);
}, 120_000);

it('a folder that holds a run is not touched', async () => {
  await whole;
  const run = join(folder, 'whole');
  const before = readFileSync(join(run, 'config.json'), 'utf8');
  const again = await call(['finetune', '--run', run, ...settings]);
  expect(again.error).toMatchObject({ tag: 'FileError', expected: 'a new folder, or --resume to go on' });
  const other = await call(['finetune', '--run', run, ...quick, '--resume']);
  expect(other.error).toMatchObject({ tag: 'FileError', came: 'a run of other settings or input' });
  expect(readFileSync(join(run, 'config.json'), 'utf8')).toBe(before);
  expect(stepsOf(run)).toEqual(everyStep);
}, 60_000);

it('a finished run that is resumed stays as it is', async () => {
  const expected = await whole;
  expect(await digestOf(join(folder, 'whole'), '--resume')).toBe(expected);
}, 60_000);

it('a checkpoint that was cut is refused by name, and stays', async () => {
  await whole;
  const { truncateSync, cpSync } = await import('node:fs');
  const run = join(folder, 'cut');
  cpSync(join(folder, 'whole'), run, { recursive: true });
  const path = join(run, 'checkpoint', 'state.safetensors');
  truncateSync(path, 100);
  const { error } = await call(['finetune', '--run', run, ...settings, '--resume']);
  expect(error).toMatchObject({ tag: 'FileError' });
  expect(error?.where).toContain('checkpoint/state.safetensors');
  expect(readFileSync(path).length).toBe(100);
}, 60_000);

it('flags win over the file', async () => {
  const { output } = await call(['finetune', join(folder, 'none.yaml'), '--dry-run']);
  expect(output).toBe('');
  const { writeFileSync } = await import('node:fs');
  const path = join(folder, 'config.yaml');
  writeFileSync(path, 'rank: 8\nsteps: 7\ntargetModules: [layers.0]\n');
  const { settings: resolved } = JSON.parse((await call(['finetune', path, '--rank', '3', '--dry-run'])).output);
  expect(resolved).toMatchObject({ rank: 3, alpha: 3, steps: 7, targetModules: ['layers.0'] });
});

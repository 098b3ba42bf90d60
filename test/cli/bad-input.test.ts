/** Whatever is wrong with the input is said in one line, with the place, before anything is written. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { call, quick, start, temporaryFolder } from './program.ts';

const folder = temporaryFolder();
const run = join(folder, 'never');

const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('paca finetune refuses', () => {
  it.each<[string, readonly string[], string, string]>([
    ['a misspelt flag', ['--rnak', '8'], "'--rnak'", 'arguments'],
    ['a flag twice', ['--rank', '8', '--rank', '9'], 'twice', 'arguments'],
    ['a flag without its value', ['--rank'], 'nothing', 'arguments'],
    ['a value for a switch', ['--resume=yes'], "'--resume=yes'", 'arguments'],
    ['a word for a number', ['--rank', 'many'], '"many"', 'rank'],
    ['a fraction for a count', ['--steps', '1.5'], '1.5', 'steps'],
    ['a negative learning rate', ['--learning-rate', '-1'], '-1', 'learningRate'],
    ['an unknown method', ['--method', 'pacca'], '"pacca"', 'method'],
    ['an unknown selection', ['--select', 'largest'], '"largest"', 'select'],
    ['PaCA options with full fine-tuning', ['--method', 'full', '--rank', '8'], '8', 'arguments'],
    ['momentum without its optimizer', ['--momentum', '0.5'], '0.5', 'arguments'],
    ['degrees without a rotation', ['--shift', 'invert', '--degrees', '5'], '5', 'arguments'],
    ['a seed for a selection that draws no lots', ['--select', 'weight-norm', '--select-seed', '5'], '5', 'arguments'],
    ['a warm-up longer than the run', ['--warm-up-steps', '500'], '500', 'warmUpSteps'],
    ['calibration without gradients', ['--calibration-batches', '5'], '5', 'arguments'],
    ['a rank above the columns', ['--rank', '100'], '100', 'layers.2'],
    ['a pattern that matches nothing', ['--target-modules', '[q_proj]'], 'q_proj', 'targetModules'],
    ['a pattern that is no expression', ['--target-modules', '"("'], '(', 'targetModules'],
    [
      'decay to zero with s ≠ 1',
      ['--decay', '0.1', '--decay-towards', 'zero', '--rank', '4', '--alpha', '8'],
      's = 2',
      'layers.0',
    ],
    ['an unknown backend', ['--backend', 'cuda'], "'cuda'", 'backend'],
    ['a backend that is planned', ['--backend', 'webgpu'], 'planned', 'backend'],
    ['threads that the backend has not', ['--backend', 'reference', '--threads', '2'], '2', 'threads'],
    ['more threads than it can have', ['--threads', '65'], '65', 'threads'],
    ['two config files', ['a.yaml', 'b.yaml'], 'b.yaml', 'arguments'],
    ['a config file that is not there', [join(folder, 'none.yaml')], 'ENOENT', 'none.yaml'],
    ['nothing to resume', ['--resume'], 'none', 'never'],
  ])('%s', async (_, flags, came, where) => {
    const given = (i: number): boolean => flags.includes(quick[i - (i % 2)]!);
    const isFull = flags.includes('full');
    const others = quick.filter((_, i) => !given(i) && !(isFull && quick[i - (i % 2)] === '--rank'));
    const { error, output } = await call(['finetune', '--run', run, ...others, ...flags]);
    expect(error?.came).toContain(came);
    expect(error?.where).toContain(where);
    expect(output).toBe('');
  });

  it.each([
    ['a misspelt key', 'rnak: 8\n', "'rnak'"],
    ['a list', '- 8\n', '[8]'],
    ['no YAML', 'rank: [8\n', 'Flow sequence'],
    ['an empty file', '', 'null'],
    ['a key twice', 'rank: 8\nrank: 9\n', 'unique'],
  ])('a config with %s, and names the file', async (_, text, came) => {
    const path = file('config.yaml', text);
    const { error } = await call(['finetune', path, '--run', run]);
    expect(error?.tag).toBe('ConfigError');
    expect(error?.came).toContain(came);
    expect(error?.where).toContain('config.yaml');
  });

  it('a run below a file', async () => {
    const blocked = join(file('a-file', 'text'), 'run');
    const { error } = await call(['finetune', '--run', blocked, ...quick]);
    expect(error).toMatchObject({ tag: 'FileError' });
    expect(`${error?.came} ${error?.where}`).toMatch(/ENOTDIR|EEXIST|not a directory/i);
  });

  it('and writes nothing of a run whose settings are wrong', () => {
    expect(existsSync(run)).toBe(false);
  });
});

describe('other commands refuse', () => {
  it.each<[string, readonly string[], string]>([
    ['vectors without an action', ['vectors'], "''"],
    ['vectors with two actions', ['vectors', 'verify', 'generate'], 'generate'],
    ['generating from a backend', ['vectors', 'generate', '--backend', 'reference'], '--backend'],
    ['verifying an unknown backend', ['vectors', 'verify', '--backend', 'none'], "'none'"],
    ['compare with an unknown method', ['compare', '--methods', '[dora]'], '"dora"'],
    ['compare with a flag of finetune', ['compare', '--select', 'random'], "'--select'"],
    ['doctor with a flag', ['doctor', '--verbose'], "'--verbose'"],
  ])('%s', async (_, argv, came) => {
    expect((await call(argv)).error?.came).toContain(came);
  });
});

describe('the process', () => {
  it.each<[readonly string[], number, RegExp]>([
    [['finetune', '--rnak', '3'], 2, /^paca: ConfigError in arguments: expected one of .*got '--rnak'\n$/],
    [['fly'], 2, /^paca: expected one of doctor, vectors, [a-z, -]+, got 'fly'\n$/],
  ])('paca %j ends with %d and says why on stderr alone', async (argv, code, message) => {
    const result = await start(argv).ended;
    expect(result).toMatchObject({ code, stdout: '' });
    expect(result.stderr).toMatch(message);
  });

  it('shows its help', async () => {
    const { code, stdout } = await start(['finetune', '--help']).ended;
    expect(code).toBe(0);
    expect(stdout).toContain('--learning-rate');
  });
});

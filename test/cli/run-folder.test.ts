/** What a run finds in its folder, and what it leaves there. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeSafetensors } from '../../src/io/safetensors.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { call, quick, temporaryFolder } from './program.ts';

const folder = temporaryFolder();

const finetune = (run: string, ...flags: readonly string[]) => call(['finetune', '--run', run, ...quick, ...flags]);

const linesOf = (run: string): readonly { readonly kind: string; readonly step: number }[] =>
  readFileSync(join(run, 'events.jsonl'), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));

/** Every file below a folder, as text. */
const contentOf = (path: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    readdirSync(path, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'latin1')]),
  );

const original = join(folder, 'whole');
const whole = finetune(original, '--json').then(({ output }) => JSON.parse(output));

const copy = async (name: string): Promise<string> => {
  await whole;
  cpSync(original, join(folder, name), { recursive: true });
  return join(folder, name);
};

describe('a folder without a run', () => {
  it.each(['base', 'checkpoint', 'adapter'])('that holds a folder %s of someone else is not touched', async (name) => {
    const run = join(folder, `with-${name}`);
    mkdirSync(join(run, name), { recursive: true });
    writeFileSync(join(run, name, 'model.safetensors'), 'precious');
    const before = contentOf(run);
    const { error } = await finetune(run);
    expect(error).toMatchObject({ tag: 'FileError', came: name, where: run });
    expect(contentOf(run)).toEqual(before);
  });

  it.each(['events.jsonl', 'loss.svg'])('that holds a file %s of someone else is not touched', async (name) => {
    const run = join(folder, `with-${name}`);
    mkdirSync(run);
    writeFileSync(join(run, name), 'precious');
    const { error } = await finetune(run);
    expect(error).toMatchObject({ tag: 'FileError', came: name, where: run });
    expect(readdirSync(run)).toEqual([name]);
  });

  it('may hold other things: the config of the run, notes', async () => {
    const run = join(folder, 'with-config');
    mkdirSync(run);
    writeFileSync(join(run, 'my.yaml'), 'rank: 3\n');
    const { output, error } = await call(['finetune', join(run, 'my.yaml'), '--run', run, ...quick, '--json']);
    expect(error).toBeNull();
    expect(JSON.parse(output).digest).toBe((await whole).digest);
    expect(readFileSync(join(run, 'my.yaml'), 'utf8')).toBe('rank: 3\n');
  });

  it('may have any name', async () => {
    for (const name of ['2024', 'a: b', '#1']) {
      const { error } = await finetune(join(folder, name), '--dry-run');
      expect(error).toBeNull();
    }
    const { output } = await finetune(join(folder, '2024'), '--json');
    expect(JSON.parse(output).run).toBe(join(folder, '2024'));
  });

  it('that is a file is an error', async () => {
    const path = join(folder, 'a-file');
    writeFileSync(path, 'text');
    const { error } = await finetune(path);
    expect(error).toMatchObject({ tag: 'FileError', where: path });
    expect(readFileSync(path, 'utf8')).toBe('text');
  });
});

describe('a run that is gone on with', () => {
  it.each([
    ['config.json', 30, 'config.json'],
    ['base/model.safetensors', 1000, 'base/model.safetensors'],
    ['checkpoint/state.json', 20, 'checkpoint/state.json'],
    ['checkpoint/state.safetensors', 700, 'checkpoint/state.safetensors'],
  ])('is refused where %s was cut, and nothing changes', async (file, length, where) => {
    const run = await copy(`cut-${where.replace('/', '-')}`);
    truncateSync(join(run, file), length);
    const before = contentOf(run);
    const { error, output } = await finetune(run, '--resume', '--json');
    expect(error?.tag).toBe('FileError');
    expect(error?.where).toContain(where);
    expect(output).toBe('');
    expect(contentOf(run)).toEqual(before);
  });

  it('is refused where a number of its checkpoint was changed', async () => {
    const run = await copy('changed');
    const path = join(run, 'checkpoint', 'state.safetensors');
    const bytes = readFileSync(path);
    bytes[bytes.length - 3]! ^= 1;
    writeFileSync(path, bytes);
    expect((await finetune(run, '--resume')).error).toMatchObject({ tag: 'FileError', where: 'checkpoint' });
  });

  it('mends a log whose last line was cut, and tells each event once', async () => {
    const run = await copy('torn');
    const events = join(run, 'events.jsonl');
    const lines = linesOf(run);
    truncateSync(events, readFileSync(events).length - 5);
    for (let again = 0; again < 2; again++) {
      const { output } = await finetune(run, '--resume', '--json');
      const { ms: _, ...selection } = (await whole).selection;
      expect(JSON.parse(output)).toMatchObject({ digest: (await whole).digest, loss: (await whole).loss, selection });
      expect(linesOf(run)).toEqual(lines);
    }
  });

  it('may look up and save more often than before, and ends with the same bits', async () => {
    const run = await copy('oftener');
    const { output, error } = await finetune(run, '--resume', '--json');
    expect(error).toBeNull();
    const oftener = quick.map((word) => (word === '5' || word === '4' ? '2' : word));
    const flags = oftener.filter((_, i) => !['--rank'].includes(oftener[i - (i % 2)]!));
    const more = await call(['finetune', '--run', run, ...flags, '--rank', '4', '--resume', '--json']);
    expect(JSON.parse(more.output).digest).toBe(JSON.parse(output).digest);
  });

  it('says that its result is no number, and writes no adapter of it', async () => {
    const run = join(folder, 'broken');
    const flags = ['--steps', '1', '--pretrain-steps', '3', '--learning-rate', '1e38', '--json'];
    for (const more of [[], ['--resume']]) {
      const { error, output } = await call(['finetune', '--run', run, ...flags, ...more]);
      expect(error).toMatchObject({ tag: 'NonFiniteError', expected: 'a finite loss' });
      expect(output).toBe('');
    }
    expect(existsSync(join(run, 'adapter'))).toBe(false);
  });
});

it('selectSeed alone decides which columns are drawn', async () => {
  const indicesOf = async (...flags: readonly string[]): Promise<unknown> => {
    const { output } = await finetune(join(folder, `indices ${flags.join(' ')}`), '--json', ...flags);
    const path = join(JSON.parse(output).adapter, 'adapter_model.safetensors');
    const { tensors } = orThrow(decodeSafetensors(readFileSync(path), path));
    const indices = Object.entries(tensors).filter(([name]) => name.endsWith('paca_indices'));
    return Object.fromEntries(indices.map(([name, { data }]) => [name, [...data].map(Number)]));
  };
  const first = await indicesOf();
  expect(Object.keys(first as object).length).toBe(3);
  expect(await indicesOf('--data-seed', '7')).toEqual(first);
  expect(await indicesOf('--seed', '7')).toEqual(first);
  expect(await indicesOf('--select-seed', '7')).not.toEqual(first);
});

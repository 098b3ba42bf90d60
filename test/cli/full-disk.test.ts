/**
 * Runs of a language model whose disk is full, or whose folder can't be written: a clear error, an exit code that is not 0, and
 * the last checkpoint whole, from which the run ends with the bits of one that was never disturbed.
 */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import process from 'node:process';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type * as filesNode from '../../src/io/files-node.ts';
import { tinyBase } from '../support/tiny-base.ts';
import { type Called, call, startCramped, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

/** Which writes find the disk full; each write is a file's path. */
const disk = vi.hoisted(() => ({ isFull: (_: string): boolean => false }));

vi.mock('../../src/io/files-node.ts', async (original) => {
  const real = await original<typeof filesNode>();
  /** Half of the bytes, and then no more. */
  const orFull =
    (write: typeof real.writeFlushed): typeof real.writeFlushed =>
    async (fs, path, bytes) => {
      if (!disk.isFull(path)) return write(fs, path, bytes);
      await write(fs, path, bytes.subarray(0, bytes.length / 2));
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    };
  return { ...real, writeFlushed: orFull(real.writeFlushed), appendTo: orFull(real.appendTo) };
});

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = tinyBase(at('base'));
const data = writeData(at('data.jsonl'), 40);
const flags = ['--base', base, '--data', data, '--batch-size', '4', '--rank', '2', '--max-length', '32'];
const short = [...flags, '--steps', '12', '--eval-every', '5', '--checkpoint-every', '4'];

beforeEach(() => {
  disk.isFull = () => false;
});

const tune = (name: string, given: readonly string[], ...more: readonly string[]): Promise<Called> =>
  call(['finetune', ...given, '--run', at(name), ...more, '--json']);

const digestOf = ({ error, output }: Called): string => {
  expect(error).toBeNull();
  return JSON.parse(output).digest;
};

const whole = tune('whole', short).then(digestOf);

/** The step of the checkpoint in a run's folder; null for none. */
const savedStep = (name: string): number | null => {
  const path = join(at(name), 'checkpoint');
  if (!existsSync(path)) return null;
  const json = readdirSync(path).find((file) => file.endsWith('.json'))!;
  return JSON.parse(readFileSync(join(path, json), 'utf8')).step;
};

const leftovers = (name: string): readonly string[] =>
  readdirSync(at(name)).filter((entry) => entry.startsWith('.paca'));

/** The nth write to a file of this name finds the disk full. */
const fullAt = (file: string, n: number): void => {
  let writes = 0;
  disk.isFull = (path) => path.split(sep).at(-1) === file && ++writes === n;
};

/** The first write while a folder of this name is there finds it full, if it is to a temporary name. */
const fullAfter = (name: string, file: string): void => {
  disk.isFull = (path) => path.includes('.paca-tmp-') && existsSync(join(at(name), file));
};

describe('a disk that is full', () => {
  it.each<[string, string, number, number | null]>([
    ['at the first checkpoint', 'state.safetensors', 1, null],
    ['at the second checkpoint', 'state.safetensors', 2, 4],
    ['in the log', 'events.jsonl', 7, 4],
    ['at the adapter', 'adapter_model.safetensors', 1, 12],
  ])('%s', async (name, file, n, step) => {
    const expected = await whole;
    fullAt(file, n);
    const { error, output } = await tune(name, short);
    expect(output).toBe('');
    expect(error).toMatchObject({ tag: 'FileError', came: expect.stringContaining('ENOSPC: no space left on device') });
    expect(error?.came).toContain(`--run ${at(name)} --resume`);
    expect(savedStep(name)).toBe(step);
    expect(leftovers(name)).toEqual([]);
    disk.isFull = () => false;
    expect(digestOf(await tune(name, short, '--resume'))).toBe(expected);
  });

  it('at the curve and the report, which come last', async () => {
    const expected = await whole;
    fullAfter('curve', 'adapter');
    expect((await tune('curve', short)).error?.where).toContain('loss.svg');
    fullAfter('curve', 'loss.svg');
    expect((await tune('curve', short, '--resume')).error?.came).toContain('ENOSPC');
    disk.isFull = () => false;
    expect(digestOf(await tune('curve', short, '--resume'))).toBe(expected);
  });

  it('when a run is taken up again: its log and its checkpoint stay', async () => {
    const expected = await whole;
    fullAt('state.safetensors', 2);
    await tune('again', short);
    const log = readFileSync(join(at('again'), 'events.jsonl'), 'utf8');
    disk.isFull = () => true;
    expect((await tune('again', short, '--resume')).error?.came).toContain('ENOSPC');
    expect(readFileSync(join(at('again'), 'events.jsonl'), 'utf8')).toBe(log);
    expect(savedStep('again')).toBe(4);
    disk.isFull = () => false;
    expect(digestOf(await tune('again', short, '--resume'))).toBe(expected);
  });

  it('before anything: no run is left that could be taken for one', async () => {
    disk.isFull = () => true;
    const { error } = await tune('nothing', short);
    expect(error?.came).toBe('ENOSPC: no space left on device');
    expect(readdirSync(at('nothing'))).toEqual([]);
    disk.isFull = () => false;
    expect(digestOf(await tune('nothing', short))).toBe(await whole);
  });
});

describe('a process whose files may not grow', () => {
  const long = [...flags, '--steps', '160', '--eval-every', '20', '--checkpoint-every', '5'];

  it('ends with the error and 2, and what it had saved is gone on with', async () => {
    const expected = digestOf(await tune('long', long));
    const sizeOf = (...path: readonly string[]): number => statSync(join(at('long'), ...path)).size;
    // The log is cut about half-way; checkpoints fit.
    const limit = Math.floor(sizeOf('events.jsonl') / 2 / 1024);
    expect(sizeOf('checkpoint', 'state.safetensors')).toBeLessThan(1024 * limit);
    const { code, stdout, stderr } = await startCramped(['finetune', ...long, '--run', at('cramped')], limit).ended;
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toMatch(/FileError in .*cramped.*EFBIG.*--resume goes on/);
    const step = savedStep('cramped');
    expect(step).toBeGreaterThan(0);
    expect(step).toBeLessThan(160);
    expect(digestOf(await tune('cramped', long, '--resume'))).toBe(expected);
  }, 120_000);
});

describe('a folder that can’t be written', () => {
  it.each<[string, () => string, RegExp]>([
    ['below a file', () => join(data, 'run'), /ENOTDIR|EEXIST/],
    ['where the system has none', () => '/proc/paca-run', /ENOENT|EACCES|EPERM|ENOTSUP/],
  ])('%s', async (_, run, reason) => {
    const { error } = await call(['finetune', ...short, '--run', run()]);
    expect(error).toMatchObject({ tag: 'FileError', came: expect.stringMatching(reason) });
  });

  // To root the system refuses no folder; the other cases of this table hold for root too.
  it.skipIf(process.getuid?.() === 0)('for want of the right to', async () => {
    mkdirSync(at('locked'));
    chmodSync(at('locked'), 0o555);
    expect((await tune('locked', short)).error?.came).toContain('EACCES');
  });

  it('as something else has a name that the run wants', async () => {
    mkdirSync(at('taken'));
    writeFileSync(join(at('taken'), 'checkpoint'), 'not ours');
    expect((await tune('taken', short)).error).toMatchObject({ tag: 'FileError', came: 'checkpoint' });
    expect(readFileSync(join(at('taken'), 'checkpoint'), 'utf8')).toBe('not ours');
  });
});

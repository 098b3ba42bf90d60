/** `paca select`: what it prints of the choices, that they are those of a run, what it refuses. */
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { readAdapter } from '../../src/io/adapter.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import { selectors } from '../../src/select/selector.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { tinyBase } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

const folder = temporaryFolder();
const base = tinyBase(join(folder, 'base'));
const data = writeData(join(folder, 'train.jsonl'), 40);
const flags = ['--base', base, '--data', data, '--batch-size', '4', '--max-length', '32'];
const rank = ['--rank', '2'];

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const schema = v.object({
  model: v.literal(base),
  rank: v.literal(2),
  overlapByChance: share,
  strategies: v.array(
    v.object({
      name: v.picklist(Object.keys(selectors)),
      seed: v.nullable(v.number()),
      ms: v.number(),
      peakBytes: v.number(),
      batches: v.number(),
      overlap: v.record(v.string(), share),
      gradientShare: share,
      columns: v.record(v.string(), v.array(v.number())),
    }),
  ),
});

type Report = v.InferOutput<typeof schema>;

const report = async (...more: readonly string[]): Promise<Report> => {
  const { output, error } = await call(['select', ...flags, ...rank, ...more, '--json']);
  expect(error).toBeNull();
  return v.parse(schema, JSON.parse(output));
};

it('paca select refuses sequences longer than the base allows', async () => {
  const { error } = await call(['select', '--base', base, '--data', data, '--rank', '2', '--max-length', '65']);
  expect(error?.expected).toBe('a maxLength of at most 64 tokens');
});

describe('paca select', () => {
  it('runs every strategy once, those by lot with several seeds, and says what each costs', async () => {
    const { strategies } = await report('--seeds', '3', '--calibration-batches', '2');
    expect(strategies.map(({ name, seed }) => `${name} ${seed}`)).toEqual([
      ...['random 0', 'random 1', 'random 2'],
      ...Object.keys(selectors).flatMap((name) => (name === 'random' ? [] : [`${name} null`])),
    ]);
    for (const { name, batches, peakBytes } of strategies) {
      expect(batches).toBe(name.startsWith('gradient') ? 2 : 0);
      if (name.startsWith('gradient')) expect(peakBytes).toBeGreaterThan(0);
    }
  });

  it('says what choices share and capture: the largest gradients the most, the smallest the least', async () => {
    const { strategies } = await report();
    const shares = new Map(strategies.map((s) => [s.seed === null ? s.name : `${s.name} ${s.seed}`, s]));
    for (const [label, { overlap, gradientShare }] of shares) {
      expect(overlap[label]).toBe(1);
      expect(gradientShare).toBeLessThanOrEqual(shares.get('gradient')!.gradientShare);
      expect(gradientShare).toBeGreaterThanOrEqual(shares.get('gradient-smallest')!.gradientShare);
      for (const [other, value] of Object.entries(overlap)) expect(shares.get(other)!.overlap[label]).toBe(value);
    }
    expect(shares.get('gradient')!.overlap['gradient-smallest']).toBe(0);
  });

  it('chooses what a run with the same settings trains', async () => {
    const run = join(folder, 'run');
    const flagsOfRun = [...flags, ...rank, '--select', 'gradient', '--steps', '2', '--run', run, '--json'];
    expect((await call(['finetune', ...flagsOfRun])).error).toBeNull();
    const { adapter } = orThrow(await readAdapter(nodeSource(join(run, 'adapter')), run));
    const trained = Object.entries(adapter.modules).map(([path, module]) => [
      path,
      [...(module as { indices: Int32Array }).indices],
    ]);
    const { strategies } = await report('--selects', '[gradient]');
    expect(strategies.map(({ columns }) => columns)).toEqual([Object.fromEntries(trained)]);
  });

  it('shows tables', async () => {
    const { output } = await call([
      'select',
      ...flags,
      ...rank,
      '--selects',
      '[random, weight-norm]',
      '--calibration-batches',
      '1',
    ]);
    expect(output).toContain('(3) weight-norm');
    expect(output).toMatch(/Two draws by lot share \d+\.\d% in the mean\./);
  });

  it.each([
    [['--selects', '[largest]'], /selects/],
    [['--selects', '[]'], /selects/],
    [['--seeds', '0'], /seeds/],
    [['--rank', '1000'], /a rank between 1 and the/],
    [['--nonsense', '1'], /nonsense/],
  ] as const)('refuses %j', async (more, message) => {
    const { error } = await call(['select', ...flags, ...more]);
    expect(error).not.toBeNull();
    expect(JSON.stringify(error)).toMatch(message);
  });
});

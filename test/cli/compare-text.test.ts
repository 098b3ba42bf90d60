/** `paca compare` of language models, on a tiny base: its rows, its folder, that it goes on where it was stopped. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { tinyBase } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

const folder = temporaryFolder();
const base = tinyBase(join(folder, 'base'));
const [data, test] = [writeData(join(folder, 'train.jsonl'), 40), writeData(join(folder, 'test.jsonl'), 8)];
const ownText = join(folder, 'own.jsonl');
writeFileSync(ownText, `${JSON.stringify({ text: 'ham and spam' })}\n`);

const config = join(folder, 'compare.json');
const settings = {
  ...{ base, maxLength: 32, batchSize: 4, rank: 2, steps: 4, evalEvery: 2, threads: 1 },
  tasks: [
    { name: 'mail', data, test, choices: [' spam', ' ham'], ownText },
    { name: 'plain', data, validation: 0.2 },
  ],
  ...{
    methods: ['none', 'paca', 'lora', 'nf4', 'qpaca'],
    selects: ['random'],
    seeds: 2,
    rateFactors: [1, 2],
    match: 'trainable',
  },
};
writeFileSync(config, JSON.stringify(settings));
const run = join(folder, 'run');

const mean = v.strictObject({ mean: v.number(), spread: v.nullable(v.number()) });
const schema = v.strictObject({
  task: v.literal('text'),
  rows: v.array(
    v.strictObject({
      ...{ task: v.string(), name: v.string(), method: v.string(), select: v.nullable(v.string()) },
      ...{ rank: v.nullable(v.number()), trainable: v.number(), before: v.nullable(v.number()) },
      ...{ after: v.nullable(mean), valLoss: mean, forgetting: v.nullable(mean) },
      residualBytes: v.nullable(v.strictObject({ accounted: v.number(), measured: v.number() })),
      ...{ peakBytes: v.nullable(v.number()), msPerStep: v.nullable(v.number()) },
      ...{ tokensPerSecond: v.nullable(v.number()), adapterBytes: v.nullable(v.number()), seeds: v.array(v.number()) },
      ...{ stepsToTarget: v.nullable(mean), secondsToTarget: v.nullable(mean) },
      selection: v.nullable(v.object({ ms: v.number(), peakBytes: v.number(), batches: v.number() })),
      settings: v.record(v.string(), v.unknown()),
    }),
  ),
});

describe('paca compare of language models', () => {
  it('runs every contestant on every task, and leaves rows and a page', async () => {
    const { output, error } = await call(['compare', config, '--run', run, '--json']);
    expect(error).toBeNull();
    const { rows } = v.parse(schema, JSON.parse(output));
    expect(rows.map(({ task, name }) => `${task}: ${name}`)).toEqual(
      ['mail', 'plain'].flatMap((task) =>
        ['none', 'nf4', 'paca, random', 'lora', 'qpaca, random'].map((name) => `${task}: ${name}`),
      ),
    );
    const [none, nf4, paca, lora, qpaca] = rows;
    expect(none).toMatchObject({ trainable: 0, valLoss: { spread: null }, forgetting: { mean: 0 } });
    expect(nf4).toMatchObject({ trainable: 0, forgetting: { mean: expect.any(Number) } });
    expect(nf4!.valLoss.mean).not.toBe(none!.valLoss.mean);
    expect(qpaca).toMatchObject({ before: nf4!.before, trainable: paca!.trainable, rank: paca!.rank });
    for (const row of [paca!, lora!]) {
      expect(row.seeds).toEqual([0, 1]);
      expect(row.residualBytes!.measured).toBe(row.residualBytes!.accounted);
      expect(row.before).toBe(none!.before);
      expect(row.after!.spread).not.toBeNull();
      expect(row.forgetting!.mean).not.toBe(0);
      expect(row.peakBytes).toBeGreaterThan(row.residualBytes!.measured);
    }
    expect(Math.abs(paca!.trainable / lora!.trainable - 1)).toBeLessThan(0.2);
    expect(paca!.rank).toBeGreaterThan(lora!.rank!);
    expect(paca!.adapterBytes).toBe(adapterBytes('mail.paca-random.x1.seed0'));
    expect(rows[5]).toMatchObject({ before: null, after: null, forgetting: null });
    expect(JSON.parse(readFileSync(join(run, 'compare.json'), 'utf8'))).toEqual(JSON.parse(output));
    expect(readFileSync(join(run, 'report.html'), 'utf8')).toContain('<h2>plain</h2>');
  }, 180_000);

  const adapterBytes = (trial: string): number => {
    const adapter = join(run, trial, 'adapter');
    return readdirSync(adapter).reduce((sum, name) => sum + statSync(join(adapter, name)).size, 0);
  };

  it('goes on where it was stopped: what is done is not run again, and the figures are the same', async () => {
    const before = JSON.parse(readFileSync(join(run, 'compare.json'), 'utf8'));
    const [first, last] = ['mail.lora.x1.seed0', 'plain.lora.x2.seed0'];
    const time = statSync(join(run, `${first}.result.json`)).mtimeMs;
    for (const name of [`${last}.result.json`, 'compare.json']) rmSync(join(run, name));
    const { output, error } = await call(['compare', config, '--run', run, '--resume', '--json']);
    expect(error).toBeNull();
    expect(statSync(join(run, `${first}.result.json`)).mtimeMs).toBe(time);
    expect(existsSync(join(run, `${last}.result.json`))).toBe(true);
    const results = (rows: { rows: { valLoss: unknown; after: unknown }[] }): unknown =>
      rows.rows.map(({ valLoss, after }) => [valLoss, after]);
    expect(results(JSON.parse(output))).toEqual(results(before));
  }, 60_000);

  it.each([
    [['--run', run], 'a new folder, or --resume to go on'],
    [['--run', run, '--resume', '--seeds', '3'], 'a run of other settings'],
    [['--run', join(folder, 'other'), '--methods', '[none]'], "over the base of 'none'"],
    [['--run', join(folder, 'other'), '--validation', '0'], 'validation'],
  ])('refuses %j', async (more, message) => {
    const { error } = await call(['compare', config, ...more]);
    expect(`expected ${error?.expected}, got ${error?.came} ${error?.where}`).toContain(message);
    expect(existsSync(join(folder, 'other'))).toBe(false);
  });

  it('says why a run failed', async () => {
    const missing = join(folder, 'none.jsonl');
    const argv = ['compare', '--base', base, '--data', missing, '--run', join(folder, 'failed'), '--methods', '[lora]'];
    const { error } = await call(argv);
    expect(error?.came).toContain('none.jsonl');
  }, 30_000);
});

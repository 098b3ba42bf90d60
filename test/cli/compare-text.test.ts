/** `paca compare` of language models, on a tiny base: its rows, its folder, that it goes on where it was stopped. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { tinyBase } from '../support/tiny-base.ts';
import { call, startInGroup, temporaryFolder } from './program.ts';
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
const point = v.tuple([v.number(), v.number()]);
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
      ...{ stepsToTarget: v.nullable(mean), secondsToTarget: v.nullable(mean), spikes: v.nullable(mean) },
      selection: v.nullable(v.object({ ms: v.number(), peakBytes: v.number(), batches: v.number() })),
      settings: v.record(v.string(), v.unknown()),
    }),
  ),
  curves: v.array(
    v.strictObject({ task: v.string(), name: v.string(), training: v.array(point), validation: v.array(point) }),
  ),
});

describe('paca compare of language models', () => {
  it('runs every contestant on every task, and leaves rows and a page', async () => {
    const { output, told, error } = await call(['compare', config, '--run', run, '--json']);
    expect(error).toBeNull();
    expect(told).toContain('paca: run task1-mail.paca-random.x1.seed0\n');
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
    expect(paca!.adapterBytes).toBe(adapterBytes('task1-mail.paca-random.x1.seed0'));
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
    const [first, last] = ['task1-mail.lora.x1.seed0', 'task2-plain.lora.x2.seed0'];
    const time = statSync(join(run, `${first}.result.json`)).mtimeMs;
    for (const name of [`${last}.result.json`, 'compare.json']) rmSync(join(run, name));
    const { output, told, error } = await call(['compare', config, '--run', run, '--resume', '--json']);
    expect(error).toBeNull();
    expect(told.match(/^paca: run .*$/gm)).toEqual([`paca: run ${last}`]);
    expect(statSync(join(run, `${first}.result.json`)).mtimeMs).toBe(time);
    expect(existsSync(join(run, `${last}.result.json`))).toBe(true);
    const results = (rows: { rows: { valLoss: unknown; after: unknown }[] }): unknown =>
      rows.rows.map(({ valLoss, after }) => [valLoss, after]);
    expect(results(JSON.parse(output))).toEqual(results(before));
  }, 60_000);

  const small = [
    '--base',
    base,
    '--max-length',
    '32',
    '--batch-size',
    '4',
    '--rank',
    '2',
    '--steps',
    '3',
    '--threads',
    '1',
  ];
  const quick = [...small, '--seeds', '1', '--selects', '[random]', '--methods', '[paca]'];
  const rowsOf = async (argv: readonly string[]): Promise<readonly { task: string; valLoss: { mean: number } }[]> => {
    const { output, error } = await call(['compare', ...argv, '--json']);
    expect(error).toBeNull();
    return v.parse(schema, JSON.parse(output)).rows;
  };

  it('keeps tasks apart whose names differ in marks alone', async () => {
    const other = writeData(join(folder, 'other.jsonl'), 60);
    const both = JSON.stringify([
      { name: 'é', data, validation: 0.2 },
      { name: 'ü', data: other, validation: 0.3 },
    ]);
    const rows = await rowsOf([...quick, '--tasks', both, '--rate-factors', '[1]', '--run', join(folder, 'marks')]);
    expect(rows.map(({ task }) => task)).toEqual(['é', 'ü']);
    expect(rows[0]!.valLoss.mean).not.toBe(rows[1]!.valLoss.mean);
  }, 60_000);

  it('goes by the learning rates with which the loss stays finite', async () => {
    const argv = [...quick, '--data', data, '--validation', '0.2', '--run', join(folder, 'far')];
    const rows = await rowsOf([...argv, '--rate-factors', '[1.0e+30, 1]', '--clip', 'null']);
    expect(Number.isFinite(rows[0]!.valLoss.mean)).toBe(true);
  }, 60_000);

  it('is not gone on with over data that changed', async () => {
    const changing = writeData(join(folder, 'changing.jsonl'), 40);
    const argv = [
      ...quick,
      '--data',
      changing,
      '--validation',
      '0.2',
      '--rate-factors',
      '[1]',
      '--run',
      join(folder, 'old'),
    ];
    await rowsOf(argv);
    writeData(changing, 44);
    const { error } = await call(['compare', ...argv, '--resume']);
    expect(error?.came).toBe('a run of other settings or input');
  }, 60_000);

  it('leaves out what has no effect on a method, and refuses what has none on any', async () => {
    const argv = [...small, '--data', data, '--validation', '0.2', '--rate-factors', '[1]', '--seeds', '1'];
    const shared = ['--lora-dropout', '0.1', '--run', join(folder, 'dropout')];
    const rows = await rowsOf([...argv, ...shared, '--methods', '[full, lora]']);
    expect(rows.length).toBe(2);
    const { error } = await call(['compare', ...argv, ...shared, '--methods', '[full]']);
    expect(error?.came).toBe("'rank'");
  }, 60_000);

  it('starts nothing more once it is stopped', async () => {
    const stopped = AbortSignal.abort();
    const argv = [
      ...quick,
      '--data',
      data,
      '--validation',
      '0.2',
      '--rate-factors',
      '[1]',
      '--run',
      join(folder, 'stopped'),
    ];
    const { error } = await call(['compare', ...argv], stopped);
    expect(error?.tag).toBe('Interrupted');
    expect(existsSync(join(folder, 'stopped', 'task1-task.paca-random.x1.seed0', 'events.jsonl'))).toBe(false);
  }, 60_000);

  it('when stopped by Ctrl-C saves where the run is, and goes on there', async () => {
    const long = quick.map((flag, i) => (quick[i - 1] === '--steps' ? '4000' : flag));
    const place = join(folder, 'ctrl-c');
    const given = ['compare', ...long, '--data', data, '--validation', '0.2', '--rate-factors', '[1]', '--run', place];
    const { child, ended } = startInGroup([...given, '--checkpoint-every', '4000', '--eval-every', '4000']);
    const trial = join(place, 'task1-task.paca-random.x1.seed0');
    const events = join(trial, 'events.jsonl');
    while (!existsSync(events) || readFileSync(events, 'utf8').split('\n').length < 20) {
      await new Promise((done) => setTimeout(done, 20));
    }
    process.kill(-child.pid!, 'SIGINT');
    const { code, stderr } = await ended;
    expect(code).not.toBe(0);
    expect(stderr).toContain(`--run ${place} --resume goes on`);
    expect(existsSync(join(trial, 'checkpoint'))).toBe(true);
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

  describe('refuses before the first run', () => {
    const bad = join(folder, 'bad.jsonl');
    writeFileSync(bad, `${JSON.stringify({ prompt: 'buy?', completion: ' spam' })}\n{`);
    const cut = join(folder, 'cut.jsonl');
    writeFileSync(cut, `${JSON.stringify({ prompt: 'buy '.repeat(100), completion: ' spam' })}\n`);
    const good = { name: 'mail', data, validation: 0.2 };

    it.each([
      ['a rank that a weight cannot give', { rank: 1000 }, {}, /^a rank between 1 and the \d+ columns/],
      ['data that are no JSON', {}, { data: bad }, /JSON/],
      ['a test whose answers are no choices', {}, { data, test, choices: [' yes', ' no'] }, /^one of ' yes', ' no'$/],
      ['text of the base that is none', {}, { data, ownText: bad }, /JSON/],
      ['a validation part without a sample', {}, { data, validation: cut }, /^a validation part/],
      ['a longer length than the base has places', { maxLength: 100_000 }, {}, /^a maxLength of at most/],
    ])('%s', async (_, shared, second, expected) => {
      const tasks = [good, { ...good, ...second, name: 'second' }];
      const place = join(folder, 'never');
      const file = join(folder, 'never.json');
      writeFileSync(file, JSON.stringify({ ...settings, ...shared, tasks }));
      const { error, told } = await call(['compare', file, '--run', place]);
      expect(error?.expected).toMatch(expected);
      expect(told).not.toContain('run task');
      expect(existsSync(place)).toBe(false);
    });
  });

  it('says why a run failed', async () => {
    const missing = join(folder, 'none.jsonl');
    const argv = ['compare', '--base', base, '--data', missing, '--run', join(folder, 'failed'), '--methods', '[lora]'];
    const { error } = await call(argv);
    expect(error?.came).toContain('none.jsonl');
  }, 30_000);
});

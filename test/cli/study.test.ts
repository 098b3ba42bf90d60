/** `paca study` on a tiny base: its figures beside those of the commands it is made of, its folder, that it goes on where it was stopped. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { gapOf } from '../../src/cli/study/gap.ts';
import { showError } from '../../src/spec/errors.ts';
import { tinyBase } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = tinyBase(at('base'));
const [data, test] = [writeData(at('train.jsonl'), 40), writeData(at('test.jsonl'), 8)];
const ownText = at('own.jsonl');
writeFileSync(ownText, `${JSON.stringify({ text: 'ham and spam' })}\n`);
const config = at('study.json');
writeFileSync(
  config,
  JSON.stringify({
    ...{ base, maxLength: 32, batchSize: 4, rank: 2, steps: 6, threads: 1, seeds: 1, rateFactors: [1] },
    tasks: [{ name: 'mail', data, test, choices: [' spam', ' ham'], ownText, validation: 0.2 }],
  }),
);
const run = at('run');

const mean = v.strictObject({ mean: v.number(), spread: v.nullable(v.number()) });
const figures = v.strictObject({ loss: mean, perplexity: mean, divergence: mean, right: v.nullable(mean) });
const gap = v.strictObject({
  ...{ before: v.number(), after: v.number(), recovered: v.nullable(v.number()), closed: v.nullable(v.number()) },
});
const cell = { base: v.picklist(['16-bit', 'nf4']), name: v.string(), merged: v.boolean() };
const error = { relative: v.number(), worstBlock: v.number() };
const schema = v.strictObject({
  tasks: v.array(
    v.strictObject({
      ...{ task: v.string(), weights: v.number(), bytes: v.number(), bits: v.number() },
      layers: v.array(
        v.strictObject({
          ...{ weight: v.string(), bits: v.number(), ...error },
          merged: v.record(v.string(), v.strictObject(error)),
        }),
      ),
      scores: v.array(v.strictObject({ ...cell, seeds: v.array(v.number()), onTest: figures, onText: figures })),
      gaps: v.array(v.strictObject({ ...cell, onTest: gap, onText: gap })),
    }),
  ),
});

const report = async (...argv: readonly string[]): Promise<Record<string, unknown>> => {
  const { output, error: failed } = await call([...argv, '--json']);
  expect(failed).toBeNull();
  return JSON.parse(output);
};

describe('paca study', () => {
  it('judges every model, as the commands do that it is made of', async () => {
    const { tasks } = v.parse(schema, await report('study', config, '--run', run));
    const [{ scores, gaps, layers, weights, bytes, bits }] = tasks as [(typeof tasks)[0]];
    const label = ({ base: over, name, merged }: (typeof scores)[0] | (typeof gaps)[0]): string =>
      `${name} ${over}${merged ? ' merged' : ''}`;
    const tuned = ['lora', 'paca, random'];
    const over = (one: string): readonly string[] =>
      tuned.flatMap((name) => [`${name} ${one}`, `${name} ${one} merged`]);
    expect(scores.map(label)).toEqual(['none 16-bit', 'none nf4', ...over('16-bit'), ...over('nf4')]);
    expect(gaps.map(label)).toEqual([...tuned.map((name) => `${name} 16-bit merged`), ...over('nf4')]);

    const nf4 = join(run, 'task1-mail.nf4');
    const asked = ['--data', test, '--choices', "[' spam', ' ham']", '--reference', base];
    const onTest = await report('eval', '--base', nf4, ...asked);
    expect(scores[1]!.onTest.loss).toEqual({ mean: onTest.loss, spread: null });
    expect(scores[1]!.onTest.divergence.mean).toBe(onTest.divergence);
    expect(scores[1]!.onTest.right!.mean).toBe((onTest.metrics as { accuracy: number }).accuracy);
    expect(scores[0]!.onText).toMatchObject({ divergence: { mean: 0 }, right: null });

    const trial = 'task1-mail.qpaca-random.x1.seed0';
    const again = await report('merge', '--base', nf4, '--adapter', join(run, trial, 'adapter'), '--out', at(trial));
    expect(again.layers).toEqual(JSON.parse(readFileSync(join(run, `${trial}.merged`, 'paca.json'), 'utf8')).layers);
    const merged = scores.find((row) => label(row) === 'paca, random nf4 merged')!;
    const onText = await report('eval', '--base', at(trial), '--data', ownText);
    expect(merged).toMatchObject({ seeds: [0], onText: { loss: { mean: onText.loss, spread: null } } });

    const lossOf = (name: string): number => scores.find((row) => label(row) === name)!.onTest.loss.mean;
    expect(gaps.find((row) => label(row) === 'lora nf4')!.onTest).toEqual(
      gapOf(
        { wide: lossOf('none 16-bit'), nf4: lossOf('none nf4') },
        { wide: lossOf('lora 16-bit'), nf4: lossOf('lora nf4') },
      ),
    );
    const quantised = await report('quantise', '--base', base, '--out', at('nf4'));
    expect(quantised).toMatchObject({ weights, bytes, bits });
    const errors = (quantised.layers as readonly Record<string, unknown>[]).map(({ largest: _, ...rest }) => rest);
    expect(layers.map(({ weight: name, merged: _, ...rest }) => ({ name, ...rest }))).toEqual(errors);
    expect(Object.keys(layers[0]!.merged)).toHaveLength(4);
    expect(JSON.parse(readFileSync(join(run, 'study.json'), 'utf8'))).toEqual({ tasks });
  }, 300_000);

  it('goes on where it was stopped, and shows tables and a page', async () => {
    const [lost, left] = ['task1-mail.nf4.on-text.json', 'task1-mail.lora.x1.seed0.merged/paca.json'];
    const before = JSON.parse(readFileSync(join(run, 'study.json'), 'utf8'));
    const time = statSync(join(run, left)).mtimeMs;
    rmSync(join(run, lost));
    const { output, told, error: failed } = await call(['study', config, '--run', run, '--resume']);
    expect(failed).toBeNull();
    expect(told).toBe('paca: judging task1-mail.nf4 on text\n');
    expect(statSync(join(run, left)).mtimeMs).toBe(time);
    expect(JSON.parse(readFileSync(join(run, 'study.json'), 'utf8'))).toEqual(before);
    expect(output).toMatch(/^mail: [\d,]+ numbers in NF4, \d\.\d{3} bits each, /);
    expect(output).toMatch(/\nlora over nf4, merged to nf4 +\d/);
    expect(readFileSync(join(run, 'report.html'), 'utf8')).toContain('<h2>mail</h2>');
    expect(readdirSync(run).filter((name) => name.endsWith('.half'))).toEqual([]);
  }, 60_000);

  const given = ['--base', base, '--data', data, '--run', at('other')];
  it.each<[string, readonly string[], string]>([
    ['no test', [...given, '--own-text', ownText], 'expected a test and an ownText, got no test'],
    ['no text of the base’s own kind', [...given, '--test', test], 'got no ownText'],
    ['methods', [...given, '--methods', '[full]'], '--methods'],
    ['no data', ['--base', base], 'expected data, or tasks'],
    ['a folder with another run in it', [config, '--run', run, '--seeds', '2'], 'a folder without another run'],
  ])('refuses %s', async (_, argv, message) => {
    const { error: failed } = await call(['study', ...argv]);
    expect(showError(failed!)).toContain(message);
    expect(existsSync(at('other'))).toBe(false);
  });

  it('refuses methods in a config', async () => {
    writeFileSync(at('methods.json'), JSON.stringify({ base, data, test, ownText, methods: ['full'] }));
    const { error: failed } = await call(['study', at('methods.json'), '--run', at('other')]);
    expect(failed).toMatchObject({ tag: 'ConfigError', came: "'methods'" });
  });
});

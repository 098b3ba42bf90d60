/** `paca finetune` of a language model: what it prints and leaves, that its bits do not depend on how it ran, what it refuses. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { decodeAdapter } from '../../src/io/adapter.ts';
import type { LoraAdapterFile } from '../../src/io/adapter-lora.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { tinyBase } from '../support/tiny-base.ts';
import { call, start, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

const folder = temporaryFolder();
const base = tinyBase(join(folder, 'base'));
const data = writeData(join(folder, 'train.jsonl'), 40);
const test = writeData(join(folder, 'test.jsonl'), 8);
const at = (name: string): string => join(folder, name);

const settings = ['--base', base, '--data', data, '--batch-size', '4', '--rank', '2', '--max-length', '32'];
const short = ['--steps', '12', '--eval-every', '5', '--checkpoint-every', '4', '--learning-rate', '0.02'];

const worth = v.object({
  judged: v.object({ accuracy: v.number(), count: v.literal(8), categories: v.record(v.string(), v.number()) }),
  samples: v.array(v.object({ prompt: v.string(), expected: v.string(), answer: v.string() })),
});
const resultSchema = v.object({
  run: v.string(),
  steps: v.literal(12),
  loss: v.number(),
  metric: v.nullable(v.object({ before: worth, after: worth })),
  trainable: v.number(),
  tokensPerSecond: v.number(),
  adapter: v.string(),
  digest: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});

type TextResult = v.InferOutput<typeof resultSchema>;

/** The settings, with these flags in the place of their like; a flag of null is left out. */
const flagsWith = (changes: Readonly<Record<string, string | null>>): readonly string[] => {
  const all: Record<string, string | null> = {};
  const given = [...settings, ...short];
  for (let i = 0; i < given.length; i += 2) all[given[i]!] = given[i + 1]!;
  return Object.entries({ ...all, ...changes }).flatMap(([flag, value]) => (value === null ? [] : [flag, value]));
};

const run = async (name: string, changes: Readonly<Record<string, string | null>> = {}): Promise<TextResult> => {
  const { output, error } = await call(['finetune', ...flagsWith(changes), '--run', at(name), '--json']);
  expect(error).toBeNull();
  return v.parse(resultSchema, JSON.parse(output));
};

const judged = { '--test': test, '--choices': "[' spam', ' ham']" };

describe('paca finetune of a language model', () => {
  it('judges before and after, and leaves adapter, events, curve and report', async () => {
    const result = await run('judged', { ...judged, '--samples': '2' });
    const { before, after } = result.metric!;
    expect(before.samples.map(({ expected }) => expected)).toEqual([' spam', ' ham']);
    expect(Object.keys(after.judged.categories)).toEqual(['even', 'odd']);
    for (const name of ['config.json', 'events.jsonl', 'loss.svg', 'report.html']) {
      expect(existsSync(join(result.run, name)), name).toBe(true);
    }
    const report = readFileSync(join(result.run, 'report.html'), 'utf8');
    expect(report).toContain(result.digest);
    expect(report.match(/<svg/g)?.length).toBe(3);
    const steps = readFileSync(join(result.run, 'events.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ kind }) => kind === 'step');
    expect(steps.length).toBe(12);
    for (const step of steps) {
      expect(step).toMatchObject({ tokens: expect.any(Number), updateRatio: expect.any(Number) });
      expect(step.tokens).toBeGreaterThan(0);
    }
  });

  it('learns what the completions have in common', async () => {
    const result = await run('learns', { '--method': 'full', '--rank': null, '--learning-rate': '0.03' });
    const events = readFileSync(join(result.run, 'events.jsonl'), 'utf8').trim().split('\n');
    const losses = events.map((line) => JSON.parse(line)).filter(({ kind }) => kind === 'step');
    expect(losses.at(-1).loss).toBeLessThan(losses[0].loss / 2);
  });

  it('in full decays towards the base, or towards 0: embedding and norms with the rest', async () => {
    const full = { '--method': 'full', '--rank': null, '--decay': '0.1' };
    const runs = [await run('decays', full), await run('decays-zero', { ...full, '--decay-towards': 'zero' })];
    const plain = await run('decays-not', { ...full, '--decay': '0' });
    expect(new Set([...runs, plain].map(({ digest }) => digest)).size).toBe(3);
  });

  it.each(['paca', 'lora', 'dora', 'moslora'] as const)(
    'leaves an adapter of %s that PEFT’s layout describes',
    async (method) => {
      const { adapter } = await run(`adapter-${method}`, { '--method': method });
      const names = ['adapter_config.json', 'adapter_model.safetensors'];
      const files = new Map(names.map((name) => [name, new Uint8Array(readFileSync(join(adapter, name)))]));
      const read = orThrow(decodeAdapter(files, adapter));
      expect(read.warnings).toEqual([]);
      expect(read.adapter).toMatchObject({ method, rank: 2 });
      expect(Object.keys(read.adapter.modules).length).toBe(14);
    },
  );

  it('keeps the A of a frozen A, and the ranks and alphas that modules have of their own', async () => {
    const { adapter, trainable } = await run('adapter-own', {
      ...{ '--method': 'lora', '--freeze-a': 'true', '--rank-stabilized': 'true' },
      ...{ '--rank-pattern': '{q_proj: 3}', '--alpha-pattern': "{'layers.1.*': 5}" },
    });
    const names = ['adapter_config.json', 'adapter_model.safetensors'];
    const files = new Map(names.map((name) => [name, new Uint8Array(readFileSync(join(adapter, name)))]));
    const read = orThrow(decodeAdapter(files, adapter)).adapter as LoraAdapterFile;
    expect(read).toMatchObject({ rankStabilized: true, rank: 2, alpha: 2 });
    const modules = Object.entries(read.modules);
    for (const [path, { a, b, alpha }] of modules) {
      expect([path, a.shape[0], alpha]).toEqual([path, path.endsWith('q_proj') ? 3 : 2, path.includes('.1.') ? 5 : 2]);
      expect([a, b].map(({ data }) => data.some((x) => x !== 0))).toEqual([true, true]);
    }
    expect(trainable).toBe(modules.reduce((sum, [, { b }]) => sum + b.data.length, 0));
  });

  it.each(['lora', 'dora'])(
    'by %s with dropout has the same bits on both backends, and again; and others than without',
    async (method) => {
      const dropping = { '--method': method, '--lora-dropout': '0.3' };
      const { digest } = await run(`${method}-dropout-wasm`, { ...dropping, '--threads': '2', '--backend': 'wasm' });
      expect((await run(`${method}-dropout-reference`, { ...dropping, '--backend': 'reference' })).digest).toBe(digest);
      expect((await run(`${method}-dropout-again`, { ...dropping, '--recompute': 'true' })).digest).toBe(digest);
      expect((await run(`${method}-dropout-none`, { '--method': method })).digest).not.toBe(digest);
    },
  );

  it.each(['dora', 'moslora'])('by %s has the same bits on the reference and on WebAssembly', async (method) => {
    const { digest } = await run(`${method}-wasm`, { '--method': method, '--threads': '2', '--backend': 'wasm' });
    expect((await run(`${method}-reference`, { '--method': method, '--backend': 'reference' })).digest).toBe(digest);
  });

  it('has the same bits on the reference and on WebAssembly, with one thread and two, computed again or not', async () => {
    const { digest } = await run('one', { '--threads': '1', '--backend': 'wasm' });
    expect((await run('two', { '--threads': '2', '--backend': 'wasm' })).digest).toBe(digest);
    expect((await run('again', { '--threads': '1', '--backend': 'wasm', '--recompute': 'true' })).digest).toBe(digest);
    expect((await run('reference', { '--backend': 'reference' })).digest).toBe(digest);
  });

  it.each<[string, Readonly<Record<string, string | null>>]>([
    ['full', { '--method': 'full', '--rank': null }],
    ['weight-norm', { '--select': 'weight-norm' }],
    ['gradient', { '--select': 'gradient', '--calibration-batches': '2' }],
    ['packed', { '--pack': 'true', '--batch-size': '2' }],
    ['some modules', { '--target-modules': '[q_proj, v_proj]' }],
    ['one module of the last layer', { '--target-modules': '.*layers.1.mlp.down_proj' }],
    ['chosen by lot of another seed', { '--select-seed': '7' }],
  ])('runs: %s', async (name, changes) => {
    const result = await run(`runs-${name}`, changes);
    expect(result.metric).toBeNull();
    expect(Number.isFinite(result.loss)).toBe(true);
  });

  it('ends with the same bits after it was killed, modules that train in full with the rest', async () => {
    const beside = ['--modules-to-save', '[lm_head, embed_tokens, norm]'];
    const long = ['--steps', '60', '--checkpoint-every', '5', '--eval-every', '20', ...beside];
    const flags = ['finetune', ...settings, ...long];
    const whole = JSON.parse((await call([...flags, '--run', at('whole'), '--json'])).output);
    const killed = at('killed');
    const { child, ended } = start([...flags, '--run', killed]);
    const log = join(killed, 'events.jsonl');
    const deadline = Date.now() + 60_000;
    while (!existsSync(log) || readFileSync(log, 'utf8').split('"kind":"step"').length < 12) {
      if (Date.now() > deadline) throw new Error('waited for a minute');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    child.kill('SIGKILL');
    await ended;
    const resumed = JSON.parse((await call([...flags, '--run', killed, '--resume', '--json'])).output);
    expect(resumed.digest).toBe(whole.digest);
  }, 120_000);

  describe('gone on with', () => {
    const first = { '--validation': writeData(at('held.jsonl'), 6) };
    const resumed = (name: string, changes: Readonly<Record<string, string | null>>) =>
      call(['finetune', ...flagsWith({ ...first, ...changes }), '--run', at(name), '--resume', '--json']);

    it.each<[string, string, (content: Buffer) => Buffer]>([
      [
        'a bit of the weights',
        'model.safetensors',
        (c) => Buffer.from(c.map((x, i) => (i === c.length - 9 ? x ^ 1 : x))),
      ],
      ['the model', 'config.json', (c) => Buffer.from(String(c).replace('"rope_theta":100', '"rope_theta":101'))],
      ['the tokenizer', 'tokenizer_config.json', (c) => Buffer.from(`${c} `)],
    ])('refuses a base in which %s changed', async (what, file, change) => {
      const own = tinyBase(at(`own ${what}`));
      await run(`of ${what}`, { ...first, '--base': own });
      const content = readFileSync(join(own, file));
      writeFileSync(join(own, file), change(content));
      expect(readFileSync(join(own, file))).not.toEqual(content);
      const { error } = await resumed(`of ${what}`, { '--base': own });
      expect(error).toMatchObject({ tag: 'FileError', came: 'a run of other settings or input' });
      writeFileSync(join(own, file), content);
      expect((await resumed(`of ${what}`, { '--base': own })).error).toBeNull();
    });

    it('refuses other data, and another validation', async () => {
      await run('of data', first);
      for (const flag of ['--data', '--validation']) {
        const other = writeData(at(`other${flag}.jsonl`), 12);
        expect((await resumed('of data', { [flag]: other })).error).toMatchObject({ tag: 'FileError' });
      }
    });

    it('takes the same base and data in other places, and another test', async () => {
      const { digest } = await run('of places', first);
      const changes = { '--base': tinyBase(at('moved')), '--data': writeData(at('moved.jsonl'), 40) };
      for (const other of [
        changes,
        judged,
        { ...judged, '--test': writeData(at('longer.jsonl'), 8), '--choices': null },
      ]) {
        const { output, error } = await resumed('of places', other);
        expect(error).toBeNull();
        expect(JSON.parse(output).digest).toBe(digest);
      }
    });
  });

  it('takes a folder of its own where none is named, and says what a run would need', async () => {
    const { output, error } = await call(['finetune', ...settings, ...short, '--dry-run']);
    expect(error).toBeNull();
    const plan = JSON.parse(output);
    expect(plan).toMatchObject({ settings: { base, steps: 12, method: 'paca' }, data: { samples: 38, truncated: 0 } });
    expect(plan.bytes.weights).toBeGreaterThan(0);
  });
});

describe('a config file', () => {
  const config = at('config.yaml');
  const stepsOf = async (...flags: readonly string[]): Promise<number> => {
    const { output, error } = await call(['finetune', config, ...flags, '--dry-run']);
    expect(error).toBeNull();
    return JSON.parse(output).settings.steps;
  };

  it('has a length that a flag takes the place of, in steps or in epochs', async () => {
    writeFileSync(config, JSON.stringify({ base, data, batchSize: 4, rank: 2, maxLength: 32, epochs: 2 }));
    expect(await stepsOf()).toBe(2 * Math.floor(38 / 4));
    expect(await stepsOf('--steps', '3')).toBe(3);
    writeFileSync(config, JSON.stringify({ base, data, batchSize: 4, rank: 2, maxLength: 32, steps: 5 }));
    expect(await stepsOf('--epochs', '1')).toBe(Math.floor(38 / 4));
  });
});

describe('paca finetune refuses', () => {
  const bad = (name: string, text: string): string => {
    writeFileSync(at(name), text);
    return at(name);
  };
  it.each<[string, Readonly<Record<string, string | null>>, string]>([
    ['a base that is no folder', { '--base': at('nowhere') }, 'nowhere'],
    ['data that is no file', { '--data': at('nothing.jsonl') }, 'nothing.jsonl'],
    ['a line that is no JSON', { '--data': bad('a.jsonl', '{"prompt":"a","completion":"b"}\n{oops\n') }, 'a.jsonl:2'],
    ['a record of no format', { '--data': bad('b.jsonl', '{"question":"a"}\n') }, 'b.jsonl:1'],
    ['an empty file', { '--data': bad('c.jsonl', '') }, 'c.jsonl'],
    ['samples that are too long', { '--max-length': '65' }, 'a maxLength of at most 64 tokens'],
    ['a rank beyond the columns', { '--rank': '40' }, '40'],
    ['a module that is not there', { '--target-modules': '[nothing]' }, 'nothing'],
    ['a choice that is no answer', { '--test': test, '--choices': "[' spam', ' maybe']" }, "' ham'"],
    ['choices without a test', { '--choices': "[' spam', ' ham']" }, 'a test file'],
    ['epochs beside steps', { '--epochs': '2' }, 'no steps'],
    ['a selection for LoRA', { '--method': 'lora', '--select': 'weight-norm' }, 'method: paca'],
    ['a rank in full training', { '--method': 'full' }, 'method: paca, lora, dora or moslora'],
    ['a pattern of ranks for PaCA', { '--rank-pattern': '{q_proj: 3}' }, 'method: lora, dora or moslora'],
    ['dropout for PaCA', { '--method': 'paca', '--lora-dropout': '0.1' }, 'method: lora, dora or moslora'],
    ['a pattern that is none', { '--method': 'lora', '--alpha-pattern': "{'(': 3}" }, 'a regular expression'],
    ['as many warm-up steps as steps', { '--warm-up-steps': '12' }, 'fewer warm-up steps'],
    ['a format that is none', { '--format': 'csv' }, '"csv"'],
    ['an unknown key', { '--lr': '1' }, '--lr'],
  ])('%s', async (name, changes, message) => {
    const { error, output } = await call(['finetune', ...flagsWith(changes), '--run', at(`refused ${name}`), '--json']);
    expect(output).toBe('');
    expect(`expected ${error?.expected}, got ${error?.came} in ${error?.where}`).toContain(message);
  });
});

/** Modules that train in full beside an adapter: by `finetune`, and whatever reads what it leaves. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type AdapterFile, decodeAdapter } from '../../src/io/adapter.ts';
import { decodeSafetensors } from '../../src/io/safetensors.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { tinyBase } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const tied = tinyBase(at('tied'));
const untied = tinyBase(at('untied'), { config: { tied: false } });
const data = writeData(at('train.jsonl'), 24);

const flags = (base: string, method: string, saved: string): readonly string[] => [
  ...['--base', base, '--data', data, '--method', method, '--modules-to-save', saved, '--rank', '2'],
  ...['--batch-size', '4', '--max-length', '32', '--steps', '8', '--learning-rate', '0.02', '--checkpoint-every', '3'],
];

/** On the reference, which asks for no threads; the bits are those of every exact backend. */
const reference = ['--backend', 'reference'];

const json = async (...argv: readonly string[]) => {
  const { output, error } = await call([...argv, '--json']);
  expect(error).toBeNull();
  return JSON.parse(output);
};

const finetune = (name: string, all: readonly string[], backend = reference) =>
  json('finetune', ...all, ...backend, '--run', at(name));

const adapterIn = (path: string): AdapterFile => {
  const names = ['adapter_config.json', 'adapter_model.safetensors'];
  const files = new Map(names.map((name) => [name, new Uint8Array(readFileSync(join(path, name)))]));
  const { adapter, warnings } = orThrow(decodeAdapter(files, path));
  expect(warnings).toEqual([]);
  return adapter;
};

const evaluated = async (base: string, ...more: readonly string[]): Promise<number> =>
  (await json('eval', '--base', base, '--data', data, '--max-length', '32', ...reference, ...more)).loss;

const SAVED = '[lm_head, embed_tokens, norm, layers.1.mlp.up_proj]';
const tables = ['lm_head.weight', 'model.embed_tokens.weight'];
const whole = [...tables, 'model.layers.1.mlp.up_proj.weight', 'model.norm.weight'];

describe.each(['paca', 'lora'])('%s with modules that are saved whole', (method) => {
  const all = flags(untied, method, SAVED);

  it('leaves them in the adapter, with which the base is what was trained; so is the merged model', async () => {
    const { adapter: path, trainable, bytes } = await finetune(`${method}-all`, all);
    const adapter = adapterIn(path);
    expect(Object.keys(adapter.saved!).sort()).toEqual(whole);
    expect(Object.keys(adapter.modules)).toHaveLength(13);
    const base = orThrow(decodeSafetensors(readFileSync(join(untied, 'model.safetensors')), 'base')).tensors;
    for (const [name, { data: now }] of Object.entries(adapter.saved!)) expect(now).not.toEqual(base[name]!.data);
    expect(bytes.trainable).toBe(4 * trainable);
    const without = await finetune(`${method}-none`, flags(untied, method, '[]'));
    const numbers = Object.values(adapter.saved!).reduce((sum, tensor) => sum + tensor.data.length, 0);
    const up = adapterIn(without.adapter).modules['model.layers.1.mlp.up_proj'];
    const own = Object.entries<HostTensor>(up as never).flatMap(([part, tensor]) =>
      part === 'alpha' || part === 'indices' ? [] : [tensor.data.length],
    );
    expect(trainable - without.trainable).toBe(numbers - own.reduce((a, b) => a + b));

    const loss = await evaluated(untied, '--adapter', path);
    expect(loss).not.toBe(await evaluated(untied));
    const report = await json(
      ...['merge', '--base', untied, '--adapter', path, '--out', at(`${method}-merged`), ...reference],
    );
    expect(report).toMatchObject({ modules: 13, saved: 4, dtype: 'f32' });
    expect(Math.abs((await evaluated(at(`${method}-merged`))) / loss - 1)).toBeLessThan(1e-6);
    const answer = [
      'generate',
      '--base',
      untied,
      '--adapter',
      path,
      '--prompt',
      'see you',
      '--max-tokens',
      '4',
      ...reference,
    ];
    expect((await call(answer)).error).toBeNull();
  });

  it('has the same bits on the reference and on WebAssembly, computed again or not', async () => {
    const { digest } = await finetune(`${method}-wasm`, all, ['--backend', 'wasm', '--threads', '2']);
    expect((await finetune(`${method}-reference`, all)).digest).toBe(digest);
    expect((await finetune(`${method}-again`, [...all, '--recompute', 'true'])).digest).toBe(digest);
  });
});

describe('modules that are saved whole', () => {
  it('decay towards the base, or towards 0 with the columns', async () => {
    const decaying = [...flags(untied, 'paca', SAVED), '--decay', '0.1'];
    const digests = [
      await finetune('decays', decaying),
      await finetune('decays-zero', [...decaying, '--decay-towards', 'zero']),
      await finetune('decays-not', flags(untied, 'paca', SAVED)),
    ].map(({ digest }) => digest);
    expect(new Set(digests).size).toBe(3);
  });

  it('are a table once where head and embedding are tied, under both names in the file', async () => {
    const both = '[lm_head, embed_tokens]';
    const { adapter: path, trainable } = await finetune('tied-both', flags(tied, 'lora', both));
    const { saved } = adapterIn(path);
    expect(Object.keys(saved!).sort()).toEqual(tables);
    const [head, table] = tables.map((name) => saved![name]!.data);
    expect(head).toEqual(table);
    const { trainable: without } = await finetune('tied-none', flags(tied, 'lora', '[]'));
    expect(trainable - without).toBe(table!.length);
    const loss = await evaluated(tied, '--adapter', path);
    await json('merge', '--base', tied, '--adapter', path, '--out', at('tied-merged'), ...reference);
    expect(Math.abs((await evaluated(at('tied-merged'))) / loss - 1)).toBeLessThan(1e-6);
  });

  it('go along into a LoRA', async () => {
    const { adapter: path } = await finetune('to-convert', flags(untied, 'paca', SAVED));
    await json('convert', '--adapter', path, '--to', 'lora', '--base', untied, '--out', at('converted'));
    expect(adapterIn(at('converted')).saved).toEqual(adapterIn(path).saved);
  });

  it('over a base in NF4 train in f32', async () => {
    await json('quantise', '--base', untied, '--out', at('nf4'));
    const { adapter: path } = await finetune('qpaca', flags(at('nf4'), 'paca', SAVED));
    expect(Object.keys(adapterIn(path).saved!).sort()).toEqual(whole);
    expect(Number.isFinite(await evaluated(at('nf4'), '--adapter', path))).toBe(true);
  });

  it.each([
    ['a module that is not there', untied, '[lm_head, score]', "'score'"],
    ['one of two that are tied', tied, '[embed_tokens]', 'model.embed_tokens'],
  ])('refuse %s', async (_, base, saved, came) => {
    const { error } = await call(['finetune', ...flags(base, 'paca', saved), '--run', at('refused')]);
    expect(error).toMatchObject({ tag: 'ConfigError', came, where: 'modulesToSave' });
  });

  it('refuse full fine-tuning, which trains all of it, and a base of another kind', async () => {
    const full = ['--base', untied, '--data', data, '--method', 'full', '--modules-to-save', '[lm_head]'];
    expect((await call(['finetune', ...full])).error?.expected).toContain("'modulesToSave' has no effect");
    const { adapter: path } = await finetune('for-untied', flags(untied, 'lora', '[lm_head]'));
    const { error } = await call(['eval', '--base', tied, '--adapter', path, '--data', data]);
    expect(error).toMatchObject({ came: 'lm_head.weight alone', where: path });
    const merged = await call(['merge', '--base', tied, '--adapter', path, '--out', at('no-merge')]);
    expect(merged.error).toMatchObject({ came: 'lm_head.weight alone', where: path });
  });
});

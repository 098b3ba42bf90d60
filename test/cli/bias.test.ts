/** Biases that train beside LoRA and its kin, in `finetune` and whatever reads what it leaves. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type AdapterFile, decodeAdapter } from '../../src/io/adapter.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { tinyBase } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = tinyBase(at('base'), { config: { inputBias: true } });
const data = writeData(at('train.jsonl'), 24);

const flags = (method: string, bias: string): readonly string[] => [
  ...[
    '--base',
    base,
    '--data',
    data,
    '--method',
    method,
    '--bias',
    bias,
    '--rank',
    '2',
    '--target-modules',
    '[q_proj]',
  ],
  ...['--batch-size', '4', '--max-length', '32', '--steps', '6', '--learning-rate', '0.02'],
];

const json = async (...argv: readonly string[]) => {
  const { output, error } = await call([...argv, '--json']);
  expect(error).toBeNull();
  return JSON.parse(output);
};

/** On the reference, which asks for no threads. */
const reference = ['--backend', 'reference'];

const finetune = (name: string, all: readonly string[], backend = reference) =>
  json('finetune', ...all, ...backend, '--run', at(name));

const adapterIn = (path: string): AdapterFile => {
  const names = ['adapter_config.json', 'adapter_model.safetensors'];
  const files = new Map(names.map((name) => [name, new Uint8Array(readFileSync(join(path, name)))]));
  return orThrow(decodeAdapter(files, path)).adapter;
};

const lossOf = async (...argv: readonly string[]): Promise<number> =>
  (await json('eval', '--data', data, '--max-length', '32', ...reference, ...argv)).loss;

it.each([
  ['lora', 'all', 3],
  ['dora', 'lora_only', 1],
  ['moslora', 'all', 3],
] as const)(
  '%s with bias %s trains %i biases a block, on both backends to the bit, and keeps them',
  async (method, bias, count) => {
    const {
      adapter: path,
      digest,
      trainable,
    } = await finetune(`${method}-wasm`, flags(method, bias), ['--backend', 'wasm', '--threads', '1']);
    expect((await finetune(`${method}-reference`, flags(method, bias))).digest).toBe(digest);
    const adapter = adapterIn(path);
    expect(adapter.bias).toBe(bias);
    const saved = Object.entries(adapter.saved!);
    expect(saved).toHaveLength(2 * count);
    for (const [name, tensor] of saved) {
      expect(name).toMatch(/[qkv]_proj\.bias$/);
      expect(tensor.data.some((x) => x !== 0)).toBe(true);
    }
    const { trainable: without } = await finetune(`${method}-none`, flags(method, 'none'));
    expect(trainable - without).toBe(saved.reduce((sum, [, tensor]) => sum + tensor.data.length, 0));
    const loss = await lossOf('--base', base, '--adapter', path);
    await json('merge', '--base', base, '--adapter', path, '--out', at(`${method}-merged`), ...reference);
    expect(Math.abs((await lossOf('--base', at(`${method}-merged`))) / loss - 1)).toBeLessThan(1e-6);
  },
);

it('decays towards the biases of the base', async () => {
  const decaying = [...flags('lora', 'all'), '--decay', '0.1'];
  const [one, other] = [await finetune('decays', decaying), await finetune('decays-not', flags('lora', 'all'))];
  expect(one.digest).not.toBe(other.digest);
});

it('is refused where no bias would train, and with methods that have none beside them', async () => {
  const bare = tinyBase(at('bare'));
  const refused = async (...all: readonly string[]) => (await call(['finetune', ...all])).error;
  const onBare = flags('lora', 'all').map((value) => (value === base ? bare : value));
  expect(await refused(...onBare, '--run', at('no'))).toMatchObject({ where: 'bias', came: 'none' });
  expect((await refused(...flags('paca', 'all')))?.expected).toContain("'bias' has no effect");
});

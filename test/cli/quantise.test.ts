/** `paca quantise`, and what can be done over a base in NF4: tuning, evaluating, merging to 16 bits or to NF4 again. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import { widenHost } from '../../src/io/widen-host.ts';
import { quantisationError } from '../../src/quant/quantise.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Nf4Type } from '../../src/spec/nf4.ts';
import { bytesOf, type HostTensor, type HostTensorOf, sizeOf } from '../../src/spec/tensor.ts';
import { tinyBase } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { writeData } from './text-folder.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = tinyBase(at('base'));
const data = writeData(at('train.jsonl'), 40);

const report = async (...argv: readonly string[]): Promise<Record<string, unknown>> => {
  const { output, error } = await call([...argv, '--json']);
  expect(error).toBeNull();
  return JSON.parse(output);
};

const layersOf = (r: Record<string, unknown>) =>
  r.layers as readonly { name: string; bits: number; largest: number; relative: number; worstBlock: number }[];

const open = async (name: string) => orThrow(await openCheckpoint(nodeSource(at(name)), name));
const wide = (tensor: HostTensor): HostTensorOf<'f32'> => orThrow(widenHost(tensor, 'w'));

const made = await report('quantise', '--base', base, '--out', at('nf4'));

const finetune = (name: string, method: string, ...more: readonly string[]) =>
  report(
    ...['finetune', '--base', at('nf4'), '--data', data, '--method', method, '--rank', '2', '--batch-size', '4'],
    ...['--max-length', '32', '--steps', '6', '--learning-rate', '0.02', '--run', at(name), ...more],
  );

describe('paca quantise', () => {
  it('writes the linear maps but the head in NF4, the rest as it was, and tells the error of each', async () => {
    const [before, after] = [await open('base'), await open('nf4')];
    expect(after.names.toSorted()).toEqual(before.names.toSorted());
    const layers = layersOf(made);
    expect(layers).toHaveLength(14);
    const packed = after.names.filter((name) => after.spec(name)!.dtype === 'nf4');
    expect(packed.toSorted()).toEqual(layers.map(({ name }) => name).toSorted());
    expect(made.bytes).toBe(packed.reduce((sum, name) => sum + bytesOf(after.spec(name)!), 0));
    for (const name of before.names) {
      const [old, now] = [orThrow(await before.read(name)), orThrow(await after.read(name))];
      const layer = layers.find((l) => l.name === name);
      if (layer === undefined) expect(now).toEqual(old);
      else {
        const bits = (8 * bytesOf(now)) / sizeOf(now.shape);
        expect(layer).toEqual({ name, bits, ...quantisationError(wide(old), now as HostTensorOf<Nf4Type>) });
      }
    }
  });

  it('says so in the config, as transformers reads it', () => {
    const { quantization_config: quantization } = JSON.parse(readFileSync(at('nf4/config.json'), 'utf8'));
    expect(quantization).toMatchObject({
      quant_method: 'bitsandbytes',
      load_in_4bit: true,
      bnb_4bit_quant_type: 'nf4',
    });
  });

  it('prints a table', async () => {
    const { output } = await call(['quantise', '--base', base, '--out', at('table')]);
    expect(output).toMatch(/layers\.0\.mlp\.down_proj\.weight +\d\.\d{3} +0\.\d+ +0\.\d{4} +0\.\d{4}\n/);
    expect(output).toMatch(/bits each: .*table\n$/);
  });

  it('refuses a base in NF4', async () => {
    const { error } = await call(['quantise', '--base', at('nf4'), '--out', at('twice')]);
    expect(error).toMatchObject({ expected: 'a base of f32, f16 or bf16' });
  });
});

describe('over a base in NF4', () => {
  it.each(['paca', 'lora', 'dora', 'moslora'])('%s is trained, with the same bits everywhere', async (method) => {
    const { digest, bytes } = await finetune(`${method}-reference`, method, '--backend', 'reference');
    expect((await finetune(`${method}-wasm`, method, '--backend', 'wasm', '--threads', '2')).digest).toBe(digest);
    const plain = ['finetune', '--base', base, '--data', data, '--method', method, '--rank', '2', '--max-length', '32'];
    const full = await report(...plain, '--dry-run');
    expect((bytes as { weights: number }).weights).toBeLessThan((full.bytes as { weights: number }).weights);
  });

  it.each(['weight-norm', 'gradient'])('columns are chosen by %s', async (select) => {
    const { digest } = await finetune(`by-${select}`, 'paca', '--select', select);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
  });

  it('an adapter is evaluated, and merged to f32 with the answers that it gives unmerged', async () => {
    const adapter = at('paca-wasm/adapter');
    const unmerged = await report('eval', '--base', at('nf4'), '--adapter', adapter, '--data', data);
    const merged = await report(
      'merge',
      '--base',
      at('nf4'),
      '--adapter',
      adapter,
      '--out',
      at('merged'),
      '--dtype',
      'f32',
    );
    expect(merged).toMatchObject({ method: 'paca', modules: 14, dtype: 'f32', largestError: 0 });
    expect(JSON.parse(readFileSync(at('merged/config.json'), 'utf8')).quantization_config).toBeUndefined();
    const { loss } = await report('eval', '--base', at('merged'), '--data', data);
    expect(loss).toBe(unmerged.loss);
  });

  it('quantising changes nothing else of the config, whatever its numbers look like, and a merge takes that out again', () => {
    const [before, after, merged] = ['base', 'nf4', 'merged'].map((name) =>
      readFileSync(at(`${name}/config.json`), 'utf8'),
    );
    expect(after!.startsWith(before!.replace(/\s*\}\s*$/, ''))).toBe(true);
    expect(JSON.parse(merged!)).toEqual(JSON.parse(before!));
  });

  it('an adapter is merged to NF4 again, with the error of each layer', async () => {
    const adapter = at('paca-wasm/adapter');
    const again = await report('merge', '--base', at('nf4'), '--adapter', adapter, '--out', at('again'));
    expect(again).toMatchObject({ modules: 14, dtype: 'nf4' });
    const layers = layersOf(again);
    expect(layers).toHaveLength(14);
    const [exact, stored] = [await open('merged'), await open('again')];
    for (const { name, bits: _, ...error } of layers) {
      const now = orThrow(await stored.read(name)) as HostTensorOf<Nf4Type>;
      expect(error).toEqual(quantisationError(wide(orThrow(await exact.read(name))), now));
    }
    expect(JSON.parse(readFileSync(at('again/config.json'), 'utf8')).quantization_config).toBeDefined();
  });

  it('of 16 or 32 bits a merge quantises as `paca quantise` does, if it is told to', async () => {
    const r = await report(
      ...['merge', '--base', base, '--adapter', at('paca-wasm/adapter'), '--out', at('to-nf4'), '--dtype', 'nf4'],
    );
    expect(layersOf(r).map(({ name }) => name)).toEqual(layersOf(made).map(({ name }) => name));
  });

  it('plan counts the bytes of the run', async () => {
    const planned = await report('plan', '--base', base, '--dtype', 'nf4', '--method', 'paca', '--rank', '2');
    const plain = await report('plan', '--base', base, '--dtype', 'bf16', '--method', 'paca', '--rank', '2');
    const [a, b] = [planned, plain].map((r) => (r.bytes as { weights: number }).weights);
    expect(a).toBeLessThan(b!);
  });
});

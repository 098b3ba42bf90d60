/** 4-bit checkpoints of bitsandbytes: read, computed with, written again, and refused. */
import { readFileSync } from 'node:fs';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { parseLlamaConfig } from '../../src/io/llama-config.ts';
import { loadModel } from '../../src/io/load-model.ts';
import { storedAs } from '../../src/io/merge-adapter.ts';
import { rewrittenParts } from '../../src/io/rewrite-checkpoint.ts';
import { decodeSafetensors, encodeSafetensors, type Safetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/source.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import { evaluate } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { orThrow, showError } from '../../src/spec/errors.ts';
import { bytesOf, type HostTensor, type HostTensorOf } from '../../src/spec/tensor.ts';
import { f64, numbersOf } from '../support/tensors.ts';
import { utf8 } from './temporary.ts';

const folder = (name: string): string => new URL(`../fixtures/nf4/${name}`, import.meta.url).pathname;
const tensorsIn = (path: string): Safetensors['tensors'] =>
  orThrow(decodeSafetensors(readFileSync(path), path)).tensors;
const expected = tensorsIn(folder('expected.safetensors'));

const NAME = 'model.layers.0.mlp.down_proj.weight';

describe.each(['checkpoint', 'single'])('the fixture %s', (name) => {
  const dtype = name === 'checkpoint' ? 'nf4' : 'nf4-single';
  const open = async () => orThrow(await openCheckpoint(nodeSource(folder(name)), name));

  it('is read with one tensor for each weight', async () => {
    const checkpoint = await open();
    expect(checkpoint.names).toHaveLength(21);
    expect(checkpoint.spec(NAME)).toEqual({ dtype, shape: [24, 29] });
    const weight = orThrow(await checkpoint.read(NAME));
    expect(weight.data.length).toBe(bytesOf(weight));
  });

  it('gives the logits that transformers gives with the dequantised weights', async () => {
    const config = orThrow(parseLlamaConfig(JSON.parse(readFileSync(folder(`${name}/config.json`), 'utf8')), 'config'));
    const model = orThrow(await loadModel(f64, llama(config), await open(), () => ({ method: 'frozen' })));
    const ids = f64.fromHost(expected[`${name}.input_ids`]!);
    const logits = await numbersOf(f64, model.layer(evaluate).forward(model.params, ids)[0]);
    const wanted = Array.from(expected[`${name}.logits`]!.data, Number);
    const largest = Math.max(...wanted.map(Math.abs));
    logits.forEach((x, i) => {
      expect(Math.abs(x - wanted[i]!)).toBeLessThan(2e-6 * largest);
    });
  });

  it('written again has the same tensors; what is read is the same bytes', async () => {
    const checkpoint = await open();
    const parts: Uint8Array[] = [];
    const same = { checkpoint, typeOf: (n: string) => checkpoint.spec(n)!.dtype, changed: () => null };
    for await (const part of rewrittenParts({ ...same, computed: 'float32' })) parts.push(orThrow(part).bytes);
    const file = Uint8Array.from(parts.flatMap((bytes) => [...bytes]));
    const [before, after] = [
      tensorsIn(folder(`${name}/model.safetensors`)),
      orThrow(decodeSafetensors(file, 'again')).tensors,
    ];
    expect(Object.keys(after).sort()).toEqual(Object.keys(before).sort());
    const textOf = (t: HostTensor): unknown => JSON.parse(new TextDecoder().decode((t as HostTensorOf<'u8'>).data));
    for (const [key, tensor] of Object.entries(after)) {
      if (key.includes('quant_state')) expect(textOf(tensor)).toEqual(textOf(before[key]!));
      else expect(tensor).toEqual(before[key]!);
    }
    const again = orThrow(await openCheckpoint(memorySource(new Map([['model.safetensors', file]])), 'again'));
    for (const key of checkpoint.names) expect(await again.read(key)).toEqual(await checkpoint.read(key));
  });
});

it('a checkpoint is quantised as a stream: a weight is read when its part is due, and none before', async () => {
  const path = new URL('../fixtures/llama/llama2', import.meta.url).pathname;
  const checkpoint = orThrow(await openCheckpoint(nodeSource(path), 'llama2'));
  const reads: string[] = [];
  const watched = {
    ...checkpoint,
    read: (name: string) => {
      reads.push(name);
      return checkpoint.read(name);
    },
  };
  const typeOf = storedAs('nf4', ['model.layers.0.mlp.down_proj', 'model.layers.1.mlp.up_proj']);
  let parts = 0;
  for await (const part of rewrittenParts({ checkpoint: watched, typeOf, changed: () => null, computed: 'float32' })) {
    expect(reads).toHaveLength(parts);
    expect(orThrow(part).quantised?.name ?? null).toBe(parts === 1 || parts === 2 ? reads.at(-1) : null);
    parts += 1;
  }
  expect(reads.toSorted()).toEqual(checkpoint.names.toSorted());
});

describe('refused', () => {
  const whole = tensorsIn(folder('checkpoint/model.safetensors'));
  const state = `${NAME}.quant_state.bitsandbytes__nf4`;
  const json = JSON.parse(new TextDecoder().decode(whole[state]!.data as Uint8Array)) as object;
  const bytes = (data: Uint8Array): HostTensor => ({ dtype: 'u8', shape: [data.length], data });
  const stateWith = (changes: object): HostTensor => bytes(utf8(JSON.stringify({ ...json, ...changes })));
  const zeros = (length: number): HostTensor => ({ dtype: 'f32', shape: [length], data: new Float32Array(length) });

  it.each<[string, Record<string, HostTensor | null>, string]>([
    ['a state that is no JSON', { [state]: bytes(utf8('{')) }, state],
    ['another type', { [state]: stateWith({ quant_type: 'fp4' }) }, 'quant_type: expected nf4, got "fp4"'],
    ['another block', { [state]: stateWith({ blocksize: 128 }) }, 'blocksize: expected blocks of 64, got 128'],
    ['another group', { [state]: stateWith({ nested_blocksize: 64 }) }, 'nested_blocksize'],
    ['a shape that is none', { [state]: stateWith({ shape: [24] }) }, 'shape: expected a shape [out, in]'],
    ['a shape that does not fit', { [state]: stateWith({ shape: [24, 30] }) }, '360 bytes of codes'],
    ['an offset that is no number', { [state]: stateWith({ nested_offset: 'x' }) }, 'nested_offset'],
    ['no absmax', { [`${NAME}.absmax`]: null }, `${NAME}.absmax: expected u8[11], got none`],
    ['a nested absmax too many', { [`${NAME}.nested_absmax`]: zeros(2) }, 'expected f32[1], got f32[2]'],
    ['other levels', { [`${NAME}.quant_map`]: zeros(16) }, 'the table of NF4'],
    ['FP4', { [`${NAME}.quant_state.bitsandbytes__fp4`]: whole[state]! }, 'expected NF4'],
  ])('%s', async (_, changes, message) => {
    const tensors = Object.fromEntries(
      Object.entries({ ...whole, ...changes }).flatMap(([key, tensor]) => (tensor === null ? [] : [[key, tensor]])),
    );
    const source = memorySource(new Map([['model.safetensors', encodeSafetensors(tensors)]]));
    const opened = await openCheckpoint(source, 'm');
    const result = E.isLeft(opened) ? opened : await opened.right.read(NAME);
    expect(E.isLeft(result) && showError(result.left)).toContain(message);
  });
});

/** Models from checkpoints: the same as built from the tensors at once, with one weight on the host at a time. */
import { readFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { rngFromSeed } from '../../src/core/rng.ts';
import type { Tree } from '../../src/core/tree.ts';
import { leafPaths } from '../../src/core/tree.ts';
import { type Checkpoint, openCheckpoint } from '../../src/io/checkpoint.ts';
import { loadModel } from '../../src/io/load-model.ts';
import { decodeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource, type Source } from '../../src/io/source.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import { widenHost } from '../../src/io/widen-host.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import { type Architecture, evaluate, initialWeights, leafSteps, tensorsOf } from '../../src/models/architecture.ts';
import type { LlamaConfig } from '../../src/models/llama/config.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { mlp } from '../../src/models/mlp.ts';
import { buildModel, type Model } from '../../src/models/model.ts';
import { orThrow, type Result, showError } from '../../src/spec/errors.ts';
import { bf16ToNumber, f16ToNumber, numberToBf16, numberToF16 } from '../../src/spec/float16.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { f64, f32 as k, type R } from '../support/tensors.ts';
import { llama2, llama3 } from './llama-configs.ts';
import { sharded } from './shards.ts';

const refusal = (result: Result<unknown>): string => E.match(showError, () => 'accepted')(result);
const fixture = (name: string): string => new URL(`../fixtures/llama/${name}`, import.meta.url).pathname;
const frozen = (): Treatment => ({ method: 'frozen' });
const full = (): Treatment => ({ method: 'full' });

/** A model of the family with everything that can have a bias. */
const small: LlamaConfig = { ...llama3, inputBias: true, outputBias: true, headNorm: true };

type Tensors = Readonly<Record<string, HostTensor>>;

const stored = (dtype: 'f16' | 'bf16', tensors: Tensors): Tensors =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { shape, data }]) => {
      const encode = dtype === 'f16' ? numberToF16 : numberToBf16;
      return [name, { dtype, shape, data: Uint16Array.from(data as Float32Array, encode) }];
    }),
  );

const opened = async (tensors: Tensors, shards = 2): Promise<Checkpoint> =>
  orThrow(await openCheckpoint(memorySource(sharded(tensors, shards)), 'm'));

/** The parameters by their paths, on the host. */
const paramsOf = async (model: Model<R>): Promise<unknown> =>
  Object.fromEntries(
    await Promise.all([...leafPaths(model.params as Tree<R>)].map(async ([path, t]) => [path, await k.toHost(t)])),
  );

describe.each(['f32', 'f16', 'bf16'] as const)('a checkpoint in %s', (dtype) => {
  const weights = (architecture: Architecture): Tensors => {
    const tensors = initialWeights(architecture, rngFromSeed(1));
    return dtype === 'f32' ? tensors : stored(dtype, tensors);
  };

  test('gives the model of the same tensors built at once', async () => {
    const architecture = llama(small);
    const tensors = weights(architecture);
    const trains = (path: string): boolean => path.endsWith('norm');
    const loaded = orThrow(await loadModel(k, architecture, await opened(tensors), frozen, trains));
    const built = orThrow(buildModel(k, architecture, tensors, frozen, trains));
    expect(await paramsOf(loaded)).toEqual(await paramsOf(built));
  });

  test('frozen weights keep their type, biases are f32', async () => {
    const loaded = orThrow(await loadModel(k, llama(small), await opened(weights(llama(small))), frozen));
    for (const [path, { dtype: type }] of leafPaths(loaded.params))
      expect([path, type]).toEqual([path, /proj\.weight$|embed_tokens\.weight$/.test(path) ? dtype : 'f32']);
  });

  test('weights that train in full are widened, to the same numbers', async () => {
    const architecture = mlp({ widths: [4, 5, 3], activation: 'tanh' });
    const tensors = weights(architecture);
    const treatment = ({ path }: { path: string }): Treatment => ({ method: path === 'layers.0' ? 'full' : 'frozen' });
    const { params } = orThrow(await loadModel(k, architecture, await opened(tensors), treatment));
    const leaves = Object.fromEntries(leafPaths(params));
    for (const [path, original] of Object.entries(tensors)) {
      const kept = path === 'layers.1.weight';
      const expected = kept ? original : orThrow(widenHost(original, path));
      expect([path, await k.toHost(leaves[path]!)]).toEqual([path, expected]);
    }
  });

  test('runs with the bits of the widened weights', async () => {
    const architecture = mlp({ widths: [4, 5, 3], activation: 'relu' });
    const tensors = weights(architecture);
    const wide = Object.fromEntries(Object.entries(tensors).map(([name, t]) => [name, orThrow(widenHost(t, name))]));
    const x = k.fromHost({ dtype: 'f32', shape: [2, 4], data: Float32Array.from({ length: 8 }, (_, i) => i / 3 - 1) });
    const [a, b] = [tensors, wide].map(async (each) => {
      const { layer, params } = orThrow(await loadModel(k, architecture, await opened(each), frozen));
      return (await k.toHost(layer(evaluate).forward(params, x)[0])).data;
    });
    expect(await a).toEqual(await b);
  });
});

test('without widening, a 16-bit weight that trains in full is refused, and a 16-bit bias is not', () => {
  const architecture = mlp({ widths: [4, 3], activation: 'tanh' });
  const tensors = stored('bf16', initialWeights(architecture, rngFromSeed(1)));
  expect(refusal(buildModel(k, architecture, tensors, full))).toContain('expected an f32 weight to train in full');
  const half = { ...tensors, 'layers.0.weight': orThrow(widenHost(tensors['layers.0.weight']!, 'w')) };
  expect(E.isRight(buildModel(k, architecture, half, full))).toBe(true);
  const ints = { ...tensors, 'layers.0.bias': { dtype: 'i32', shape: [3], data: new Int32Array(3) } as const };
  expect(refusal(buildModel(k, architecture, ints, frozen))).toContain('expected a bias of f32, f16 or bf16');
});

test('widenHost keeps every number', () => {
  const data = Uint16Array.from({ length: 2 ** 16 }, (_, i) => i);
  for (const [dtype, number] of [['f16', f16ToNumber] as const, ['bf16', bf16ToNumber] as const]) {
    const wide = orThrow(widenHost({ dtype, shape: [2 ** 16], data }, 'x'));
    for (let i = 0; i < data.length; i++) if (!Object.is(wide.data[i], number(i))) expect(wide.data[i]).toBe(number(i));
  }
  expect(refusal(widenHost({ dtype: 'i32', shape: [0], data: new Int32Array(0) }, 'x'))).toContain('got i32[0]');
});

describe('what is read', () => {
  test('every tensor once, each leaf given to the backend before the next is read', async () => {
    const architecture = llama(small);
    const checkpoint = await opened(initialWeights(architecture, rngFromSeed(1)), 3);
    const events: string[] = [];
    const noting: Checkpoint = {
      ...checkpoint,
      read: (name) => {
        events.push(`read ${name}`);
        return checkpoint.read(name);
      },
    };
    const fromHost = (t: HostTensor): R => {
      events.push(`take ${t.shape}`);
      return k.fromHost(t);
    };
    orThrow(await loadModel({ ...k, fromHost }, architecture, noting, frozen));
    const expected = leafSteps(architecture.steps).flatMap((step) => {
      const tensors = tensorsOf(step);
      return [...tensors.map(([name]) => `read ${name}`), ...tensors.map(([, shape]) => `take ${shape}`)];
    });
    expect(events.slice(0, expected.length)).toEqual(expected);
    expect(events.slice(expected.length).every((event) => event.startsWith('take '))).toBe(true); // the constants
  });

  test('the host holds one tensor at a time: those before it can be collected', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const architecture = llama(llama2);
    const inner = memorySource(sharded(initialWeights(architecture, rngFromSeed(1)), 1));
    const held: WeakRef<ArrayBufferLike>[] = [];
    let most = 0;
    const source: Source = {
      ...inner,
      read: async (name, from, length) => {
        await new Promise((resolve) => setTimeout(resolve));
        collect();
        most = Math.max(most, held.filter((ref) => ref.deref() !== undefined).length);
        const part = await inner.read(name, from, length);
        if (E.isRight(part)) held.push(new WeakRef(part.right.buffer));
        return part;
      },
    };
    const checkpoint = orThrow(await openCheckpoint(source, 'm'));
    orThrow(await loadModel(k, architecture, checkpoint, frozen));
    expect(held.length).toBeGreaterThan(20);
    expect(most).toBeLessThanOrEqual(1);
  });

  test('nothing, when a name, a shape or a type is wrong', async () => {
    const architecture = llama(llama2);
    const good = initialWeights(architecture, rngFromSeed(1));
    const name = 'model.layers.1.mlp.down_proj.weight';
    const weight = good[name]!;
    const ints = { dtype: 'i32', shape: weight.shape, data: new Int32Array(weight.data.length) } as const;
    const { [name]: _, ...without } = good;
    const norm = { dtype: 'f32', shape: [1], data: Float32Array.of(1) } as const;
    const wrong: readonly (readonly [Tensors, string])[] = [
      [without, `ConfigError in m, weights: expected a tensor ${name}, got none`],
      [
        { ...good, [name]: { ...weight, shape: [29, 24] } as HostTensor },
        `ShapeError in m, ${name}: expected shape [24, 29], got f32[29, 24]`,
      ],
      [{ ...good, [name]: ints }, `ShapeError in m, ${name}: expected a tensor of f32, f16 or bf16, got i32[24, 29]`],
      [
        { ...good, 'model.layers.0.self_attn.q_proj.bias': norm, 'b"': norm },
        'FileError in m: expected the tensors of the model alone, got 2 more: "b\\"", "model.layers.0.self_attn.q_proj.bias"',
      ],
      [{ ...good, 'lm_head.bias': norm }, 'got 1 more: "lm_head.bias"'],
      [{ ...good, inv_freq: norm }, 'got 1 more: "inv_freq"'],
    ];
    for (const [tensors, message] of wrong) {
      const checkpoint = { ...(await opened(tensors, 0)), read: () => Promise.reject(new Error('read')) };
      expect(refusal(await loadModel(k, architecture, checkpoint, frozen))).toContain(message);
    }
  });

  test('not what Hugging Face ignores: frequencies, and a head that is tied', async () => {
    const extra = { dtype: 'f32', shape: [1], data: Float32Array.of(1) } as const;
    const surplus = { 'model.layers.0.self_attn.rotary_emb.inv_freq': extra, 'lm_head.weight': extra };
    const tied = { ...initialWeights(llama(llama3), rngFromSeed(1)), ...surplus };
    expect(E.isRight(await loadModel(k, llama(llama3), await opened(tied), frozen))).toBe(true);
    const own = { ...initialWeights(llama(llama2), rngFromSeed(1)), ...surplus };
    expect(refusal(await loadModel(k, llama(llama2), await opened(own), frozen))).toContain('lm_head.weight');
  });

  test('an error of the source, and of the method, comes through', async () => {
    const architecture = mlp({ widths: [4, 3], activation: 'tanh' });
    const checkpoint = await opened(initialWeights(architecture, rngFromSeed(1)));
    const error = { tag: 'FileError', expected: 'a disk', came: 'EIO', where: 'disk' } as const;
    const broken: Checkpoint = { ...checkpoint, read: async () => E.left(error) };
    expect(await loadModel(k, architecture, broken, full)).toEqual(E.left(error));
    const paca = (): Treatment => ({ method: 'paca', adapters: [{ indices: Int32Array.of(9), alpha: 1 }] });
    expect(refusal(await loadModel(k, architecture, checkpoint, paca))).toContain('IndexError');
  });
});

describe.each([
  ['llama2', llama2],
  ['llama3', llama3],
] as const)('the fixture %s', (name, config) => {
  test('loads from its folder and gives the logits of transformers', async () => {
    const checkpoint = orThrow(await openCheckpoint(nodeSource(fixture(name)), name));
    const { layer, params } = orThrow(await loadModel(f64, llama(config), checkpoint, frozen));
    const { tensors } = orThrow(
      decodeSafetensors(readFileSync(`${fixture(name)}/expected.safetensors`), 'expected.safetensors'),
    );
    const logits = await f64.toHost(layer(evaluate).forward(params, f64.fromHost(tensors.input_ids!))[0]);
    const expected = tensors.logits!.data as Float64Array;
    const largest = Math.max(...expected.map(Math.abs));
    const apart = Math.max(...expected.map((x, i) => Math.abs(x - Number(logits.data[i]))));
    expect(apart / largest).toBeLessThan(1e-6); // our tables of angles are nearer to f64 than theirs
  });
});

/** Adapters against those that PEFT wrote, as a round trip, and as the models that they make. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { type AdapterFile, decodeAdapter, encodeAdapter, readAdapter } from '../../src/io/adapter.ts';
import {
  type LoraAdapterFile,
  type LoraModule,
  type LowRankAdapterFile,
  loraScale,
} from '../../src/io/adapter-lora.ts';
import type { PacaAdapterFile } from '../../src/io/adapter-paca.ts';
import { treatmentAt } from '../../src/io/adapter-treatment.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { loadModel } from '../../src/io/load-model.ts';
import { decodeSafetensors, encodeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/source.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import type { Files } from '../../src/io/store.ts';
import { widenHost } from '../../src/io/widen-host.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import type { Site } from '../../src/methods/operation.ts';
import { pacaToLora } from '../../src/methods/paca-to-lora.ts';
import { evaluate, type Weights } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { buildModel, type Model } from '../../src/models/model.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor, HostTensorOf } from '../../src/spec/tensor.ts';
import { f64, type R } from '../support/tensors.ts';
import { llama3 } from './llama-configs.ts';
import { utf8 } from './temporary.ts';
import { contentOf } from './tensors.ts';

const fixture = (name: string): string => new URL(`../fixtures/llama/${name}`, import.meta.url).pathname;
const peft = (name: string): Files =>
  new Map(
    ['adapter_config.json', 'adapter_model.safetensors'].map((file) => [
      file,
      readFileSync(`${fixture(name)}/${file}`),
    ]),
  );
const configOf = (files: Files): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(files.get('adapter_config.json')));
const tensorsOf = (files: Files): Weights =>
  orThrow(decodeSafetensors(files.get('adapter_model.safetensors')!, 'a')).tensors;

const paca = (name = 'peft-paca'): PacaAdapterFile =>
  orThrow(decodeAdapter(peft(name), 'a')).adapter as PacaAdapterFile;
const lora = (name = 'peft-lora'): LoraAdapterFile =>
  orThrow(decodeAdapter(peft(name), 'a')).adapter as LoraAdapterFile;

describe.each(['peft-paca', 'peft-lora', 'peft-dora'])('the fixture %s', (name) => {
  test('is read without a warning, from its files and from its folder', async () => {
    const read = orThrow(decodeAdapter(peft(name), 'a'));
    expect(read.warnings).toEqual([]);
    expect(read.adapter).toMatchObject({ rank: 2, alpha: 4, base: 'llama3', taskType: 'CAUSAL_LM' });
    expect(Object.keys(read.adapter.modules)).toHaveLength(14);
    expect(orThrow(await readAdapter(nodeSource(fixture(name)), 'a'))).toEqual(read);
  });

  test('written again it has the same tensors, byte for byte, and the same settings', () => {
    const files = peft(name);
    const { adapter } = orThrow(decodeAdapter(files, 'a'));
    const again = encodeAdapter(adapter);
    expect([...again.get('adapter_model.safetensors')!]).toEqual([...files.get('adapter_model.safetensors')!]);
    const { peft_version: version, ...config } = configOf(files);
    const { peft_version: ours, ...settings } = configOf(again);
    expect(settings).toEqual(config);
    expect(Object.keys(configOf(again))).toEqual(Object.keys(configOf(files)));
    expect([version, ours]).toEqual(['0.21.2', name === 'peft-paca' ? '0.22.0' : '0.21.2']);
    expect(orThrow(decodeAdapter(again, 'a'))).toEqual({ adapter, warnings: [] });
  });
});

describe('the model that an adapter makes gives the logits of PEFT', () => {
  const expectLogits = async (name: string, { layer, params }: Model<R>): Promise<void> => {
    const { tensors } = orThrow(decodeSafetensors(readFileSync(`${fixture(name)}/expected.safetensors`), name));
    const logits = await f64.toHost(layer(evaluate).forward(params, f64.fromHost(tensors.input_ids!))[0]);
    const expected = tensors.logits!.data as Float64Array;
    const apart = Math.max(...expected.map((x, i) => Math.abs(x - Number(logits.data[i]))));
    expect(apart / Math.max(...expected.map(Math.abs))).toBeLessThan(1e-6);
  };

  /** W + s·B A, in f64. */
  const merged = (weight: HostTensor, a: HostTensor, b: HostTensor, scale: number): HostTensor => {
    const [out = 0, columns = 0] = weight.shape;
    const data = Float64Array.from(weight.data as Float32Array);
    for (let i = 0; i < out; i++)
      for (let j = 0; j < columns; j++)
        for (let t = 0; t < a.shape[0]!; t++)
          data[i * columns + j]! += scale * Number(b.data[i * b.shape[1]! + t]) * Number(a.data[t * columns + j]);
    return { dtype: 'f64', shape: weight.shape, data };
  };

  const base = (): Weights =>
    orThrow(decodeSafetensors(readFileSync(`${fixture('llama3')}/model.safetensors`), 'llama3')).tensors;

  const adapted = (modules: Readonly<Record<string, { a: HostTensor; b: HostTensor; scale: number }>>): Weights => {
    const weights = { ...base() };
    for (const [path, { a, b, scale }] of Object.entries(modules))
      weights[`${path}.weight`] = merged(weights[`${path}.weight`]!, a, b, scale);
    return weights;
  };

  test.each(['peft-paca', 'own-paca'])('PaCA: %s', async (name) => {
    const { modules, alpha } = paca(name);
    const treatment = ({ path }: Site): Treatment => {
      const { indices, delta } = modules[path]!;
      return { method: 'paca', adapters: [{ indices, delta, alpha }] };
    };
    const checkpoint = orThrow(await openCheckpoint(nodeSource(fixture('llama3')), 'llama3'));
    await expectLogits(name, orThrow(await loadModel(f64, llama(llama3), checkpoint, treatment)));
  });

  test('DoRA', async () => {
    const { adapter } = orThrow(decodeAdapter(peft('peft-dora'), 'a'));
    const checkpoint = orThrow(await openCheckpoint(nodeSource(fixture('llama3')), 'llama3'));
    const treatment = ({ path }: Site): Treatment => treatmentAt(adapter, path, false);
    await expectLogits('peft-dora', orThrow(await loadModel(f64, llama(llama3), checkpoint, treatment)));
  });

  test('PaCA as LoRA, written and read again', async () => {
    const { modules, alpha, rank, targetModules } = paca();
    const weights = base();
    const loras = Object.entries(modules).map(([path, { indices, delta }]) => {
      const columns = weights[`${path}.weight`]!.shape[1]!;
      const { a, b } = pacaToLora({ indices, delta: delta as HostTensorOf<'f32'>, scale: alpha / rank }, columns);
      return [path, { a, b, alpha }] as const;
    });
    const file = { method: 'lora', rank, alpha, targetModules, rankStabilized: false } as const;
    const files = encodeAdapter({ ...file, modules: Object.fromEntries(loras) });
    const { adapter } = orThrow(decodeAdapter(files, 'a')) as { adapter: LoraAdapterFile };
    const scaled = Object.entries(adapter.modules).map(([path, m]) => [path, { ...m, scale: loraScale(adapter, m) }]);
    const model = buildModel(f64, llama(llama3), adapted(Object.fromEntries(scaled)), () => ({ method: 'frozen' }));
    await expectLogits('peft-paca', orThrow(model));
  });

  test.each(['peft-lora', 'own-lora'])('LoRA, as a method: %s', async (name) => {
    const adapter = lora(name);
    const treatment = ({ path }: Site): Treatment => {
      const module = adapter.modules[path]!;
      return { method: 'lora', adapters: [{ a: module.a, b: module.b, scale: loraScale(adapter, module) }] };
    };
    await expectLogits(name, orThrow(buildModel(f64, llama(llama3), base(), treatment)));
  });

  test('LoRA, merged', async () => {
    const adapter = lora();
    const scaled = Object.entries(adapter.modules).map(([path, m]) => [path, { ...m, scale: loraScale(adapter, m) }]);
    const model = buildModel(f64, llama(llama3), adapted(Object.fromEntries(scaled)), () => ({ method: 'frozen' }));
    await expectLogits('peft-lora', orThrow(model));
  });
});

// Any adapter

const floats = (...shape: readonly number[]): fc.Arbitrary<HostTensorOf<'f32'>> => {
  const length = shape.reduce((n, d) => n * d, 1);
  return fc
    .array(fc.float({ noNaN: true }), { minLength: length, maxLength: length })
    .map((numbers) => ({ dtype: 'f32', shape, data: Float32Array.from(numbers) }));
};

const modulesOf = <A>(module: fc.Arbitrary<A>): fc.Arbitrary<Readonly<Record<string, A>>> =>
  fc
    .uniqueArray(
      fc.tuple(fc.constantFrom('q', 'h.0.q', 'h.1.q', 'x.h.0.q', 'h-0+q', '__proto__', 'paca_delta', 'a(b'), module),
      { selector: ([path]) => path, minLength: 1, maxLength: 4 },
    )
    .map((entries) => Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))));

const settings = fc.record({
  targetModules: fc.constantFrom<string | string[]>('.*', 'all-linear', [
    'q',
    'h-0+q',
    '__proto__',
    'paca_delta',
    'a(b',
  ]),
  excludeModules: fc.constantFrom(null, 'nothing', ['none']),
  layersToTransform: fc.constantFrom(null, 3, [0, 1]),
  layersPattern: fc.constantFrom(null, 'h', ['h']),
  modulesToSave: fc.constant(null),
  taskType: fc.constantFrom(null, 'CAUSAL_LM'),
  base: fc.constantFrom(null, 'a/b'),
  revision: fc.constantFrom(null, 'main'),
});

const pacaModule = (rank: number): fc.Arbitrary<PacaAdapterFile['modules'][string]> =>
  fc.record({
    indices: fc
      .uniqueArray(fc.nat(2 ** 31 - 1), { minLength: rank, maxLength: rank })
      .map((indices) => Int32Array.from(indices).sort()),
    delta: fc.nat(3).chain((out) => fc.oneof(floats(out, rank), floats(out, rank, 2, 1), floats(2 * rank, 1, 1, 2))),
  });

const anyPaca: fc.Arbitrary<PacaAdapterFile> = fc
  .tuple(settings, fc.integer({ min: 1, max: 4 }))
  .chain(([common, rank]) =>
    fc.record({
      ...Object.fromEntries(Object.entries(common).map(([key, value]) => [key, fc.constant(value)])),
      method: fc.constant('paca' as const),
      rank: fc.constant(rank),
      alpha: fc.constantFrom(0.5, 1, 64),
      seed: fc.constantFrom(null, 0, 7),
      modules: modulesOf(pacaModule(rank)),
    }),
  ) as fc.Arbitrary<PacaAdapterFile>;

const lowRankModule = (method: LowRankAdapterFile['method']) =>
  fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat(3), fc.nat(3)).chain(([rank, out, columns]) =>
    fc.record({
      a: floats(rank, columns),
      b: floats(out, rank),
      alpha: fc.constantFrom(1, 4, -2.5),
      ...(method === 'dora' && { magnitude: floats(out) }),
      ...(method === 'moslora' && { mixer: floats(rank, rank) }),
    }),
  );

const anyLowRank: fc.Arbitrary<LowRankAdapterFile> = fc
  .tuple(settings, fc.constantFrom('lora' as const, 'dora' as const, 'moslora' as const))
  .chain(([common, method]) =>
    fc.record({
      ...Object.fromEntries(Object.entries(common).map(([key, value]) => [key, fc.constant(value)])),
      method: fc.constant(method),
      rank: fc.constantFrom(1, 2),
      alpha: fc.constantFrom(1, 4),
      rankStabilized: fc.boolean(),
      modules: modulesOf(lowRankModule(method) as fc.Arbitrary<LoraModule>),
    }),
  ) as fc.Arbitrary<LowRankAdapterFile>;

/** The adapter with its modules in a list, for the record that is read has no prototype. */
const plain = (adapter: AdapterFile): unknown => ({ ...adapter, modules: Object.entries<unknown>(adapter.modules) });

describe('any adapter', () => {
  test('is what was written', () =>
    fc.assert(
      fc.asyncProperty(fc.oneof(anyPaca, anyLowRank), async (adapter) => {
        const read = orThrow(await readAdapter(memorySource(encodeAdapter(adapter)), 'a'));
        expect(plain(read.adapter)).toEqual(plain(adapter));
        expect(read.warnings).toEqual([]);
      }),
      { numRuns: 300 },
    ));

  test('of PaCA reads alike in whatever order its columns lie, as i32 and as i64', () =>
    fc.assert(
      fc.property(anyPaca, fc.nat(), fc.boolean(), (adapter, seed, small) => {
        const { rank } = adapter;
        const turn = (j: number): number => (j + seed) % rank;
        const files = encodeAdapter(adapter);
        const turned = Object.entries(tensorsOf(files)).map(([name, t]): [string, HostTensor] => {
          const data = t.data.slice() as Float32Array;
          const isIndices = t.dtype === 'i64';
          const depthwise = t.shape.length === 4 && t.shape[1] === 1 && rank > 1;
          const before = isIndices || depthwise ? 1 : t.shape[0]!;
          const after = data.length / (before * rank) || 0;
          for (let row = 0; row < before; row++)
            for (let j = 0; j < rank; j++)
              for (let i = 0; i < after; i++)
                data[(row * rank + turn(j)) * after + i] = t.data[(row * rank + j) * after + i] as number;
          const i32 = (): HostTensor => ({ dtype: 'i32', shape: t.shape, data: Int32Array.from(data, Number) });
          return [name, isIndices && small ? i32() : ({ ...t, data } as HostTensor)];
        });
        const shuffled = new Map([
          ...files,
          ['adapter_model.safetensors', encodeSafetensors(Object.fromEntries(turned))] as const,
        ]);
        expect(plain(orThrow(decodeAdapter(shuffled, 'a')).adapter)).toEqual(plain(adapter));
      }),
    ));
});

test('MosLoRA has a type of its own, which PEFT refuses, and a mixer in each module', () => {
  const mixer: HostTensorOf<'f32'> = { dtype: 'f32', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
  const { modules, ...rest } = lora();
  const mixed = Object.fromEntries(Object.entries(modules).map(([path, module]) => [path, { ...module, mixer }]));
  const files = encodeAdapter({ ...rest, method: 'moslora', modules: mixed });
  expect(configOf(files)).toMatchObject({ peft_type: 'MOSLORA', use_dora: false });
  expect(tensorsOf(files)['base_model.model.model.layers.0.mlp.up_proj.lora_mixer.weight']).toEqual(mixer);
  const without = new Map([
    ...encodeAdapter(lora()),
    ['adapter_config.json', files.get('adapter_config.json')!] as const,
  ]);
  expect(E.isLeft(decodeAdapter(without, 'a'))).toBe(true);
});

test('16-bit tensors are widened', () => {
  const files = peft('peft-lora');
  const half = Object.entries(tensorsOf(files)).map(([name, { shape, data }]): [string, HostTensor] => [
    name,
    { dtype: 'bf16', shape, data: Uint16Array.from(data as Float32Array, (_, i) => i * 97) },
  ]);
  const bytes = encodeSafetensors(Object.fromEntries(half));
  const { adapter } = orThrow(decodeAdapter(new Map([...files, ['adapter_model.safetensors', bytes]]), 'a'));
  const wide = half.map(([name, t]): [string, HostTensor] => [name, orThrow(widenHost(t, name))]);
  expect(contentOf(tensorsOf(encodeAdapter(adapter)))).toEqual(contentOf(Object.fromEntries(wide)));
});

describe('ranks and alphas by module', () => {
  const module = (rank: number, alpha: number): LoraAdapterFile['modules'][string] => ({
    a: { dtype: 'f32', shape: [rank, 3], data: new Float32Array(3 * rank) },
    b: { dtype: 'f32', shape: [2, rank], data: new Float32Array(2 * rank) },
    alpha,
  });
  const adapter: LoraAdapterFile = {
    method: 'lora',
    rank: 1,
    alpha: 8,
    targetModules: ['q', 'k'],
    rankStabilized: false,
    modules: { 'h.0.q': module(4, 8), 'h.1.k': module(1, 2), 'h.1.q': module(4, 8), 'x.h.1.k': module(1, 8) },
  };
  const withPatterns = (ranks: unknown, alphas: unknown): Files => {
    const files = encodeAdapter(adapter);
    const config = { ...configOf(files), rank_pattern: ranks, alpha_pattern: alphas };
    return new Map([...files, ['adapter_config.json', utf8(JSON.stringify(config))]]);
  };

  test('are written as expressions that match one path alone', () => {
    expect(configOf(encodeAdapter(adapter))).toMatchObject({
      rank_pattern: { '^h\\.0\\.q': 4, '^h\\.1\\.q': 4 },
      alpha_pattern: { '^h\\.1\\.k': 2 },
    });
  });

  test('are read as PEFT reads them: a path or its end, the first match wins', () => {
    const alphas = { 'h.1.k': 16, 'x.h.1.k': 3, '1\\..': 5, '.*': 6 };
    const { modules } = orThrow(decodeAdapter(withPatterns({ q: 4 }, alphas), 'a')).adapter as LoraAdapterFile;
    expect(Object.entries(modules).map(([path, { alpha }]) => [path, alpha])).toEqual([
      ['h.0.q', 6],
      ['h.1.k', 16],
      ['h.1.q', 5],
      ['x.h.1.k', 16],
    ]);
  });

  test('the scale is α/r, of rsLoRA α/√r', () => {
    expect(loraScale({ rankStabilized: false }, module(4, 8))).toBe(2);
    expect(loraScale({ rankStabilized: true }, module(4, 8))).toBe(4);
  });

  test('a pattern that does not fit the tensors, or is none, is an error', () => {
    for (const [ranks, alphas] of [
      [{}, {}],
      [{ q: 2 }, {}],
      [{ q: 4.5 }, {}],
      [{ q: 4 }, { k: null }],
      [{ q: 4 }, { '(': 1 }],
      [[4], {}],
      [4, {}],
    ])
      expect(E.isLeft(decodeAdapter(withPatterns(ranks, alphas), 'a'))).toBe(true);
    expect(E.isRight(decodeAdapter(withPatterns({ q: 4 }, null), 'a'))).toBe(true);
  });
});

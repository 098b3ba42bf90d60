/** Adapters with modules that are saved whole: against PEFT, as a round trip, over a model, and what is refused. */
import { readFileSync } from 'node:fs';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { andThen } from '../../src/core/layer.ts';
import { leafPaths } from '../../src/core/tree.ts';
import { type AdapterFile, decodeAdapter, encodeAdapter } from '../../src/io/adapter.ts';
import { type SavedTensors, savedOver } from '../../src/io/adapter-saved.ts';
import { treatmentAt } from '../../src/io/adapter-treatment.ts';
import { checkpointWith, openCheckpoint } from '../../src/io/checkpoint.ts';
import { parseLlamaConfig } from '../../src/io/llama-config.ts';
import { loadModel } from '../../src/io/load-model.ts';
import { decodeSafetensors, encodeSafetensors } from '../../src/io/safetensors.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import type { Files } from '../../src/io/store.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import { evaluate, type Weights } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import type { Model } from '../../src/models/model.ts';
import { besides, savedPlaces, trainsAt } from '../../src/models/saved-places.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor, HostTensorOf, Shape } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';
import { f64, ints, numbersOf, type R } from '../support/tensors.ts';
import { llama2, llama3 } from './llama-configs.ts';

const fixture = (name: string): string => new URL(`../fixtures/llama/${name}`, import.meta.url).pathname;
const CONFIG = 'adapter_config.json';
const TENSORS = 'adapter_model.safetensors';
const filesOf = (name: string): Files =>
  new Map([CONFIG, TENSORS].map((file) => [file, new Uint8Array(readFileSync(`${fixture(name)}/${file}`))]));
const tensorsIn = (path: string): Weights => orThrow(decodeSafetensors(readFileSync(fixture(path)), path)).tensors;
const configOf = (files: Files): Record<string, unknown> => JSON.parse(new TextDecoder().decode(files.get(CONFIG)));
const withConfig = (files: Files, changes: object): Files =>
  new Map([...files, [CONFIG, new TextEncoder().encode(JSON.stringify({ ...configOf(files), ...changes }))]]);
const withTensors = (files: Files, change: (tensors: Weights) => Weights): Files =>
  new Map([...files, [TENSORS, encodeSafetensors(change(tensorsIn('peft-saved/adapter_model.safetensors')))]]);

const peft = filesOf('peft-saved');
const read = orThrow(decodeAdapter(peft, 'a'));
const { adapter } = read;

const whole = ['lm_head', 'model.embed_tokens', 'model.layers.1.mlp.up_proj', 'model.norm'].map((p) => `${p}.weight`);

const biases = [0, 1].flatMap((layer) =>
  ['k', 'q', 'v'].map((name) => `model.layers.${layer}.self_attn.${name}_proj.bias`),
);

/** The base with the adapter in it, all of which trains. */
const trained = async (base: string, file: AdapterFile): Promise<Model<R>> => {
  const json = JSON.parse(readFileSync(`${fixture(base)}/config.json`, 'utf8'));
  const architecture = llama(orThrow(parseLlamaConfig(json, base)));
  const checkpoint = orThrow(await openCheckpoint(nodeSource(fixture(base)), base));
  const saved = orThrow(savedPlaces(architecture, file.modulesToSave ?? []));
  const tensors = orThrow(savedOver(architecture, file, 'a'));
  return orThrow(
    await loadModel(
      ...([f64, architecture, checkpointWith(checkpoint, tensors)] as const),
      besides(saved, ({ path }) => treatmentAt(file, path, true)),
      trainsAt(saved),
    ),
  );
};

const expectNear = async (actual: R, expected: HostTensor, tolerance = 2e-5): Promise<void> => {
  const [got, wanted] = [await numbersOf(f64, actual), Array.from(expected.data, Number)];
  expect(got.length).toBe(wanted.length);
  const largest = Math.max(...wanted.map(Math.abs));
  expect(Math.max(...got.map((x, i) => Math.abs(x - wanted[i]!))) / largest).toBeLessThan(tolerance);
};

describe.each([
  ['peft-saved', 'llama2', 13, whole],
  ['peft-bias', 'qwen2', 4, biases],
] as const)('the fixture %s', (fixed, base, modules, names) => {
  const peft = filesOf(fixed);
  const read = orThrow(decodeAdapter(peft, 'a'));
  const { adapter } = read;

  test('is read without a warning: adapters, and the tensors that are held whole', () => {
    expect(read.warnings).toEqual([]);
    expect(Object.keys(adapter.modules)).toHaveLength(modules);
    expect(Object.keys(adapter.saved!).sort()).toEqual(names);
  });

  test('written again it has the same tensors, byte for byte, and the same settings', () => {
    const again = encodeAdapter(adapter);
    expect(again.get(TENSORS)).toEqual(peft.get(TENSORS));
    expect(configOf(again)).toEqual(configOf(peft));
    expect(orThrow(decodeAdapter(again, 'a'))).toEqual(read);
  });

  test("gives PEFT's logits and loss, and its gradients of all that trains", async () => {
    const expected = tensorsIn(`${fixed}/expected.safetensors`);
    const { layer, params } = await trained(base, adapter);
    const [rows = 0, tokens = 0] = expected.labels!.shape;
    const labels = Array.from(expected.labels!.data, Number);
    const shifted = labels.map((_, i) => ((i + 1) % tokens === 0 ? -100 : labels[i + 1]!));
    const denominator = shifted.filter((label) => label !== -100).length;
    const ids = f64.fromHost(expected.input_ids!);
    await expectNear(layer(evaluate).forward(params, ids)[0] as R, expected.logits!);
    const lossAndModel = andThen(f64, layer(evaluate), crossEntropy(f64));
    const p = [params, { targets: f64.fromHost(ints([rows * tokens], shifted)), denominator }] as const;
    const [loss, residual] = lossAndModel.forward(p, ids);
    await expectNear(loss, expected.loss!);
    const [gradient] = lossAndModel.gradient(p, residual, f64.full([], 1));
    const leaves = leafPaths(gradient).map(([path, leaf]) => {
      const part: Record<string, string> = { '.adapters.0.a': '.lora_A.weight', '.adapters.0.b': '.lora_B.weight' };
      const name = Object.entries(part).reduce((text, [from, to]) => text.replace(from, to), path);
      const isAdapted = Object.hasOwn(adapter.modules, name.replace(/\.bias$/, ''));
      return [`gradient.${isAdapted ? name.replace(/bias$/, 'base_layer.bias') : name}`, leaf] as const;
    });
    expect(leaves.map(([name]) => name).sort()).toEqual(
      Object.keys(expected)
        .filter((name) => name.startsWith('gradient.'))
        .sort(),
    );
    for (const [name, leaf] of leaves) await expectNear(leaf, expected[name]!);
  });
});

test.each(['own-saved-paca', 'own-saved-lora'])('%s, which PEFT was held to, gives its logits', async (own) => {
  const { adapter: file, warnings } = orThrow(decodeAdapter(filesOf(own), own));
  expect(warnings).toEqual([]);
  const expected = tensorsIn(`${own}/expected.safetensors`);
  const { layer, params } = await trained('llama3', file);
  await expectNear(layer(evaluate).forward(params, f64.fromHost(expected.input_ids!))[0] as R, expected.logits!);
});

// Any adapter

const floats = (...shape: readonly number[]): fc.Arbitrary<HostTensorOf<'f32'>> => {
  const length = shape.reduce((n, d) => n * d, 1);
  return fc
    .float32Array({ minLength: length, maxLength: length })
    .map((data) => ({ dtype: 'f32', shape, data }) as HostTensorOf<'f32'>);
};

const name = fc.stringMatching(/^[a-z_]{1,6}$/);

test('what is saved whole beside an adapter of either kind is read as it was written', () => {
  const saved = fc.dictionary(
    fc.tuple(name, name).map(([a, b]) => `whole.${a}.${b}.weight`),
    floats(2, 3),
    { minKeys: 1, maxKeys: 3 },
  );
  fc.assert(
    fc.property(saved, floats(4, 2), floats(2, 5), fc.boolean(), (tensors, b, a, isPaca) => {
      const common = {
        ...{ rank: 2, alpha: 4, targetModules: ['map'], saved: tensors },
        modulesToSave: Object.keys(tensors).map((tensor) => tensor.replace(/\.weight$/, '')),
      };
      const indices = Int32Array.of(1, 3);
      const file: AdapterFile = isPaca
        ? { method: 'paca', ...common, seed: 1, modules: { map: { indices, delta: b } } }
        : { method: 'lora', ...common, rankStabilized: false, modules: { map: { a, b, alpha: 4 } } };
      const { adapter: back, warnings } = orThrow(decodeAdapter(encodeAdapter(file), 'a'));
      expect(warnings).toEqual([]);
      expect(back.modulesToSave).toEqual(file.modulesToSave);
      expect(back.modules).toEqual(file.modules);
      expect(Object.keys(back.saved!).sort()).toEqual(Object.keys(tensors).sort());
      for (const [key, { shape, data }] of Object.entries(back.saved!)) {
        expect(shape).toEqual(tensors[key]!.shape);
        expect(new Uint32Array(data.slice().buffer)).toEqual(new Uint32Array(tensors[key]!.data.slice().buffer));
      }
    }),
  );
});

describe('the file', () => {
  const errorOf = (files: Files) => {
    const result = decodeAdapter(files, 'a');
    return E.isLeft(result) ? result.left : null;
  };

  test('takes 16-bit tensors, and modules inside one that is named', () => {
    const half = withTensors(
      withConfig(peft, { modules_to_save: ['lm_head', 'embed_tokens', 'norm', '1.mlp'] }),
      (t) => ({
        ...t,
        'base_model.model.model.norm.weight': { dtype: 'bf16', shape: [24], data: new Uint16Array(24).fill(0x3f80) },
      }),
    );
    const { adapter: found, warnings } = orThrow(decodeAdapter(half, 'a'));
    expect(warnings).toEqual([]);
    expect(Object.keys(found.saved!).sort()).toEqual(whole);
    expect(found.saved!['model.norm.weight']!.data).toEqual(new Float32Array(24).fill(1));
  });

  test('warns of a name without tensors, and is refused with a tensor that nothing names', () => {
    const more = withConfig(peft, { modules_to_save: [...adapter.modulesToSave!, 'score'] });
    expect(orThrow(decodeAdapter(more, 'a')).warnings).toEqual([
      'a/adapter_config.json: modules_to_save names "score", of which there is no tensor',
    ]);
    expect(errorOf(withConfig(peft, { modules_to_save: ['lm_head'] }))).toMatchObject({ tag: 'FileError' });
    expect(errorOf(withConfig(peft, { modules_to_save: 'lm_head' }))).toMatchObject({ expected: 'a list of names' });
  });
});

describe('over a model', () => {
  const table = (value: number, shape: Shape = [37, 24]): HostTensorOf<'f32'> => ({
    ...{ dtype: 'f32', shape },
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(value),
  });
  const [EMBEDDING, HEAD] = ['model.embed_tokens.weight', 'lm_head.weight'];
  const over = (config: typeof llama2, saved: SavedTensors) => savedOver(llama(config), { saved }, 'a');

  test('a table that is tied is one, and comes under both names', () => {
    const both = { [EMBEDDING]: table(1), [HEAD]: table(1) };
    expect(Object.keys(orThrow(over(llama3, both)))).toEqual([EMBEDDING]);
    expect(Object.keys(orThrow(over(llama2, both)))).toEqual([EMBEDDING, HEAD]);
  });

  test.each<[string, typeof llama2, SavedTensors, string]>([
    ['a tied table alone', llama3, { [EMBEDDING]: table(1) }, `${EMBEDDING} alone`],
    ['the other alone', llama3, { [HEAD]: table(1) }, `${HEAD} alone`],
    ['two that differ', llama3, { [EMBEDDING]: table(1), [HEAD]: table(2) }, 'two tables'],
    ['another module', llama2, { 'score.weight': table(1) }, '"score.weight"'],
    ['another shape', llama2, { [HEAD]: table(1, [24, 37]) }, 'f32[24, 37]'],
  ])('is refused: %s', (_, config, saved, came) => {
    const result = over(config, saved);
    expect(E.isLeft(result) && result.left.came).toBe(came);
  });

  test('is refused: a module that is named and has no tensor', () => {
    const result = savedOver(llama(llama2), { modulesToSave: ['norm', 'lm_head'], saved: { [HEAD]: table(1) } }, 'a');
    expect(E.isLeft(result) && result.left.expected).toContain('model.layers.0.input_layernorm.weight');
  });

  test('names are paths or their ends behind a dot; what is unknown is refused with what there is', () => {
    const paths = (...names: readonly string[]): readonly string[] =>
      orThrow(savedPlaces(llama(llama2), names)).map(({ path }) => path);
    expect(paths('norm', 'lm_head')).toEqual(['model.norm', 'lm_head']);
    expect(paths('model.layers.1.mlp.up_proj', '0.mlp.down_proj')).toHaveLength(2);
    const unknown = savedPlaces(llama(llama2), ['lm_head', 'score']);
    expect(E.isLeft(unknown) && unknown.left).toMatchObject({ came: "'score'", where: 'modulesToSave' });
    expect(E.isLeft(unknown) && unknown.left.expected).toContain('embed_tokens, input_layernorm, q_proj');
    const tied = savedPlaces(llama(llama3), ['lm_head']);
    expect(E.isLeft(tied) && tied.left.expected).toContain('model.embed_tokens and lm_head');
    expect(orThrow(savedPlaces(llama(llama3), ['lm_head', 'embed_tokens'])).map(({ at }) => at)).toEqual([
      'model.embed_tokens',
      'model.embed_tokens',
    ]);
  });
});

/** `paca plan`: from the config alone, the bytes of the model that is really built; what makes no sense is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { resolveBackend } from '../../backends/resolve.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { parseLlamaConfig } from '../../src/io/llama-config.ts';
import { loadModel } from '../../src/io/load-model.ts';
import { storageTypes } from '../../src/io/narrow-host.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import type { LinearConfig } from '../../src/layers/linear.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import type { TrainingMethod, Treatment } from '../../src/methods/adapt.ts';
import { freshMoslora } from '../../src/methods/moslora.ts';
import type { Site } from '../../src/methods/operation.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { besides, savedPlaces, trainsAt } from '../../src/models/saved-places.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import { account, trainableCount } from '../../src/train/account.ts';
import { initialState, type Problem, trainStep } from '../../src/train/step.ts';
import { writeFolder } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import { configFile, writeBase } from './tiny-folder.ts';

const folder = temporaryFolder();
const bases = Object.fromEntries(storageTypes.map((dtype) => [dtype, writeBase(join(folder, dtype), dtype)]));

type Method = TrainingMethod;
const methods: readonly Method[] = ['paca', 'lora', 'dora', 'moslora', 'full'];

const config = (name: string, changes: object): string =>
  join(
    writeFolder(join(folder, name), { 'config.json': JSON.stringify({ ...configFile, ...changes }) }),
    'config.json',
  );

const alone = config('alone', {});

const treatment =
  (method: Method) =>
  ({ path, operation: { config: map } }: Site): Treatment => {
    if (method === 'full') return { method };
    if (path === 'lm_head') return { method: 'frozen' };
    if (method === 'paca') return { method, adapters: [{ indices: Int32Array.of(0, 1, 2), alpha: 3 }] };
    const fresh = freshMoslora(rngFromSeed(1), map as LinearConfig, 3);
    return { method, adapters: [{ ...fresh, scale: 1 }] };
  };

/** The model of a folder with its weights, as a run has it. */
const built = async <T extends Spec>(
  k: Kernels<T>,
  base: string,
  method: Method,
  recompute: boolean,
  modulesToSave: readonly string[] = [],
): Promise<Problem<T, unknown>> => {
  const checkpoint = orThrow(await openCheckpoint(nodeSource(base), base));
  const json = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8'));
  const architecture = llama(orThrow(parseLlamaConfig(json, base)), { recompute });
  const saved = orThrow(savedPlaces(architecture, modulesToSave));
  const trains = method === 'full' ? () => true : trainsAt(saved);
  return {
    kernels: k,
    model: orThrow(await loadModel(k, architecture, checkpoint, besides(saved, treatment(method)), trains)),
    loss: crossEntropy(k) as Problem<T, unknown>['loss'],
    optimizer: adamw(k, { learningRate: 0.1 }),
    seed: 1,
  };
};

const reportOf = async (...flags: readonly string[]) => {
  const { output, code, error } = await call(['plan', ...flags, '--json']);
  expect({ code, error }).toEqual({ code: 0, error: null });
  return JSON.parse(output);
};

const sizes = ['--batch-size', '3', '--sequence', '29'];
const fixtures = join(import.meta.dirname, '..', 'fixtures', 'llama');
const input: Spec = { dtype: 'i32', shape: [3, 29] };

const cases = methods.flatMap((method) => [false, true].map((recompute) => [method, recompute] as const));
const flagsOf = (method: Method, recompute: boolean): readonly string[] => [
  ...['--method', method, ...sizes],
  ...(method === 'full' ? [] : ['--rank', '3']),
  ...(recompute ? ['--recompute'] : []),
];

describe.each(cases)('paca plan of %s, recompute %s', (method, recompute) => {
  it.each(storageTypes)('has the bytes of the model that is built over %s', async (dtype) => {
    const report = await reportOf('--base', bases[dtype]!, '--dtype', dtype, ...flagsOf(method, recompute));
    const problem = await built(referenceF32().kernels, bases[dtype]!, method, recompute);
    const { workspace, total, ...known } = report.bytes;
    expect(known).toEqual(account(problem, input));
    expect(known.trainable).toBe(4 * trainableCount(problem));
    expect(total).toBe(known.weights + known.gradients + known.optimizer + known.residual + workspace);
    const parts = Object.values<number>(report.byOp);
    expect(parts.reduce((a, b) => a + b, 0)).toBe(known.residual);
    expect(report).toMatchObject({ model: bases[dtype], method, batch: 3, seq: 29 });
  });

  it('is within a tenth of the peak that WebAssembly counts in a step', async () => {
    const { bytes } = await reportOf('--config', alone, ...flagsOf(method, recompute));
    const wasm = orThrow(await resolveBackend('wasm', { threads: 1 }));
    const { kernels: k } = wasm;
    const problem = await built(k, bases.f32!, method, recompute);
    const state = initialState(problem, { donate: true });
    const ids = k.fromHost({ dtype: 'i32', shape: [3, 29], data: new Int32Array(3 * 29) });
    k.resetPeak();
    trainStep(problem, state, [{ inputs: ids, targets: ids, count: 3 * 29 }], { donate: true });
    expect(bytes.total / k.memory().peak).toBeGreaterThan(0.9);
    expect(bytes.total / k.memory().peak).toBeLessThan(1.1);
    await wasm.dispose();
  });

  it('finds the longest sequence that the memory holds', async () => {
    const plan = (...more: readonly string[]) => reportOf('--config', alone, ...flagsOf(method, recompute), ...more);
    const { total } = (await plan()).bytes;
    expect((await plan('--memory', `${total}B`)).longestSeq).toBe(29);
    expect((await plan('--memory', `${total - 1} B`)).longestSeq).toBe(28);
    expect((await plan('--memory', '1KiB')).longestSeq).toBe(0);
    expect((await plan('--memory', '1.5GiB')).longestSeq).toBe(64);
  });
});

describe('paca plan', () => {
  it.each(['f32', 'bf16', 'nf4'])(
    'has the bytes of a run with modules that are saved whole, over %s',
    async (dtype) => {
      const names = '[lm_head, embed_tokens, norm, layers.1.mlp.up_proj]';
      const common = ['--config', alone, '--method', 'paca', '--rank', '3', '--dtype', dtype, ...sizes];
      const [{ bytes }, without] = [await reportOf(...common, '--modules-to-save', names), await reportOf(...common)];
      const problem = await built(referenceF32().kernels, bases.f32!, 'paca', false, names.slice(1, -1).split(', '));
      const { trainable, gradients, optimizer, residual } = account(problem, input);
      expect(bytes).toMatchObject({ trainable, gradients, optimizer, residual });
      if (dtype === 'f32') expect(bytes.weights).toBe(account(problem, input).weights);
      expect(bytes.trainable).toBeGreaterThan(without.bytes.trainable);
      const unknown = await call(['plan', ...common, '--modules-to-save', '[score]']);
      expect(unknown.error).toMatchObject({ came: "'score'", where: 'modulesToSave' });
    },
  );

  it.each(['llama2', 'llama3', 'mistral', 'qwen2', 'qwen3', 'yarn'])('knows the family: %s', async (name) => {
    const base = join(fixtures, name);
    for (const method of methods) {
      const { workspace: _, total: __, ...known } = (await reportOf('--base', base, ...flagsOf(method, false))).bytes;
      expect(known).toEqual(account(await built(referenceF32().kernels, base, method, false), input));
    }
  });

  it('keeps less by PaCA than by LoRA, in the linear maps alone', async () => {
    const [paca, lora] = await Promise.all(
      (['paca', 'lora'] as const).map((method) => reportOf('--config', alone, ...flagsOf(method, false))),
    );
    const { linears: ofPaca, ...others } = paca.byOp;
    expect(lora.byOp).toEqual({ ...others, linears: expect.any(Number) });
    expect(ofPaca).toBe(4 * 3 * 29 * 3 * 14);
    expect(lora.byOp.linears).toBeGreaterThan(3 * ofPaca);
  });

  it('takes PaCA of rank 16, 8 sequences of 512 tokens and 4 GiB unless told otherwise', async () => {
    const wide = config('wide', { hidden_size: 32, intermediate_size: 40, max_position_embeddings: 1024 });
    const report = await reportOf('--config', wide);
    expect(report).toMatchObject({ model: wide, method: 'paca', rank: 16, batch: 8, seq: 512, memory: 2 ** 32 });
    const flags = ['--method', 'paca', '--rank', '16', '--batch-size', '8', '--sequence', '512', '--memory', '4GiB'];
    expect(await reportOf('--config', wide, ...flags, '--target-modules', 'all-linear')).toEqual(report);
    expect((await reportOf('--config', alone, '--rank', '3')).seq).toBe(64);
  });

  it.each([
    ['dtype', 'bfloat16', 'bf16'],
    ['torch_dtype', 'float16', 'f16'],
    ['torch_dtype', null, 'f32'],
  ])('reads the type of the weights from %s: %s', async (key, name, dtype) => {
    const typed = config(`typed-${key}-${name}`, { [key]: name });
    const { bytes } = await reportOf('--config', typed, '--rank', '3', ...sizes);
    expect(bytes).toEqual((await reportOf('--config', alone, '--dtype', dtype, '--rank', '3', ...sizes)).bytes);
  });

  it('counts adapters of the chosen modules alone', async () => {
    const flags = ['--target-modules', '[q_proj, down_proj]', '--exclude-modules', 'model.layers.1.*'];
    const { bytes } = await reportOf('--config', alone, '--rank', '2', ...sizes, ...flags);
    expect(bytes.trainable).toBe(4 * 2 * (24 + 12));
  });

  it('of a share of dropped branches has the bytes of the pass that keeps most', async () => {
    const flags = ['--config', alone, '--method', 'paca', '--rank', '3', ...sizes];
    const [none, half, most] = await Promise.all(
      ['0', '0.5', '0.99'].map((share) => reportOf(...flags, '--drop-backward', share)),
    );
    const problem = await built(referenceF32().kernels, bases.f32!, 'paca', false);
    const kept = Array.from(
      { length: 64 },
      (_, seed) => account({ ...problem, seed, dropBackward: 0.5 }, input).residual,
    );
    expect(half.bytes.residual).toBe(Math.max(...kept));
    expect(half.bytes.residual).toBeLessThan(none.bytes.residual);
    expect(most.bytes.residual).toBeLessThan(half.bytes.residual);
    expect(half.bytes.weights).toBe(none.bytes.weights);
    const told = (await call(['plan', ...flags, '--drop-backward', '0.5'])).output;
    expect(told).toContain('29 tokens, 50.0% of the branches left out of each backward pass\n');
  });

  it('shows the methods side by side, or the one that was asked for', async () => {
    const all = (await call(['plan', '--config', alone, '--rank', '3', ...sizes])).output;
    expect(all).toMatch(/3 sequences of 29 tokens\n\n +full +paca +lora +dora +moslora\n/);
    expect(all).toMatch(/longest sequence in 4\.0 GiB +64 +64 +64 +64 +64\n$/);
    const one = (await call(['plan', '--config', alone, ...flagsOf('lora', true), '--memory', '1KiB'])).output;
    expect(one).toMatch(/computed again for the backward pass\n\n +lora\n/);
    expect(one).toMatch(/of it blocks +\d/);
    expect(one).toMatch(/longest sequence in 1\.0 KiB +none fits\n$/);
  });
});

describe('paca plan refuses', () => {
  const broken = writeFolder(join(folder, 'broken'), { 'config.json': '{"model_type": ' });
  const odd = config('odd', { torch_dtype: 'int8' });
  const gpt = config('gpt', { model_type: 'gpt2' });

  it.each<[string, readonly string[], string, string]>([
    ['no model', ['--rank', '3'], 'neither', 'arguments'],
    ['two models', ['--base', folder, '--config', alone], 'both', 'arguments'],
    ['a base without config', ['--base', folder], 'ENOENT', 'config.json'],
    ['a config that is no JSON', ['--base', broken], '', 'broken/config.json'],
    ['another family', ['--config', gpt], '"gpt2"', 'model_type'],
    ['a type of weights that is not known', ['--config', odd], '"int8"', 'dtype'],
    ['an unknown method', ['--config', alone, '--method', 'ia3'], '"ia3"', 'method'],
    ['a rank of full fine-tuning', ['--config', alone, '--method', 'full', '--rank', '3'], '3', 'arguments'],
    ['a rank above the columns', ['--config', alone, '--rank', '13'], '13', 'q_proj'],
    ['a rank of 0', ['--config', alone, '--rank', '0'], '0', 'rank'],
    ['modules that are none', ['--config', alone, '--target-modules', '[c_attn]'], 'c_attn', 'targetModules'],
    ['more tokens than positions', ['--config', alone, '--sequence', '65'], '65', 'sequence'],
    ['no sequences', ['--config', alone, '--batch-size', '0'], '0', 'batchSize'],
    ['a memory without unit', ['--config', alone, '--memory', '8'], '"8"', 'memory'],
    ['a memory in another unit', ['--config', alone, '--memory', '8GB'], '"8GB"', 'memory'],
    ['an unknown flag', ['--config', alone, '--layers', '3'], "'--layers'", 'arguments'],
    ['an unknown type', ['--config', alone, '--dtype', 'int8'], '"int8"', 'dtype'],
  ])('%s', async (_, flags, came, where) => {
    const { error, output } = await call(['plan', ...flags]);
    expect(error?.came).toContain(came);
    expect(error?.where).toContain(where);
    expect(output).toBe('');
  });
});

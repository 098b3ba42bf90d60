/** `paca merge`: the merged folder computes with the bits of base and adapter; what does not fit is refused. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import type { AdapterFile } from '../../src/io/adapter.ts';
import { treatmentAt } from '../../src/io/adapter-treatment.ts';
import { type Checkpoint, openCheckpoint } from '../../src/io/checkpoint.ts';
import { loadModel } from '../../src/io/load-model.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { nodeSource } from '../../src/io/source-node.ts';
import { widenHost } from '../../src/io/widen-host.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import type { Site } from '../../src/methods/operation.ts';
import { evaluate } from '../../src/models/architecture.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { writeFolder } from '../support/tiny-base.ts';
import { call, temporaryFolder } from './program.ts';
import {
  companions,
  configFile,
  doraAdapter,
  loraAdapter,
  mosloraAdapter,
  pacaAdapter,
  tinyArchitecture,
  tinyWeights,
  writeAdapter,
  writeBase,
} from './tiny-folder.ts';

const folder = temporaryFolder();
const base = writeBase(join(folder, 'base'));
const half = writeBase(join(folder, 'half'), 'bf16');
const paca = writeAdapter(join(folder, 'paca'));
const lora = writeAdapter(join(folder, 'lora'), loraAdapter);
const dora = writeAdapter(join(folder, 'dora'), doraAdapter);
const moslora = writeAdapter(join(folder, 'moslora'), mosloraAdapter);

type Flags = Readonly<Record<string, string>>;

const merge = (out: string, flags: Flags, ...more: readonly string[]) => {
  const all = { base, adapter: paca, out: join(folder, out), backend: 'reference', ...flags };
  return call(['merge', ...Object.entries(all).flatMap(([key, value]) => [`--${key}`, value]), ...more]);
};

const reportOf = async (out: string, flags: Flags): Promise<Record<string, unknown>> => {
  const { output, code, error } = await merge(out, flags, '--json');
  expect({ code, error }).toEqual({ code: 0, error: null });
  return JSON.parse(output);
};

const open = async (name: string): Promise<Checkpoint> =>
  orThrow(await openCheckpoint(nodeSource(join(folder, name)), name));

const treatment =
  (adapter: AdapterFile) =>
  ({ path }: Site): Treatment =>
    treatmentAt(adapter, path, true);

const k = referenceF32().kernels;

/** The logits of two sequences. */
const logits = async (checkpoint: Checkpoint, treatmentOf: (site: Site) => Treatment): Promise<HostTensor> => {
  const model = orThrow(await loadModel(k, tinyArchitecture, checkpoint, treatmentOf));
  const ids = k.fromHost({ dtype: 'i32', shape: [2, 5], data: Int32Array.of(0, 22, 3, 4, 9, 11, 11, 2, 7, 1) });
  return k.toHost(model.layer(evaluate).forward(model.params, ids)[0]);
};

const frozen = (): Treatment => ({ method: 'frozen' });

const allOf = async (checkpoint: Checkpoint): Promise<Record<string, HostTensor>> => {
  const tensors: Record<string, HostTensor> = {};
  for (const name of checkpoint.names) tensors[name] = orThrow(await checkpoint.read(name));
  return tensors;
};

const wide = (tensor: HostTensor): Float32Array => orThrow(widenHost(tensor, '')).data;

const largestGap = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

describe('paca merge', () => {
  it('of PaCA in f32 computes with the bits of the unmerged forward', async () => {
    expect(await reportOf('f32', {})).toEqual({
      ...{ model: join(folder, 'f32'), method: 'paca', modules: 6, dtype: 'f32', largestError: 0 },
    });
    const unmerged = await logits(await open('base'), treatment(pacaAdapter));
    expect(await logits(await open('f32'), frozen)).toEqual(unmerged);
    expect(largestGap(wide(unmerged), wide(await logits(await open('base'), frozen)))).toBeGreaterThan(0.01);
  });

  it('of PaCA over bf16, widened, computes with the bits of the unmerged forward', async () => {
    await reportOf('widened', { base: half, dtype: 'f32' });
    const unmerged = await logits(await open('half'), treatment(pacaAdapter));
    expect(await logits(await open('widened'), frozen)).toEqual(unmerged);
  });

  it('has the same bytes on WebAssembly', async () => {
    for (const [name, adapter] of Object.entries({ paca, lora, dora, moslora })) {
      await reportOf(`${name}-reference`, { adapter });
      await reportOf(`${name}-wasm`, { adapter, backend: 'wasm', threads: '1' });
      const [one, other] = ['reference', 'wasm'].map((b) =>
        readFileSync(join(folder, `${name}-${b}`, 'model.safetensors')),
      );
      expect(one!.equals(other!)).toBe(true);
    }
  });

  it('of LoRA adds s·B·A', async () => {
    await reportOf('with-lora', { adapter: lora });
    const [merged, tensors] = [await allOf(await open('with-lora')), tinyWeights()];
    for (const [path, module] of Object.entries(loraAdapter.modules)) {
      const [rank = 0, width = 0] = module.a.shape;
      const expected = wide(tensors[`${path}.weight`]!).map((w, i) => {
        const [row, column] = [Math.floor(i / width), i % width];
        const sum = Array.from({ length: rank }, (_, r) => r).reduce(
          (s, r) => s + module.b.data[row * rank + r]! * module.a.data[r * width + column]!,
          0,
        );
        return w + (5 / Math.sqrt(3)) * sum;
      });
      expect(largestGap(wide(merged[`${path}.weight`]!), expected)).toBeLessThan(2e-6);
    }
    const unmerged = await logits(await open('base'), treatment(loraAdapter));
    expect(largestGap(wide(await logits(await open('with-lora'), frozen)), wide(unmerged))).toBeLessThan(1e-4);
  });

  it.each([
    ['DoRA', doraAdapter, dora],
    ['MosLoRA', mosloraAdapter, moslora],
  ] as const)('of %s gives the logits of the unmerged model', async (name, adapter, from) => {
    expect(await reportOf(`with-${name}`, { adapter: from })).toMatchObject({ method: adapter.method, modules: 6 });
    const unmerged = wide(await logits(await open('base'), treatment(adapter)));
    const largest = Math.max(...unmerged.map(Math.abs));
    expect(largestGap(wide(await logits(await open(`with-${name}`), frozen)), unmerged) / largest).toBeLessThan(1e-5);
  });

  it.each(['f16', 'bf16'])('in %s tells the largest rounding error', async (dtype) => {
    await reportOf(`exact-${dtype}`, {});
    const { largestError } = await reportOf(dtype, { dtype });
    const [stored, exact] = [await allOf(await open(dtype)), await allOf(await open(`exact-${dtype}`))];
    expect(Object.values(stored).every((tensor) => tensor.dtype === dtype)).toBe(true);
    const gaps = Object.entries(exact).map(([name, tensor]) => largestGap(wide(stored[name]!), wide(tensor)));
    expect(largestError).toBe(Math.max(...gaps));
    expect(largestError).toBeGreaterThan(0);
  });

  it('keeps the type of the base, and every other tensor bit for bit', async () => {
    expect(await reportOf('kept', { base: half })).toMatchObject({ dtype: 'bf16' });
    const [merged, tensors] = [await allOf(await open('kept')), tinyWeights('bf16')];
    expect(Object.keys(merged).sort()).toEqual(Object.keys(tensors).sort());
    for (const [name, tensor] of Object.entries(tensors)) {
      const path = name.slice(0, -'.weight'.length);
      if (Object.hasOwn(pacaAdapter.modules, path)) expect(merged[name]).not.toEqual(tensor);
      else expect(merged[name]).toEqual(tensor);
    }
  });

  it('copies config, tokenizer and template unchanged, and nothing else; leaves the inputs alone', async () => {
    const before = readFileSync(join(base, 'model.safetensors'));
    await reportOf('copied', {});
    const expected = ['config.json', 'model.safetensors', ...Object.keys(companions)].sort();
    expect(readdirSync(join(folder, 'copied')).sort()).toEqual(expected);
    for (const name of expected.filter((each) => each !== 'model.safetensors')) {
      expect(readFileSync(join(folder, 'copied', name))).toEqual(readFileSync(join(base, name)));
    }
    expect(readFileSync(join(base, 'model.safetensors'))).toEqual(before);
  });

  it('writes the file that all tensors at once would make', async () => {
    await reportOf('bytes', {});
    const tensors = await allOf(await open('bytes'));
    const file = new Uint8Array(readFileSync(join(folder, 'bytes', 'model.safetensors')));
    expect(file).toEqual(encodeSafetensors(tensors, { format: 'pt' }));
  });

  it('says in words what it did, and that the config still names the type of the base', async () => {
    const { output, told } = await merge('words', { dtype: 'f16' });
    expect(told).toBe('paca: config.json, which is copied unchanged, says f32: load the model in f16\n');
    expect(output).toMatch(
      /^paca merged into 6 modules, stored as f16: .*words\nlargest rounding error of a weight {2}/,
    );
  });
});

describe('paca merge refuses', () => {
  const [path, module] = Object.entries(pacaAdapter.modules)[0]!;
  const tied = writeBase(join(folder, 'tied'), 'f32', { ...configFile, tie_word_embeddings: true });
  const head = writeAdapter(join(folder, 'head'), {
    ...pacaAdapter,
    targetModules: ['lm_head'],
    modules: { lm_head: module },
  });
  const { [`${path}.weight`]: weight, ...others } = tinyWeights() as Record<string, HostTensor>;
  const withWeights = (name: string, weights: Record<string, HostTensor>): string =>
    writeFolder(join(folder, name), {
      'config.json': JSON.stringify(configFile),
      'model.safetensors': encodeSafetensors(weights),
    });
  const doubles: HostTensor = { ...weight!, dtype: 'f64', data: Float64Array.from(weight!.data as Float32Array) };
  const narrow = writeBase(join(folder, 'narrow'), 'f32', { ...configFile, hidden_size: 10 });
  const a: HostTensor = { dtype: 'f32', shape: [3, 5], data: new Float32Array(15) };
  const loraModule = { ...Object.values(loraAdapter.modules)[0]!, a };
  const misfit = writeAdapter(join(folder, 'misfit'), { ...loraAdapter, modules: { [path]: loraModule } });

  it.each<[string, Flags, string, string]>([
    ['an unknown type', { dtype: 'f8' }, '"f8"', 'dtype'],
    ['an unknown backend', { backend: 'cuda' }, "'cuda'", 'backend'],
    ['a backend with bits of its own', { backend: 'reference-f64' }, 'reference-f64', 'backend'],
    ['threads that the backend has not', { threads: '2' }, '2', 'threads'],
    ['a base that is not there', { base: join(folder, 'none') }, 'ENOENT', 'none'],
    ['an adapter that is not there', { adapter: join(folder, 'none') }, 'ENOENT', 'none'],
    ['a tied head, which is no map of its own', { base: tied, adapter: head }, 'none', 'lm_head'],
    ['a base that lacks an adapted weight', { base: withWeights('lacks', others) }, 'none', path],
    [
      'an adapted weight that is no storage type',
      { base: withWeights('doubles', { ...others, [`${path}.weight`]: doubles }) },
      'f64[24, 12]',
      path,
    ],
    ['columns beyond a narrower base', { base: narrow }, '12', ''],
    ['an A of another width', { adapter: misfit }, 'f32[3, 5]', `${path}.lora_A.weight`],
    ['an out folder with something in it', { out: paca }, '2 entries', 'paca'],
  ])('%s', async (_, flags, came, where) => {
    const { error, output } = await merge('never', flags);
    expect(error?.came).toContain(came);
    expect(error?.where).toContain(where);
    expect(output).toBe('');
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });

  it('a number that the type does not hold, and leaves nothing behind', async () => {
    const { shape } = module.delta;
    const delta: HostTensor = { dtype: 'f32', shape, data: new Float32Array(module.delta.data.length).fill(1e6) };
    const huge = { ...module, delta };
    const adapter = writeAdapter(join(folder, 'huge'), { ...pacaAdapter, modules: { [path]: huge } });
    const { error } = await merge('overflow', { adapter, dtype: 'f16' });
    expect(error).toMatchObject({ tag: 'ShapeError', expected: 'numbers that f16 holds' });
    expect(error?.where).toContain(`${path}.weight, element`);
    expect(readdirSync(join(folder, 'overflow'))).toEqual([]);
  });

  it('weights that are cut off', async () => {
    const cut = writeBase(join(folder, 'cut'));
    const file = readFileSync(join(cut, 'model.safetensors'));
    writeFileSync(join(cut, 'model.safetensors'), file.subarray(0, file.length - 4));
    expect((await merge('never', { base: cut })).error?.tag).toBe('FileError');
  });
});

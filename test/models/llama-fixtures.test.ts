/**
 * The LLaMA family against Hugging Face transformers and PyTorch: logits, loss, gradients of PaCA, LoRA and of every
 * weight, on tiny random checkpoints (test/fixtures/llama).
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { andThen } from '../../src/core/layer.ts';
import { leafPaths, type Tree } from '../../src/core/tree.ts';
import { parseLlamaConfig } from '../../src/io/llama-config.ts';
import { decodeSafetensors, type Safetensors } from '../../src/io/safetensors.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import type { Site } from '../../src/methods/operation.ts';
import { evaluate } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { buildModel, type Model } from '../../src/models/model.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor, HostTensorOf } from '../../src/spec/tensor.ts';
import { f64, ints, numbersOf, type R } from '../support/tensors.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', 'fixtures', 'llama');
const families = ['llama2', 'llama3', 'linear', 'yarn', 'mistral', 'qwen2', 'qwen3'] as const;

const json = (...path: readonly string[]): unknown => JSON.parse(readFileSync(join(root, ...path), 'utf8'));
const tensors = (...path: readonly string[]): Safetensors['tensors'] =>
  orThrow(decodeSafetensors(new Uint8Array(readFileSync(join(root, ...path))), path.join('/'))).tensors;

/** transformers has its tables of angles in f32, at angles that are rounded too; the largest difference that this makes. */
const TABLES = 2e-6;

const largest = (values: readonly number[]): number => Math.max(...values.map(Math.abs));

/** Fails unless the numbers differ by at most `tolerance` of the largest expected one. */
const expectNear = (actual: readonly number[], expected: HostTensor, tolerance: number): void => {
  const wanted = Array.from(expected.data, Number);
  expect(actual.length).toBe(wanted.length);
  const worst = largest(actual.map((x, i) => x - wanted[i]!));
  expect(worst / Math.max(largest(wanted), 1e-300)).toBeLessThan(tolerance);
};

/** Targets that are shifted here: the label of the next token, none for the last. */
const shifted = (labels: HostTensor): HostTensorOf<'i32'> => {
  const [rows = 0, tokens = 0] = labels.shape;
  const at = (row: number, token: number): number =>
    token + 1 < tokens ? Number(labels.data[row * tokens + token + 1]) : -100;
  return ints(
    [rows * tokens],
    Array.from({ length: rows * tokens }, (_, i) => at(Math.floor(i / tokens), i % tokens)),
  );
};

describe.each(families)('%s', (family) => {
  const expected = tensors(family, 'expected.safetensors');
  const weights = tensors(family, 'model.safetensors');
  const config = orThrow(parseLlamaConfig(json(family, 'config.json'), 'config.json'));
  const architecture = llama(config);
  const targets = shifted(expected.labels!);
  const denominator = Array.from(targets.data).filter((t) => t !== -100).length;

  const build = (treatmentOf: (site: Site) => Treatment, trains = false): Model<R> =>
    orThrow(buildModel(f64, architecture, weights, treatmentOf, () => trains));

  const run = async (model: Model<R>): Promise<{ logits: number[]; loss: number; gradient: Tree<R> }> => {
    const layer = model.layer(evaluate);
    const ids = f64.fromHost(expected.input_ids!);
    const [logits] = layer.forward(model.params, ids);
    const whole = andThen(f64, layer, crossEntropy(f64));
    const p = [model.params, { targets: f64.fromHost(targets), denominator }] as const;
    const [loss, residual] = whole.forward(p, ids);
    const [gradient] = whole.gradient(p, residual, f64.full([], 1));
    return { logits: await numbersOf(f64, logits), loss: (await numbersOf(f64, loss))[0]!, gradient };
  };

  const expectGradients = async (gradient: Tree<R>, nameOf: (path: string) => string): Promise<void> => {
    const leaves = leafPaths(gradient);
    expect(leaves.length).toBeGreaterThan(0);
    for (const [path, leaf] of leaves) {
      const wanted = expected[nameOf(path)];
      expect(wanted, path).toBeDefined();
      expectNear(await numbersOf(f64, leaf), wanted!, 10 * TABLES);
    }
  };

  it('reads the same config as transformers 4 and 5 write it', () => {
    expect(orThrow(parseLlamaConfig(json(family, 'config-v4.json'), 'config-v4.json'))).toEqual(config);
  });

  it('has the tables of angles', () => {
    const tables = architecture.constants!.rope!;
    for (const name of ['cos', 'sin'] as const) {
      const { shape, data } = expected[`rope.${name}`]!;
      const own = Array.from(tables[name]!.data, Number).slice(0, shape[0]! * shape[1]!);
      expectNear(own, { dtype: 'f64', shape, data: Float64Array.from(data as Float32Array) }, TABLES);
    }
  });

  it('gives the logits and the loss of transformers', async () => {
    const { logits, loss } = await run(build(() => ({ method: 'full' })));
    expectNear(logits, expected.logits!, TABLES);
    expect(Math.abs(loss / Number(expected.loss!.data[0]) - 1)).toBeLessThan(TABLES);
  });

  it("gives PaCA's logits, loss and gradients", async () => {
    const paca = ({ path }: Site): Treatment => {
      const indices = expected[`paca.${path}.indices`];
      if (indices === undefined) return { method: 'frozen' };
      const delta = expected[`paca.${path}.delta`]!;
      return { method: 'paca', adapters: [{ indices: indices.data as Int32Array, alpha: 4, delta }] };
    };
    const { logits, loss, gradient } = await run(build(paca));
    expectNear(logits, expected['paca.logits']!, TABLES);
    expect(Math.abs(loss / Number(expected['paca.loss']!.data[0]) - 1)).toBeLessThan(TABLES);
    expect(leafPaths(gradient).length).toBe(7 * config.layers);
    await expectGradients(gradient, (path) => `paca.${path.replace('.adapters.0.delta', '')}.gradient`);
  });

  it("gives LoRA's logits, loss and gradients", async () => {
    const lora = ({ path }: Site): Treatment => {
      const [a, b] = [expected[`lora.${path}.A`], expected[`lora.${path}.B`]];
      return a === undefined ? { method: 'frozen' } : { method: 'lora', adapters: [{ a, b: b!, scale: 2 }] };
    };
    const { logits, loss, gradient } = await run(build(lora));
    expectNear(logits, expected['lora.logits']!, TABLES);
    expect(Math.abs(loss / Number(expected['lora.loss']!.data[0]) - 1)).toBeLessThan(TABLES);
    expect(leafPaths(gradient).length).toBe(14 * config.layers);
    await expectGradients(gradient, (path) => {
      const [, module, part = ''] = /^(.*)\.adapters\.0\.([ab])$/.exec(path) ?? [];
      return `lora.${module}.${part.toUpperCase()}.gradient`;
    });
  });

  if (family === 'llama2') {
    it('gives the gradient of every parameter', async () => {
      const { gradient } = await run(build(() => ({ method: 'full' }), true));
      expect(leafPaths(gradient).length).toBe(Object.keys(weights).length);
      await expectGradients(gradient, (path) => `full.${path}.gradient`);
    });
  }
});

/** The tiny base by another way: whole forward passes on the reference, and logarithms of probabilities in f64. */

import { resolveBackend } from '../../backends/resolve.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { encodeAdapter } from '../../src/io/adapter.ts';
import type { Files } from '../../src/io/store.ts';
import { evaluate, initialWeights, type Weights } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { buildModel } from '../../src/models/model.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import { tinyBaseConfig } from '../support/tiny-base.ts';

const architecture = llama(tinyBaseConfig);
const weights: Weights = initialWeights(architecture, rngFromSeed(1));

const { kernels } = orThrow(await resolveBackend('reference'));

/** The logits after each of the tokens. */
export const logitsOf = async (ids: readonly number[], of: Weights = weights): Promise<readonly number[][]> => {
  const model = orThrow(buildModel<Spec>(kernels, architecture, of, () => ({ method: 'frozen' })));
  const inputs = kernels.fromHost({ dtype: 'i32', shape: [1, ids.length], data: Int32Array.from(ids) });
  const [logits] = model.layer(evaluate).forward(model.params, inputs);
  const data = Array.from((await kernels.toHost(logits)).data, Number);
  const width = tinyBaseConfig.vocabulary;
  return ids.map((_, i) => data.slice(i * width, (i + 1) * width));
};

/** log p of each of the last tokens of a text, after those before it. */
export const logLikelihoods = async (
  before: readonly number[],
  last: readonly number[],
  of: Weights = weights,
): Promise<readonly number[]> => {
  const logits = await logitsOf([...before, ...last], of);
  return last.map((id, i) => {
    const row = logits[before.length + i - 1]!;
    return row[id]! - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
  });
};

/** The place that the adapters here change. */
const path = 'model.layers.1.mlp.down_proj';
const [out, width, rank] = [12, 17, 3];
const numbers = (size: number): Float32Array => Float32Array.from({ length: size }, (_, i) => 2 * Math.sin(i + 1));

const columns = Int32Array.of(1, 4, 16);
const delta = numbers(out * rank);
const [a, b] = [numbers(rank * width), numbers(out * rank)];

const settings = { rank, alpha: 6, targetModules: [path] };

/** s = 6/3 adds twice δ to three columns of the place. */
export const pacaFiles = (module: string = path): Files =>
  encodeAdapter({
    ...settings,
    method: 'paca',
    targetModules: [module],
    seed: null,
    modules: { [module]: { indices: columns, delta: { dtype: 'f32', shape: [out, rank], data: delta } } },
  });

/** rsLoRA: s = 6/√3. */
export const loraFiles = (): Files =>
  encodeAdapter({
    ...settings,
    method: 'lora',
    rankStabilized: true,
    modules: {
      [path]: {
        a: { dtype: 'f32', shape: [rank, width], data: a },
        b: { dtype: 'f32', shape: [out, rank], data: b },
        alpha: 6,
      },
    },
  });

/** The base with this added to the place's weight. */
const withAdded = (added: (row: number, column: number) => number): Weights => {
  const values = Array.from(weights[`${path}.weight`]!.data, Number);
  const merged = Float32Array.from(values, (w, i) => w + added(Math.floor(i / width), i % width));
  return { ...weights, [`${path}.weight`]: { dtype: 'f32', shape: [out, width], data: merged } };
};

export const withPaca: Weights = withAdded((row, column) => {
  const place = columns.indexOf(column);
  return place < 0 ? 0 : 2 * delta[row * rank + place]!;
});

export const withLora: Weights = withAdded((row, column) =>
  [0, 1, 2].reduce((sum, r) => sum + (6 / Math.sqrt(3)) * b[row * rank + r]! * a[r * width + column]!, 0),
);

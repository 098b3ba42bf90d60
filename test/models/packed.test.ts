/**
 * Documents packed into one row. Laws: loss and gradients are those of each document alone (in exact arithmetic: here in f64,
 * within its rounding); logits have the bits of the document alone where it starts at a multiple of the 16 lanes; nothing of a
 * document depends on another, to the bit.
 */
import { describe, expect, it } from 'vitest';
import { resolveBackend } from '../../backends/resolve.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { andThen } from '../../src/core/layer.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { leafPaths } from '../../src/core/tree.ts';
import { type TokenBatch, tokenBatch } from '../../src/data/packing.ts';
import type { TokenSequence } from '../../src/data/sequences.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import { initialWeights } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { buildModel, type Model } from '../../src/models/model.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import { account, measure } from '../../src/train/account.ts';
import { evaluateClassifier } from '../../src/train/evaluate.ts';
import { toDevice } from '../../src/train/host-batch.ts';
import { rowLogLikelihoods } from '../../src/train/score.ts';
import { initialState, type Problem, trainStep } from '../../src/train/step.ts';
import { fc } from '../support/fast-check.ts';
import { f32, f64, labels, numbersOf } from '../support/tensors.ts';
import { tinyLlama } from '../support/tiny-llama.ts';
import { snapshot } from '../train/tiny.ts';

const config = { windows: [null, 5], positions: 80 };
const architecture = llama(tinyLlama(config));
const weights = initialWeights(architecture, rngFromSeed(7));

const treatments: Readonly<Record<string, Treatment>> = {
  paca: { method: 'paca', adapters: [{ indices: Int32Array.of(0, 3, 5), alpha: 6 }] },
  full: { method: 'full' },
};

const modelOf = <T extends Spec>(k: Kernels<T>, method: string, recompute = false): Model<T> => {
  const shape = recompute ? llama(tinyLlama(config), { recompute }) : architecture;
  return orThrow(
    buildModel(
      k,
      shape,
      weights,
      () => treatments[method]!,
      () => method === 'full',
    ),
  );
};

/** A document of so many tokens of which all but the first train. */
const documentOf = (seed: number, tokens: number): TokenSequence => ({
  ids: labels(seed, [tokens], 23).data,
  trains: Uint8Array.from({ length: tokens }, (_, i) => (i === 0 ? 0 : 1)),
});

const packed = (documents: readonly TokenSequence[], length: number): TokenBatch =>
  orThrow(tokenBatch(documents, [Int32Array.from(documents, (_, i) => i)], { pack: true, length }, 0));

const alone = (document: TokenSequence): TokenBatch =>
  orThrow(tokenBatch([document], [Int32Array.of(0)], { pack: false, padToMultipleOf: 1 }, 0));

interface Ran {
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, readonly number[]>;
}

/** Loss and gradients of a batch as its share of `denominator` targets. */
const run = async (model: Model<Spec>, batch: TokenBatch, denominator: number): Promise<Ran> => {
  const k = f64 as unknown as Kernels<Spec>;
  const { inputs, targets, starts } = toDevice(k, batch);
  const whole = andThen(k, model.layer({ kind: 'train', rng: rngFromSeed(1), starts }), crossEntropy(k));
  const p = [model.params, { targets, denominator }] as const;
  const [loss, residual] = whole.forward(p, inputs);
  const [gradient] = whole.gradient(p, residual, k.full([], 1));
  const gradients = new Map<string, readonly number[]>();
  for (const [path, leaf] of leafPaths(gradient)) gradients.set(path, await numbersOf(k, leaf));
  return { loss: (await numbersOf(k, loss))[0]!, gradients };
};

const logitsOf = async <T extends Spec>(k: Kernels<T>, model: Model<T>, batch: TokenBatch): Promise<number[][]> => {
  const { inputs, starts } = toDevice(k, batch);
  const [logits] = model.layer({ kind: 'evaluate', starts }).forward(model.params, inputs);
  const numbers = await numbersOf(k, logits);
  return Array.from({ length: numbers.length / 23 }, (_, i) => numbers.slice(23 * i, 23 * (i + 1)));
};

const expectSameBits = (a: readonly number[][], b: readonly number[][]): void => {
  expect(a.length).toBe(b.length);
  expect(a.every((row, i) => row.every((x, j) => Object.is(x, b[i]![j])))).toBe(true);
};

const lengths = fc.array(fc.integer({ min: 2, max: 19 }), { minLength: 2, maxLength: 4 });
const total = (all: readonly number[]): number => all.reduce((a, b) => a + b, 0);

describe.each(Object.keys(treatments))('packed documents, %s', (method) => {
  const model = modelOf(f64, method) as unknown as Model<Spec>;

  it('have the loss and the gradients that each has alone, added up', async () => {
    await fc.assert(
      fc.asyncProperty(lengths, fc.nat(5), fc.nat(99), async (sizes, padding, seed) => {
        const documents = sizes.map((tokens, i) => documentOf(100 * seed + i, tokens));
        const count = total(sizes) - sizes.length;
        const together = await run(model, packed(documents, total(sizes) + padding), count);
        const each = await Promise.all(documents.map((document) => run(model, alone(document), count)));
        expect(Math.abs(together.loss / total(each.map(({ loss }) => loss)) - 1)).toBeLessThan(1e-12);
        for (const [path, gradient] of together.gradients) {
          const sum = gradient.map((_, i) => total(each.map(({ gradients }) => gradients.get(path)![i]!)));
          const largest = Math.max(...sum.map(Math.abs));
          const worst = Math.max(...gradient.map((g, i) => Math.abs(g - sum[i]!)));
          expect(worst, path).toBeLessThanOrEqual(1e-12 * largest);
        }
      }),
      { numRuns: 15 },
    );
  });
});

const wasm = orThrow(await resolveBackend('wasm', { threads: 1 })).kernels;

describe.each<[string, Kernels<Spec>]>([
  ['reference', f32 as unknown as Kernels<Spec>],
  ['wasm', wasm],
])('the logits of packed documents, %s', (_, k) => {
  const model = modelOf(k, 'paca');

  it('have no bit of the other documents', async () => {
    await fc.assert(
      fc.asyncProperty(lengths, fc.nat(99), fc.nat(3), async (sizes, seed, which) => {
        const changed = which % sizes.length;
        const documents = sizes.map((tokens, i) => documentOf(100 * seed + i, tokens));
        const others = documents.map((document, i) => (i === changed ? documentOf(7000 + seed, sizes[i]!) : document));
        const [before, after] = [
          await logitsOf(k, model, packed(documents, total(sizes))),
          await logitsOf(k, model, packed(others, total(sizes))),
        ];
        let start = 0;
        sizes.forEach((tokens, i) => {
          if (i !== changed) expectSameBits(before.slice(start, start + tokens), after.slice(start, start + tokens));
          start += tokens;
        });
      }),
      { numRuns: 20 },
    );
  });

  it('have the bits of the document alone where it starts at a lane', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(16, 32),
        fc.integer({ min: 2, max: 30 }),
        fc.nat(99),
        async (first, tokens, seed) => {
          const documents = [documentOf(seed, first), documentOf(1000 + seed, tokens)];
          const logits = await logitsOf(k, model, packed(documents, first + tokens));
          expectSameBits(logits.slice(0, first), await logitsOf(k, model, alone(documents[0]!)));
          expectSameBits(logits.slice(first), await logitsOf(k, model, alone(documents[1]!)));
        },
      ),
      { numRuns: 10 },
    );
  });

  it('depend on them only where the batch does not say where documents start', async () => {
    const [one, two, other] = [documentOf(1, 6), documentOf(2, 5), documentOf(3, 6)];
    const across = (first: TokenSequence): TokenBatch =>
      orThrow(tokenBatch([first, two], [Int32Array.of(0, 1)], { pack: true, length: 11, across: true }, 0));
    const [a, b] = [await logitsOf(k, model, across(one)), await logitsOf(k, model, across(other))];
    expect(a.slice(6)).not.toEqual(b.slice(6));
  });
});

describe('training on packed documents', () => {
  const batches = [
    packed(
      [5, 9, 3].map((n, i) => documentOf(i, n)),
      18,
    ),
    packed(
      [8, 7].map((n, i) => documentOf(9 + i, n)),
      18,
    ),
  ];
  const problemOf = <T extends Spec>(k: Kernels<T>, recompute = false): Problem<T, unknown> => ({
    kernels: k,
    model: modelOf(k, 'paca', recompute),
    loss: crossEntropy(k) as Problem<T, unknown>['loss'],
    optimizer: adamw(k, { learningRate: 0.01 }),
    seed: 1,
  });

  const trained = async (name: string, threads: number, recompute = false): Promise<unknown> => {
    const { kernels: k, dispose } = orThrow(await resolveBackend(name, { threads }));
    const problem = problemOf(k, recompute);
    let state = initialState(problem);
    for (let step = 0; step < 3; step++)
      state = trainStep(
        problem,
        state,
        batches.map((b) => toDevice(k, b)),
      )[0];
    const result = await snapshot(k, state);
    await dispose();
    return result;
  };

  it('has the same bits on the reference and on WebAssembly, with one thread and two, computed again or not', async () => {
    const expected = await trained('reference', 1);
    expect(await trained('wasm', 1)).toEqual(expected);
    expect(await trained('wasm', 2)).toEqual(expected);
    expect(await trained('wasm', 1, true)).toEqual(expected);
  });

  it('keeps what was accounted, which is what any row of this length keeps', () => {
    const problem = problemOf(wasm);
    const { inputs, targets, starts } = batches[0]!;
    const { residual, gradients, optimizer } = account(problem, inputs);
    expect(measure(problem, inputs, targets, starts)).toEqual({ residual, gradients, optimizer });
  });

  it('is judged as it trains: by documents', async () => {
    const k = wasm;
    const { model, loss } = problemOf(k);
    const documents = [documentOf(3, 16), documentOf(4, 11)];
    const of = (batch: TokenBatch): Promise<{ readonly loss: number }> =>
      evaluateClassifier(k, model, model.params, loss, [batch]);
    const each = await Promise.all(documents.map(async (document) => (await of(alone(document))).loss));
    const together = await of(packed(documents, 32));
    expect(Math.abs(together.loss - (15 * each[0]! + 10 * each[1]!) / 25)).toBeLessThan(1e-5);
    const likelihood = async (batch: TokenBatch): Promise<number> =>
      (await rowLogLikelihoods(k, model, model.params, [batch]))[0]![0]!;
    const sum = (await likelihood(alone(documents[0]!))) + (await likelihood(alone(documents[1]!)));
    expect(Math.abs((await likelihood(packed(documents, 32))) - sum)).toBeLessThan(1e-4);
  });
});

/** Decoding token by token is the whole forward pass, to the bit; sampling obeys its options. */
import { describe, expect, it } from 'vitest';
import { resolveBackend } from '../../backends/resolve.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { evaluate, initialWeights } from '../../src/models/architecture.ts';
import { generate, greedy, sampleToken } from '../../src/models/generate.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { buildModel } from '../../src/models/model.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';
import { tinyLlama } from '../support/tiny-llama.ts';

describe.each(['reference', 'wasm'])('on %s', (name) => {
  it('decoding has the bits of the forward pass over all tokens, and frees what it kept', async () => {
    const { kernels: k, dispose } = orThrow(await resolveBackend(name));
    const architecture = llama(tinyLlama({ windows: [null, 4] }));
    const weights = initialWeights(architecture, rngFromSeed(1));
    const model = orThrow(buildModel<Spec>(k, architecture, weights, () => ({ method: 'frozen' })));
    const live = k.memory().live;
    const prompt = [3, 1, 4, 1, 5];
    const made: number[] = [];
    const generation = { prompt, most: 7, stop: [], sampling: greedy, rng: rngFromSeed(2) };
    for await (const token of generate(k, model, model.params, generation)) made.push(token);
    expect(made.length).toBe(7);
    expect(k.memory().live).toBe(live);

    const whole = [...prompt, ...made];
    const inputs = k.fromHost({ dtype: 'i32', shape: [1, whole.length], data: Int32Array.from(whole) });
    const [logits] = k.scope(() => [model.layer(evaluate).forward(model.params, inputs)[0]]);
    const all = (await k.toHost(logits as Spec)).data as Float32Array;
    const width = all.length / whole.length;
    let past: unknown = null;
    for (let i = 0; i < whole.length; i++) {
      const one = k.fromHost({ dtype: 'i32', shape: [1, 1], data: Int32Array.of(whole[i]!) });
      const mode = { kind: 'decode', position: i, past: past as never } as const;
      const [last, kept] = model.layer(mode).forward(model.params, one);
      past = kept;
      expect((await k.toHost(last)).data).toEqual(all.slice(i * width, (i + 1) * width));
    }
    await dispose();
  });

  it('ends at a stop token, and where the reader stops', async () => {
    const { kernels: k, dispose } = orThrow(await resolveBackend(name));
    const architecture = llama(tinyLlama({}));
    const model = orThrow(
      buildModel<Spec>(k, architecture, initialWeights(architecture, rngFromSeed(1)), () => ({ method: 'frozen' })),
    );
    const live = k.memory().live;
    const tokens = async (stop: readonly number[], upTo: number): Promise<readonly number[]> => {
      const made: number[] = [];
      const generation = { prompt: [1, 2], most: 6, stop, sampling: greedy, rng: rngFromSeed(2) };
      for await (const token of generate(k, model, model.params, generation)) {
        made.push(token);
        if (made.length === upTo) break;
      }
      return made;
    };
    const free = await tokens([], 6);
    expect(await tokens([free[0]!], 6)).toEqual([]);
    const second = free.findIndex((token, i) => i > 0 && token !== free[0]);
    if (second > 0) expect(await tokens([free[second]!], 6)).toEqual(free.slice(0, second));
    expect(await tokens([], 2)).toEqual(free.slice(0, 2));
    expect(k.memory().live).toBe(live);
    await dispose();
  });
});

describe('sampleToken', () => {
  const logits = fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 30 });
  const draw = (l: readonly number[], sampling: object, seed: number): number =>
    sampleToken(l, { temperature: 1, topK: null, topP: 1, ...sampling }, rngFromSeed(seed))[0];

  it('takes the likeliest at temperature 0, with top-k of 1 and with a tiny top-p', () =>
    fc.assert(
      fc.property(logits, fc.nat(100), (l, seed) => {
        const best = l.indexOf(Math.max(...l));
        for (const sampling of [{ temperature: 0 }, { topK: 1 }, { topP: 1e-9 }]) {
          expect(draw(l, sampling, seed)).toBe(best);
        }
      }),
    ));

  it('takes none but the top k', () =>
    fc.assert(
      fc.property(logits, fc.integer({ min: 1, max: 5 }), fc.nat(100), (l, topK, seed) => {
        const border = [...l].sort((a, b) => b - a)[Math.min(topK, l.length) - 1]!;
        expect(l[draw(l, { topK }, seed)]).toBeGreaterThanOrEqual(border);
      }),
    ));

  it('takes none but the likeliest that have the mass p', () => {
    const l = [Math.log(0.5), Math.log(0.3), Math.log(0.15), Math.log(0.05)];
    const seen = new Set(Array.from({ length: 300 }, (_, seed) => draw(l, { topP: 0.75 }, seed)));
    expect([...seen].sort()).toEqual([0, 1]);
  });

  it('draws each token as often as its probability says', () => {
    const l = [Math.log(0.6), Math.log(0.3), Math.log(0.1)];
    let rng = rngFromSeed(5);
    const counts = [0, 0, 0];
    const draws = 4000;
    for (let i = 0; i < draws; i++) {
      const [token, next] = sampleToken(l, { temperature: 1, topK: null, topP: 1 }, rng);
      rng = next;
      counts[token] = counts[token]! + 1;
    }
    // Six standard deviations of a binomial.
    [0.6, 0.3, 0.1].forEach((p, i) => {
      expect(Math.abs(counts[i]! - p * draws)).toBeLessThan(6 * Math.sqrt(draws * p * (1 - p)));
    });
  });
});

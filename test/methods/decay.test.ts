/**
 * What AdamW's decay pulls towards. With `zero` the delta form is the value form: the columns' values v = W[:, I] + δ under
 * plain decay to 0. With `pretrained` it pulls v towards W[:, I].
 */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { rngFromSeed } from '../../src/core/rng.ts';
import { leafPaths, type Tree } from '../../src/core/tree.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import { adapt } from '../../src/methods/adapt.ts';
import { type DecayTowards, decayTarget } from '../../src/methods/decay.ts';
import { columnView, type Site, weightShape } from '../../src/methods/operation.ts';
import { evaluate, initialWeights, sitesOf } from '../../src/models/architecture.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { buildModel } from '../../src/models/model.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { applyDeltas } from '../../src/optim/transform.ts';
import { orThrow, showError } from '../../src/spec/errors.ts';
import type { HostTensorOf } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { columnsOfWeight } from '../support/effective.ts';
import { fc } from '../support/fast-check.ts';
import { f64, host, f32 as k, normal, normal32, numbersOf, type R, whole } from '../support/tensors.ts';
import { tinyLlama } from '../support/tiny-llama.ts';

const site: fc.Arbitrary<Site> = fc.oneof(
  fc
    .record({ in: any.axis, out: any.axis })
    .map((config): Site => ({ path: 'a.b', operation: { kind: 'linear', config } })),
  any.anyConvolution.map((config): Site => ({ path: 'a.b', operation: { kind: 'conv2d', config } })),
);

const paca = (indices: Int32Array, alpha = indices.length): Treatment => ({
  method: 'paca',
  adapters: [{ indices, alpha }],
});

const targetAt = (towards: DecayTowards, at: Site, treatment: Treatment, weight: HostTensorOf<'f64'>) => {
  const { params, layer } = orThrow(adapt(k, at, { weight }, treatment));
  const trained = { [at.path]: layer.trainable(params) };
  return decayTarget(k, towards, [at], () => treatment, { [at.path]: params }, trained);
};

describe('the target', () => {
  const drawn = site.chain((s) =>
    fc.tuple(fc.constant(s), any.indexSet(columnView(s.operation).columns), any.seed).map(([at, indices, seed]) => ({
      at,
      indices,
      weight: normal32(seed, weightShape(at.operation)),
    })),
  );

  it('of zero is −W[:, I], for every kind of operation', () =>
    fc.assert(
      fc.asyncProperty(drawn, async ({ at, indices, weight }) => {
        const target = orThrow(targetAt('zero', at, paca(indices), weight));
        const { adapters } = (target as Record<string, { adapters: { delta: R }[] }>)['a.b']!;
        const columns = columnsOfWeight(at.operation, [...weight.data], indices);
        expect(await numbersOf(k, adapters[0]!.delta)).toEqual(columns.map((w) => -w));
        const rank = indices.length;
        const params = orThrow(adapt(k, at, { weight }, paca(indices, rank))).params as unknown as {
          adapters: { delta: R }[];
        };
        expect(adapters[0]!.delta.shape).toEqual(params.adapters[0]!.delta.shape);
      }),
    ));

  it('of the pretrained weight is 0 for δ, and where it began for a fully trained weight', () =>
    fc.assert(
      fc.asyncProperty(drawn, async ({ at, indices, weight }) => {
        expect(orThrow(targetAt('pretrained', at, paca(indices), weight))).toBeNull();
        expect(orThrow(targetAt('zero', at, { method: 'full' }, weight))).toBeNull();
        const began = orThrow(targetAt('pretrained', at, { method: 'full' }, weight)) as Record<string, { weight: R }>;
        expect(await numbersOf(k, began['a.b']!.weight)).toEqual([...weight.data]);
        expect(orThrow(targetAt('zero', at, { method: 'frozen' }, weight))).toBeNull();
      }),
    ));

  it('of the pretrained weight is 0 for A and B, and the row norms of W for the magnitudes of DoRA', async () => {
    const at: Site = { path: 'a.b', operation: { kind: 'linear', config: { in: 3, out: 2 } } };
    const plan = { a: normal32(2, [2, 3]), b: normal32(3, [2, 2]), scale: 2 };
    const weight = host([2, 3], [3, 0, 4, 0, 12, 5]);
    const treatment: Treatment = { method: 'dora', adapters: [plan] };
    const target = orThrow(targetAt('pretrained', at, treatment, weight)) as Record<string, { adapters: object[] }>;
    const { a, b, magnitude } = target['a.b']!.adapters[0] as Readonly<Record<string, R>>;
    expect(await numbersOf(k, a!)).toEqual(new Array<number>(6).fill(0));
    expect(await numbersOf(k, b!)).toEqual(new Array<number>(4).fill(0));
    expect(await numbersOf(k, magnitude!)).toEqual([5, 13]);
    const frozenA: Treatment = { method: 'dora', adapters: [{ ...plan, freezeA: true }] };
    const without = orThrow(targetAt('pretrained', at, frozenA, weight)) as typeof target;
    expect(Object.keys(without['a.b']!.adapters[0]!)).toEqual(['b', 'magnitude']);
    expect(orThrow(targetAt('pretrained', at, { method: 'lora', adapters: [plan] }, weight))).toBeNull();
    for (const method of ['dora', 'lora'] as const)
      expect(E.isLeft(targetAt('zero', at, { method, adapters: [plan] }, weight))).toBe(true);
  });

  it('of zero is refused where s is not 1', () => {
    const at: Site = { path: 'a.b', operation: { kind: 'linear', config: { in: 3, out: 2 } } };
    const refused = targetAt('zero', at, paca(Int32Array.of(0, 2), 4), normal32(1, [2, 3]));
    expect(E.isLeft(refused) && showError(refused.left)).toBe(
      "ConfigError in a.b: expected alpha = rank where decayTowards is 'zero' (s = 1), got s = 2",
    );
  });
});

describe('the target of a LLaMA', () => {
  const architecture = llama(tinyLlama({ tied: false }));
  const sites = sitesOf(architecture);
  const weights = initialWeights(architecture, rngFromSeed(5));

  const targetOf = (towards: DecayTowards, treatmentOf: (site: Site) => Treatment, trains: boolean) => {
    const model = orThrow(buildModel(k, architecture, weights, treatmentOf, () => trains));
    const trained = model.layer(evaluate).trainable(model.params);
    return { trained, target: decayTarget(k, towards, sites, treatmentOf, model.params, trained) };
  };

  const pathsOf = (tree: Tree<R>): readonly string[] => leafPaths(tree).map(([path]) => path);

  it('that trains in full is every weight where it began, the embedding and the norms too', async () => {
    const { trained, target } = targetOf('pretrained', () => ({ method: 'full' }), true);
    const began = orThrow(target)!;
    expect(pathsOf(began)).toEqual(pathsOf(trained));
    expect([...pathsOf(began)].sort()).toEqual(Object.keys(weights).sort());
    for (const [path, leaf] of leafPaths(began)) expect(await numbersOf(k, leaf)).toEqual([...weights[path]!.data]);
    expect(orThrow(targetOf('zero', () => ({ method: 'full' }), true).target)).toBeNull();
  });

  it('outlives the state that trains', async () => {
    const { trained, target } = targetOf('pretrained', () => ({ method: 'full' }), true);
    k.donate(trained);
    for (const [path, leaf] of leafPaths(orThrow(target)!))
      expect(await numbersOf(k, leaf)).toEqual([...weights[path]!.data]);
  });

  /** The attention by PaCA, the head frozen, the rest in full. */
  const mixed = ({ path }: Site): Treatment => {
    if (path === 'lm_head') return { method: 'frozen' };
    return path.includes('self_attn') ? paca(Int32Array.of(1, 4)) : { method: 'full' };
  };

  it.each(['pretrained', 'zero'] as const)(
    'has the shape of what trains where methods are mixed, for %s',
    async (towards) => {
      const { trained, target } = targetOf(towards, mixed, true);
      const found = orThrow(target)!;
      const shapes = (tree: Tree<R>): unknown => leafPaths(tree).map(([path, { shape }]) => [path, shape]);
      expect(shapes(found)).toEqual(shapes(trained));
      for (const [path, leaf] of leafPaths(found)) {
        const numbers = await numbersOf(k, leaf);
        const isDelta = path.endsWith('delta');
        if (isDelta === (towards === 'pretrained'))
          expect(
            numbers.every((x) => x === 0),
            path,
          ).toBe(true);
        else if (!isDelta) expect(numbers, path).toEqual([...weights[path]!.data]);
        else
          expect(
            numbers.some((x) => x !== 0),
            path,
          ).toBe(true);
      }
    },
  );
});

/** N steps of AdamW with given gradients, from `start`; the parameter after the last. */
const run = (
  start: HostTensorOf<'f64'>,
  gradients: readonly HostTensorOf<'f64'>[],
  decay: number,
  rate: number,
  target?: R,
): R => {
  const optimizer = adamw(f64, { learningRate: rate, decay, decayTarget: target ?? null });
  let [params, state]: [Tree<R>, ReturnType<typeof optimizer.init>] = [
    f64.fromHost(start),
    optimizer.init(f64.fromHost(start)),
  ];
  for (const gradient of gradients) {
    const [delta, next] = optimizer.update(f64.fromHost(gradient), state, params);
    state = next;
    params = applyDeltas(f64, params, delta);
  }
  return params as R;
};

const zeros = (n: number): HostTensorOf<'f64'> => host([n], new Array<number>(n).fill(0));

describe('decay towards zero in the delta form', () => {
  const STEPS = 12;

  /**
   * The moments read gradients alone, so both forms take the same direction. A step of either rounds fewer than eight
   * values, none larger than M, and a difference that is there shrinks by 1 − ηλ.
   */
  it('is the value form, up to 8·N·u·M', () =>
    fc.assert(
      fc.asyncProperty(any.seed, fc.constantFrom(0.01, 0.1, 0.5), async (seed, decay) => {
        const n = 6;
        const w = normal(seed, [n]);
        const gradients = Array.from({ length: STEPS }, (_, t) => normal(seed + 1 + t, [n]));
        const v = await numbersOf(f64, run(w, gradients, decay, 0.1));
        const delta = await numbersOf(f64, run(zeros(n), gradients, decay, 0.1, f64.neg(f64.fromHost(w))));
        v.forEach((value, i) => {
          const largest = Math.abs(w.data[i]!) + 0.1 * STEPS * 4;
          expect(Math.abs(w.data[i]! + delta[i]! - value)).toBeLessThanOrEqual(8 * STEPS * 2 ** -53 * largest);
        });
      }),
    ));

  it('is the value form exactly where nothing rounds', () =>
    fc.assert(
      fc.asyncProperty(any.seed, async (seed) => {
        const w = whole(seed, [6], 8);
        const still = new Array<HostTensorOf<'f64'>>(4).fill(zeros(6));
        const v = await numbersOf(f64, run(w, still, 0.5, 0.5));
        const delta = await numbersOf(f64, run(zeros(6), still, 0.5, 0.5, f64.neg(f64.fromHost(w))));
        expect(delta.map((d, i) => d + w.data[i]!)).toEqual(v);
        expect(v).toEqual(Array.from(w.data, (x) => x * 0.75 ** 4));
      }),
    ));

  it('is not decay towards the pretrained weight, which leaves the columns alone when the gradient does', async () => {
    const still = new Array<HostTensorOf<'f64'>>(4).fill(zeros(3));
    expect(await numbersOf(f64, run(zeros(3), still, 0.5, 0.5))).toEqual([0, 0, 0]);
  });
});

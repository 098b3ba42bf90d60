/**
 * N steps of PaCA are N steps of full fine-tuning masked to the selected columns, bit for bit, for every optimizer: when
 * both hold the weight as W + Δ, with s = 1. And W is not written.
 */
import { describe, expect, it } from 'vitest';
import { permutation, rngFromSeed, splitRng } from '../../src/core/rng.ts';
import { mapTree, type Tree } from '../../src/core/tree.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import { decayTarget } from '../../src/methods/decay.ts';
import { columnView, type Site } from '../../src/methods/operation.ts';
import { type Architecture, evaluate, initialWeights, sitesOf } from '../../src/models/architecture.ts';
import { cnn } from '../../src/models/cnn.ts';
import { mlp } from '../../src/models/mlp.ts';
import { buildModel } from '../../src/models/model.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { cosine } from '../../src/optim/schedule.ts';
import { momentum, sgd } from '../../src/optim/sgd.ts';
import type { Transform } from '../../src/optim/transform.ts';
import { orThrow } from '../../src/spec/errors.ts';
import * as any from '../support/arbitraries.ts';
import { columnMask, columnsOfWeight } from '../support/effective.ts';
import { fc } from '../support/fast-check.ts';
import { host, f32 as k, labels, normal, numbersOf, type R } from '../support/tensors.ts';
import { type Batch, lossOf, train, trainMasked } from '../support/training.ts';

const STEPS = 4;

/** What weight decay pulls towards, in the shape of what trains; null is the pretrained weight. */
type Target = Tree<R> | null;

const optimizers: Readonly<Record<string, (target: Target) => Transform<R>>> = {
  sgd: () => sgd(k, { learningRate: 0.3 }),
  'sgd with a schedule and coupled decay': () => sgd(k, { learningRate: cosine(0.5, 0.01, STEPS), decay: 0.1 }),
  momentum: () => momentum(k, { learningRate: 0.1, momentum: 0.9 }),
  'nesterov momentum': () => momentum(k, { learningRate: 0.1, momentum: 0.9, nesterov: true }),
  adam: () => adamw(k, { learningRate: 0.05 }),
  'adamw towards the pretrained weight': () => adamw(k, { learningRate: 0.05, decay: 0.3 }),
  'adamw towards zero': (target) => adamw(k, { learningRate: 0.05, decay: 0.3, decayTarget: target }),
};

const architectures: Readonly<Record<string, Architecture>> = {
  mlp: mlp({ widths: [5, 7, 3], activation: 'tanh' }),
  cnn: cnn({ size: 4, channels: [5, 3], classes: 3 }),
};

/** Some of the columns of a place, by lot. */
const chosen = ({ path, operation }: Site, seed: number): Int32Array => {
  const { columns } = columnView(operation);
  const count = 1 + (seed % columns);
  return permutation(splitRng(rngFromSeed(seed), path), columns)[0]
    .slice(0, count)
    .sort();
};

interface Setup {
  readonly architecture: Architecture;
  readonly optimizer: (target: Target) => Transform<R>;
  readonly seed: number;
}

const batchesOf = ({ architecture, seed }: Setup): readonly Batch<R>[] =>
  Array.from({ length: STEPS }, (_, step) => ({
    x: k.fromHost(normal(seed + 100 + step, [3, ...architecture.input])),
    targets: k.fromHost(labels(seed + 200 + step, [3], 3)),
    denominator: 3,
  }));

/** The same weights trained by PaCA and by the masked yardstick. */
const bothRuns = (setup: Setup) => {
  const { architecture, optimizer, seed } = setup;
  const sites = sitesOf(architecture);
  const weights = initialWeights(architecture, rngFromSeed(seed));
  const loss = lossOf(crossEntropy(k));
  const batches = batchesOf(setup);
  const paca = (site: Site): Treatment => {
    const indices = chosen(site, seed);
    return { method: 'paca', adapters: [{ indices, alpha: indices.length }] };
  };
  const adapted = orThrow(buildModel(k, architecture, weights, paca));
  const full = orThrow(buildModel(k, architecture, weights, () => ({ method: 'full' })));
  const mask = Object.fromEntries(
    sites.map((site) => [
      site.path,
      {
        weight: k.fromHost(columnMask(site.operation, chosen(site, seed))),
        bias: k.full([site.operation.config.out], 0),
      },
    ]),
  );
  const trained = adapted.layer(evaluate).trainable(adapted.params);
  const target = orThrow(decayTarget(k, 'zero', sites, paca, adapted.params, trained));
  return {
    sites,
    base: adapted.params,
    paca: train({ k, layer: adapted.layer(evaluate), loss, batches, optimizer: optimizer(target) }, adapted.params),
    masked: trainMasked(
      { k, layer: full.layer(evaluate), loss, batches, optimizer: optimizer(mapTree(full.params, k.neg)) },
      full.params,
      mask,
    ),
  };
};

type PerSite<A> = Readonly<Record<string, A>>;

const expectEqualRuns = async (setup: Setup): Promise<void> => {
  const { sites, base, paca, masked } = bothRuns(setup);
  for (const [step, { loss, trained }] of paca.trace.entries()) {
    const yardstick = masked.trace[step]!;
    expect(await numbersOf(k, loss), `loss of step ${step}`).toEqual(await numbersOf(k, yardstick.loss));
    for (const site of sites) {
      const { adapters } = (trained as PerSite<{ adapters: readonly { delta: R }[] }>)[site.path]!;
      const { weight, bias } = (yardstick.trained as PerSite<{ weight: R; bias: R }>)[site.path]!;
      const columns = columnsOfWeight(site.operation, await numbersOf(k, weight), chosen(site, setup.seed));
      expect(await numbersOf(k, adapters[0]!.delta), `${site.path} after step ${step}`).toEqual(columns);
      expect((await numbersOf(k, bias)).every((b) => b === 0)).toBe(true);
    }
  }
  for (const { path } of sites) {
    const { weight, bias } = (base as PerSite<{ weight: R; bias: R }>)[path]!;
    const after = (paca.params as PerSite<{ weight: R; bias: R }>)[path]!;
    expect(after.weight).toBe(weight);
    expect(after.bias).toBe(bias);
  }
};

describe.each(Object.entries(architectures))('%s', (_, architecture) => {
  it.each(Object.entries(optimizers))("%s: PaCA's run is the masked run, bit for bit", (_, optimizer) =>
    fc.assert(
      fc.asyncProperty(any.seed, (seed) => expectEqualRuns({ architecture, optimizer, seed })),
      { numRuns: 5 },
    ),
  );

  it('leaves W bit for bit as it was', async () => {
    const setup: Setup = { architecture, optimizer: optimizers.adam!, seed: 3 };
    const weights = initialWeights(architecture, rngFromSeed(setup.seed));
    const { base, paca, sites } = bothRuns(setup);
    const moved: number[] = [];
    for (const { path } of sites) {
      const { weight } = (base as PerSite<{ weight: R }>)[path]!;
      expect(await numbersOf(k, weight)).toEqual(Array.from(weights[`${path}.weight`]!.data, Number));
      const { adapters } = (paca.params as PerSite<{ adapters: readonly { delta: R }[] }>)[path]!;
      moved.push(...(await numbersOf(k, adapters[0]!.delta)).filter((d) => d !== 0));
    }
    expect(moved.length).toBeGreaterThan(0);
  });
});

describe('why the update is masked and not the gradient alone', () => {
  const one = (values: readonly number[]): R => k.fromHost(host([values.length], values));

  it('Adam leaves an entry with gradient 0 where it is; AdamW towards zero does not', async () => {
    const w = one([2, -3]);
    const move = async (optimizer: Transform<R>): Promise<number[]> => {
      const [delta] = optimizer.update(one([0, 0]), optimizer.init(w), w);
      return numbersOf(k, delta as R);
    };
    expect((await move(adamw(k, { learningRate: 0.5 }))).map(Math.abs)).toEqual([0, 0]);
    expect(await move(adamw(k, { learningRate: 0.5, decay: 0.5 }))).toEqual([-0.5, 0.75]);
  });
});

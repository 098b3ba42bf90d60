/**
 * Convergence, as `proofs/` states it: if the gradient is β-Lipschitz on the trained columns, a step of rate η gives
 *
 *   L(t+1) ≤ L(t) − η·(1 − βη/2)·‖g(t)‖²,   Σ ‖g(t)‖² ≤ (L(0) − Lmin)/c,   min ‖g(t)‖² ≤ (L(0) − Lmin)/(T·c)
 *
 * with c = η·(1 − βη/2). For L = ½‖X W̃ᵀ − Y‖²/B it holds with β = s²·‖X[:, I]‖²/B. Above 2/β the loss rises.
 */
import { describe, expect, it } from 'vitest';
import { anyLayer } from '../../src/core/layer.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { leaves, overlay, type Tree, zipTrees } from '../../src/core/tree.ts';
import { meanSquaredError } from '../../src/layers/losses.ts';
import { pacaLinear } from '../../src/methods/paca.ts';
import { evaluate, initialWeights } from '../../src/models/architecture.ts';
import { mlp } from '../../src/models/mlp.ts';
import { buildModel } from '../../src/models/model.ts';
import { orThrow } from '../../src/spec/errors.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { host, ints, f64 as k, normal, numbersOf, type R } from '../support/tensors.ts';
import { type Batch, lossAndGradient, lossOf, type Objective } from '../support/training.ts';

const loss = lossOf(meanSquaredError(k));

/** A function of what trains, through a layer, on one batch. */
interface Landscape {
  readonly objective: Objective<R>;
  readonly batch: Batch<R>;
  readonly start: Tree<R>;
}

const inner = async (a: Tree<R>, b: Tree<R>): Promise<number> => {
  const flat = async (t: Tree<R>): Promise<number[]> =>
    (await Promise.all(leaves(t).map((x) => numbersOf(k, x)))).flat();
  const [x, y] = await Promise.all([flat(a), flat(b)]);
  return x.reduce((sum, value, i) => sum + value * y[i]!, 0);
};

const at = async ({ objective, batch }: Landscape, params: Tree<R>): Promise<{ value: number; gradient: Tree<R> }> => {
  const [value, gradient] = lossAndGradient(objective, params, batch);
  return { value: (await numbersOf(k, value))[0]!, gradient };
};

/** The parameters moved by t·d on what trains. */
const moved = ({ objective }: Landscape, params: Tree<R>, t: number, d: Tree<R>): Tree<R> =>
  overlay(
    params,
    zipTrees([objective.layer.trainable(params), d], (p, step) => k.add(p!, k.mul(step!, t))),
  );

interface Path {
  /** One more than there are steps. */
  readonly losses: number[];
  readonly squaredNorms: number[];
}

/** T steps of gradient descent with rate η. */
const descend = async (f: Landscape, rate: number, steps: number): Promise<Path> => {
  const path: Path = { losses: [], squaredNorms: [] };
  let params = f.start;
  for (let t = 0; t < steps; t++) {
    const { value, gradient } = await at(f, params);
    path.losses.push(value);
    path.squaredNorms.push(await inner(gradient, gradient));
    params = moved(f, params, -rate, gradient);
  }
  path.losses.push((await at(f, params)).value);
  return path;
};

interface LeastSquares {
  readonly f: Landscape;
  readonly beta: number;
  /** What one evaluation of L may be off by in f64: fewer than 2⁹ roundings of terms whose squares sum to this. */
  readonly rounding: number;
}

const sumOfSquares = (values: Iterable<number>): number => Array.from(values).reduce((s, x) => s + x * x, 0);

const leastSquares: fc.Arbitrary<LeastSquares> = fc
  .record({
    in: fc.constantFrom(2, 3, 5),
    out: any.axis,
    n: any.axis,
    scale: fc.constantFrom(1, 0.5, 2),
    seed: any.seed,
  })
  .chain(({ in: width, out, n, scale, seed }) =>
    any.indexSet(width).map((indices) => {
      const [x, y, w] = [normal(seed, [n, width]), normal(seed + 1, [n, out]), normal(seed + 2, [out, width])];
      const rank = indices.length;
      const selected = x.data.filter((_, i) => indices.includes(i % width));
      const layer = anyLayer(pacaLinear(k, { in: width, out }, [{ rank, scale, active: true, trains: true }]));
      const magnitude = sumOfSquares(y.data) + sumOfSquares(x.data) * sumOfSquares(w.data);
      return {
        f: {
          objective: { k, layer, loss },
          batch: { x: k.fromHost(x), targets: k.fromHost(y), denominator: 2 * n },
          start: {
            weight: k.fromHost(w),
            adapters: [{ indices: k.fromHost(ints([rank], indices)), delta: k.full([out, rank], 0) }],
          },
        },
        beta: (scale ** 2 * sumOfSquares(selected)) / n,
        rounding: 2 ** (9 - 53) * 4 * magnitude,
      };
    }),
  );

describe('PaCA on least squares', () => {
  const STEPS = 15;

  it.each([0.1, 0.5, 1])('at η = %d/β has the descent, the sum and the best iterate that are proved', (fraction) =>
    fc.assert(
      fc.asyncProperty(leastSquares, async ({ f, beta, rounding }) => {
        const rate = fraction / beta;
        const c = rate * (1 - (beta * rate) / 2);
        const { losses, squaredNorms } = await descend(f, rate, STEPS);
        squaredNorms.forEach((g2, t) => {
          expect(losses[t + 1]!).toBeLessThanOrEqual(losses[t]! - c * g2 + rounding);
        });
        const sum = squaredNorms.reduce((a, b) => a + b, 0);
        const least = losses.at(-1)!;
        expect(sum).toBeLessThanOrEqual((losses[0]! - least + STEPS * rounding) / c);
        expect(Math.min(...squaredNorms)).toBeLessThanOrEqual((losses[0]! - least + STEPS * rounding) / (STEPS * c));
      }),
      { numRuns: 20 },
    ),
  );

  it('drives the gradient to 0: it never grows, so the last one is the best, and falls like 1/T', () =>
    fc.assert(
      fc.asyncProperty(leastSquares, fc.constantFrom(10, 40, 80), async ({ f, beta, rounding }, steps) => {
        const { losses, squaredNorms } = await descend(f, 1 / beta, steps);
        squaredNorms.slice(1).forEach((g2, t) => {
          expect(g2).toBeLessThanOrEqual(squaredNorms[t]! + 4 * beta * rounding);
        });
        const bound = (2 * beta * (losses[0]! + steps * rounding)) / steps;
        expect(squaredNorms.at(-1)!).toBeLessThanOrEqual(bound + 4 * beta * rounding);
      }),
      { numRuns: 8 },
    ));
});

describe('on the quadratic ½βx²', () => {
  const beta = 4;
  const quadratic: Landscape = {
    objective: {
      k,
      loss,
      layer: anyLayer(pacaLinear(k, { in: 1, out: 1 }, [{ rank: 1, scale: 1, active: true, trains: true }])),
    },
    batch: { x: k.full([1, 1], Math.sqrt(beta)), targets: k.full([1, 1], 0), denominator: 2 },
    start: {
      weight: k.fromHost(host([1, 1], [1])),
      adapters: [{ indices: k.fromHost(ints([1], [0])), delta: k.full([1, 1], 0) }],
    },
  };

  it('every step of η = 2.1/β rises, by (1 − βη)² = 1.21', async () => {
    const { losses } = await descend(quadratic, 2.1 / beta, 20);
    losses.slice(1).forEach((value, t) => {
      expect(value).toBeGreaterThan(losses[t]!);
      expect(value / losses[t]!).toBeCloseTo(1.21, 10);
    });
  });

  it('η = 1.9/β still falls, and 1/β arrives in one step', async () => {
    const { losses } = await descend(quadratic, 1.9 / beta, 20);
    losses.slice(1).forEach((value, t) => {
      expect(value).toBeLessThan(losses[t]!);
    });
    expect((await descend(quadratic, 1 / beta, 1)).losses).toEqual([2, 0]);
  });
});

describe('on tanh networks, which are not convex', () => {
  const architecture = mlp({ widths: [4, 5, 2], activation: 'tanh' });

  const network = (seed: number): Landscape => {
    const model = orThrow(
      buildModel(k, architecture, initialWeights(architecture, rngFromSeed(seed)), () => ({
        method: 'paca',
        adapters: [{ indices: Int32Array.of(0, 2, 3), alpha: 3 }],
      })),
    );
    return {
      objective: { k, loss, layer: model.layer(evaluate) },
      batch: { x: k.fromHost(normal(seed + 1, [3, 4])), targets: k.fromHost(normal(seed + 2, [3, 2])), denominator: 6 },
      start: model.params,
    };
  };

  /**
   * The smallest β for which ⟨g(w + td) − g(w), d⟩ ≤ β·t·‖d‖² at the sampled t, plus the largest difference between
   * neighbouring samples, which bounds what lies between them.
   */
  const measuredBeta = async (f: Landscape, params: Tree<R>, gradient: Tree<R>, d: Tree<R>): Promise<number> => {
    const length = await inner(d, d);
    const slope = await inner(gradient, d);
    const samples: number[] = [];
    for (let t = 1 / 8; t <= 1; t += 1 / 8) {
      const there = (await at(f, moved(f, params, t, d))).gradient;
      samples.push(((await inner(there, d)) - slope) / (t * length));
    }
    const jumps = samples.slice(1).map((s, i) => Math.abs(s - samples[i]!));
    return Math.max(...samples) + Math.max(...jumps);
  };

  it('a step descends as the β measured along it says, and the loss falls where η ≤ 1/β', () =>
    fc.assert(
      fc.asyncProperty(any.seed, async (seed) => {
        const f = network(seed);
        let params = f.start;
        let rate = 2;
        for (let t = 0; t < 6; t++) {
          const { value, gradient } = await at(f, params);
          const g2 = await inner(gradient, gradient);
          let step = zipTrees([gradient], (g) => k.mul(g!, -rate));
          let beta = await measuredBeta(f, params, gradient, step);
          while (rate * beta > 1) {
            rate /= 2;
            step = zipTrees([gradient], (g) => k.mul(g!, -rate));
            beta = await measuredBeta(f, params, gradient, step);
          }
          params = moved(f, params, 1, step);
          const next = (await at(f, params)).value;
          const rounding = 2 ** -40;
          expect(next).toBeLessThanOrEqual(value - rate * (1 - (beta * rate) / 2) * g2 + rounding);
          expect(next).toBeLessThan(value);
        }
      }),
      { numRuns: 10 },
    ));
});

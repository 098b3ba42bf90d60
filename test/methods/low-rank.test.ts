/**
 * LoRA, DoRA and MosLoRA: outputs and gradients against PEFT and PyTorch, what is kept and what is frozen, and merged
 * weights against unmerged layers.
 */
import { readFileSync } from 'node:fs';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { errorBounds } from '../../src/core/error-bound.ts';
import { type Kernels, kernels } from '../../src/core/fused.ts';
import { vjpExcess } from '../../src/core/laws.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { leafPaths, mapTree, type Tree } from '../../src/core/tree.ts';
import { decodeSafetensors } from '../../src/io/safetensors.ts';
import { adapt, type Treatment } from '../../src/methods/adapt.ts';
import type { LoraPlan } from '../../src/methods/adapt-low-rank.ts';
import { doraWeight, rowNorms } from '../../src/methods/dora.ts';
import { loraWeight } from '../../src/methods/lora.ts';
import { mosloraWeight } from '../../src/methods/moslora.ts';
import type { Site } from '../../src/methods/operation.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { type HostTensor, inputSlot, type Spec } from '../../src/spec/tensor.ts';
import { ieee } from '../../src/spec/tolerance.ts';
import { residualBytes } from '../../src/train/account.ts';
import { fc } from '../support/fast-check.ts';
import { type LowRankMethod, lowRankInstance, lowRankParams, pointOf } from '../support/layer-instances.ts';
import { lowRankSizes } from '../support/layer-table.ts';
import { expectWithin, f32, f64, normal32, numbersOf, type R } from '../support/tensors.ts';

type Tensors = Readonly<Record<string, HostTensor>>;

const [ROWS, WIDTH, OUT, RANK] = [7, 11, 5, 3];
const site: Site = { path: 'map', operation: { kind: 'linear', config: { in: WIDTH, out: OUT } } };

const fixture = (name: string): Tensors => {
  const file = `${name}.safetensors`;
  return orThrow(decodeSafetensors(readFileSync(new URL(`../fixtures/methods/${file}`, import.meta.url)), file))
    .tensors;
};

const plansOf = (t: Tensors, method: LowRankMethod, changes: Partial<LoraPlan> = {}): Treatment => {
  const { a, b, magnitude, mixer, scale } = t;
  const plan = { a: a!, b: b!, scale: Number(scale!.data[0]), ...changes };
  if (method === 'moslora') return { method, adapters: [{ ...plan, mixer: mixer! }] };
  return method === 'dora' ? { method, adapters: [{ ...plan, magnitude: magnitude! }] } : { method, adapters: [plan] };
};

const build = <T extends Spec>(k: Kernels<T>, t: Tensors, treatment: Treatment) =>
  orThrow(adapt(k, site, { weight: t.weight!, bias: t.bias! }, treatment));

describe.each([
  ['lora', 'lora'],
  ['rslora', 'lora'],
  ['dora', 'dora'],
  ['moslora', 'moslora'],
] as const)('%s', (name, method) => {
  const t = fixture(name);
  const run = <T extends Spec>(k: Kernels<T>, treatment: Treatment) => {
    const { layer, params } = build(k, t, treatment);
    const [y, residual] = layer.forward(params, k.fromHost(t.x!));
    const [gradient, dx] = layer.backward(params, residual, k.fromHost(t.dy!));
    return { y, dx, gradient, layer, residual };
  };

  it("gives PyTorch's output and gradients, to the last places of f64", async () => {
    const { y, dx, gradient } = run(f64, plansOf(t, method));
    const near = async (actual: R, expected: HostTensor): Promise<void> => {
      const wanted = Array.from(expected.data, Number);
      const largest = Math.max(...wanted.map(Math.abs));
      expectWithin(
        await numbersOf(f64, actual),
        wanted,
        wanted.map(() => 1e-14 * largest),
      );
    };
    await near(y, t.y!);
    await near(dx, t.dx!);
    const leaves = leafPaths(gradient);
    expect(leaves.map(([path]) => path.replace('adapters.0.', '')).sort()).toEqual(
      Object.keys(t)
        .filter((key) => key.startsWith('gradient.'))
        .map((key) => key.replace('gradient.', ''))
        .sort(),
    );
    for (const [path, leaf] of leaves) await near(leaf, t[path.replace('adapters.0.', 'gradient.')]!);
  });

  it('with A frozen has the same other gradients, and keeps no x', async () => {
    const [all, some] = [run(f32, plansOf(t, method)), run(f32, plansOf(t, method, { freezeA: true }))];
    const others = leafPaths(all.gradient).filter(([path]) => !path.endsWith('.a'));
    expect(leafPaths(some.gradient).map(([path]) => path)).toEqual(others.map(([path]) => path));
    for (const [i, [, leaf]] of leafPaths(some.gradient).entries())
      expect(await numbersOf(f32, leaf)).toEqual(await numbersOf(f32, others[i]![1]));
    const kept = ({ layer }: typeof all): number =>
      residualBytes(layer.residual(inputSlot('x', { dtype: 'f32', shape: [ROWS, WIDTH] })));
    expect(kept(all) - kept(some)).toBe(4 * ROWS * WIDTH);
    const own = { lora: RANK, moslora: 2 * RANK, dora: RANK + OUT }[method];
    expect(kept(some)).toBe(4 * (ROWS * own + (method === 'dora' ? OUT : 0)));
  });

  it('switched off is the base', async () => {
    const { y } = run(f32, plansOf(t, method, { active: false }));
    expect(await numbersOf(f32, y)).toEqual(await numbersOf(f32, run(f32, { method: 'frozen' }).y));
  });
});

/** The numbers of all leaves. */
const read = (tree: Tree<R>): Promise<number[][]> =>
  Promise.all(leafPaths(tree).map(([, leaf]) => numbersOf(f64, leaf)));

describe('dropout', () => {
  const t = fixture('lora');
  const dropping = (changes: Partial<LoraPlan>) => adapt(f32, site, { weight: t.weight! }, plansOf(t, 'lora', changes));

  it('acts on what goes into A, in training alone, and leaves the mean as it is', async () => {
    const { layer, training, params } = orThrow(dropping({ dropout: 0.5 }));
    const x = f32.fromHost(t.x!);
    const plain = await numbersOf(f32, layer.forward(params, x)[0]);
    expect(plain).toEqual(await numbersOf(f32, orThrow(dropping({})).layer.forward(params, x)[0]));
    const draws = Array.from({ length: 400 }, (_, seed) => training!(rngFromSeed(seed)).forward(params, x)[0]);
    const read = await Promise.all(draws.map((y) => numbersOf(f32, y)));
    expect(new Set(read.map(String)).size).toBe(400);
    const { scale, a, b } = t;
    const largest = Number(scale!.data[0]) * Math.max(...[...a!.data, ...b!.data].map((v) => Math.abs(Number(v)))) ** 2;
    plain.forEach((y, i) => {
      const mean = read.reduce((sum, draw) => sum + draw[i]!, 0) / read.length;
      expect(Math.abs(mean - y)).toBeLessThan((5 * largest * WIDTH * RANK) / Math.sqrt(read.length));
    });
  });

  it('is refused outside [0, 1)', () => {
    for (const dropout of [-0.1, 1, Number.NaN]) expect(E.isLeft(dropping({ dropout }))).toBe(true);
  });

  it.each(['lora', 'dora'] as const)(
    "of %s gives PEFT's output and gradients with the mask that was drawn",
    async (method) => {
      const f = fixture(`${method}-dropout`);
      const { training, params } = build(f64, f, plansOf(f, method, { dropout: 0.25 }));
      const layer = training!(rngFromSeed(5));
      const [y, residual] = layer.forward(params, f64.fromHost(f.x!));
      const [gradient, dx] = layer.backward(params, residual, f64.fromHost(f.dy!));
      const names = leafPaths(gradient).map(([path]) => path.replace('adapters.0.', 'gradient.'));
      expect(names.sort()).toEqual(
        Object.keys(f)
          .filter((key) => key.startsWith('gradient.'))
          .sort(),
      );
      const pairs = leafPaths(gradient).map(
        ([path, leaf]) => [leaf, f[path.replace('adapters.0.', 'gradient.')]!] as const,
      );
      for (const [actual, { data }] of [[y as R, f.y!], [dx as R, f.dx!], ...pairs] as const) {
        const wanted = Array.from(data, Number);
        const largest = Math.max(...wanted.map(Math.abs));
        expectWithin(
          await numbersOf(f64, actual),
          wanted,
          wanted.map(() => 1e-14 * largest),
        );
      }
      // The gradient alone has the bits of the backward pass.
      expect(await read(layer.gradient(params, residual, f64.fromHost(f.dy!)))).toEqual(await read(gradient));
    },
  );
});

describe('DoRA', () => {
  it('begins with the row norms of its direction, and is LoRA then', async () => {
    const t = fixture('dora');
    const { a, b } = t;
    const plan = { a: a!, b: b!, scale: 0.7 };
    const x = f64.fromHost(t.x!);
    const outputs = (['dora', 'lora'] as const).map((method) => {
      const { layer, params } = build(f64, t, { method, adapters: [plan] });
      return numbersOf(f64, layer.forward(params, x)[0]);
    });
    const [dora, lora] = await Promise.all(outputs);
    expectWithin(
      dora!,
      lora!,
      lora!.map(() => 1e-13),
    );
  });

  /** DoRA whose rows are measured at `fixed` parameters wherever it is computed: what is detached stands still. */
  const holding = (fixed: Tree<R>, layer: ReturnType<typeof pointOf<R>>['layer'], scales: readonly number[]) => {
    type P = { weight: R; bias: R; adapters: readonly { a: R; b: R; magnitude: R }[] };
    const normsOf = ({ weight, adapters }: P): readonly R[] =>
      adapters.map((adapter, i) => rowNorms(f64, loraWeight(f64, weight, adapter, scales[i]!)));
    const held = (p: P): P => {
      const [now, then] = [normsOf(p), normsOf(fixed as unknown as P)];
      const adapters = p.adapters.map((adapter, i) => ({
        ...adapter,
        magnitude: f64.div(f64.mul(adapter.magnitude, now[i]!), then[i]!),
      }));
      return { ...p, adapters };
    };
    return { ...layer, forward: (p: Tree<R>, x: Tree<R>) => layer.forward(held(p as unknown as P) as never, x) };
  };

  it('has the transposed derivative of what holds its norms still', () =>
    fc.assert(
      fc.asyncProperty(lowRankSizes, fc.nat(1000), async (size, seed) => {
        const point = pointOf(f64, lowRankInstance('dora')(size, seed));
        const layer = holding(
          point.p,
          point.layer,
          size.plans.map(({ scale }) => scale),
        );
        // The gradient is the layer's own, at the point where both are one function.
        expect(await vjpExcess({ ...point, layer: { ...layer, backward: point.layer.backward } })).toBeLessThanOrEqual(
          1,
        );
      }),
      { numRuns: 12 },
    ));
});

describe('a merge', () => {
  const weights = {
    lora: loraWeight,
    dora: doraWeight,
    moslora: mosloraWeight,
  } as unknown as Readonly<
    Record<LowRankMethod, <T extends Spec>(k: Kernels<T>, w: T, adapter: Tree<T>, scale: number) => T>
  >;

  it.each(['lora', 'dora', 'moslora'] as const)('of %s gives the unmerged output within the bounds of both', (method) =>
    fc.assert(
      fc.asyncProperty(lowRankSizes, fc.nat(1000), async ({ size, plans: [first] }, seed) => {
        const plan = { ...first!, active: true };
        const instance = lowRankInstance(method)({ size, plans: [plan] }, seed);
        const drawn = mapTree<HostTensor, HostTensor>(
          { ...lowRankParams(method, { size, plans: [plan] }, seed) } as Tree<HostTensor>,
          ({ shape }, path) => normal32(seed + path.length + path.charCodeAt(0), shape),
        );
        const input = normal32(seed + 2, [...size.leading, size.in]);
        const outputs = <T extends Spec>(k: Kernels<T>): readonly [T, T] => {
          const p = mapTree(drawn, k.fromHost) as unknown as { weight: T; bias: T; adapters: readonly Tree<T>[] };
          const x = k.fromHost(input);
          const merged = weights[method](k, p.weight, p.adapters[0]!, plan.scale);
          return [instance.layer(k).forward(p as never, x)[0] as T, k.linear.forward(x, merged, p.bias)];
        };
        const [unmerged, merged] = outputs(f32);
        const [a, b] = outputs(kernels(errorBounds(f64, ieee)));
        const bound = await numbersOf(f64, f64.add(a.error, b.error));
        expectWithin(await numbersOf(f32, merged), await numbersOf(f32, unmerged), bound);
      }),
      { numRuns: 30 },
    ),
  );
});

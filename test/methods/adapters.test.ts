/** Several adapters over one base: they add up in list order, each can be switched off, and only some train. */
import { describe, expect, it } from 'vitest';
import { anyLayer } from '../../src/core/layer.ts';
import { hasLeaves, type Tree } from '../../src/core/tree.ts';
import { frozenLinear } from '../../src/layers/linear.ts';
import { meanSquaredError } from '../../src/layers/losses.ts';
import { mergePaca } from '../../src/methods/merge.ts';
import { type PacaAdapter, type PacaAdapterConfig, type PacaParams, pacaLinear } from '../../src/methods/paca.ts';
import { momentum } from '../../src/optim/sgd.ts';
import * as any from '../support/arbitraries.ts';
import { fc } from '../support/fast-check.ts';
import { expectSame, host, ints, f32 as k, normal32, numbersOf, type R } from '../support/tensors.ts';
import { lossOf, train } from '../support/training.ts';

const [IN, OUT, N] = [5, 3, 4];
const linear = { in: IN, out: OUT };

interface Adapter {
  readonly indices: Int32Array;
  readonly scale: number;
}

const drawn: fc.Arbitrary<Adapter> = fc.record({ indices: any.indexSet(IN), scale: fc.constantFrom(1, 0.5, 1.3) });

const on = ({ indices, scale }: Adapter): PacaAdapterConfig => ({
  rank: indices.length,
  scale,
  active: true,
  trains: true,
});
const off = (a: Adapter): PacaAdapterConfig => ({ ...on(a), active: false });

const adapter = ({ indices }: Adapter, seed: number): PacaAdapter<R> => ({
  indices: k.fromHost(ints([indices.length], indices)),
  delta: k.fromHost(normal32(seed, [OUT, indices.length])),
});

const paramsOf = (seed: number, adapters: readonly Adapter[]): PacaParams<R> => ({
  weight: k.fromHost(normal32(seed, [OUT, IN])),
  bias: k.fromHost(normal32(seed + 1, [OUT])),
  adapters: adapters.map((a, i) => adapter(a, seed + 10 + i)),
});

const forward = (p: PacaParams<R>, configs: readonly PacaAdapterConfig[], x: R): R =>
  pacaLinear(k, linear, configs).forward(p, x)[0];

describe('two active adapters', () => {
  it('are one adapter over the base with the other merged into it', () =>
    fc.assert(
      fc.asyncProperty(drawn, drawn, any.seed, async (a, b, seed) => {
        const p = paramsOf(seed, [a, b]);
        const x = k.fromHost(normal32(seed + 5, [N, IN]));
        const first = { ...p, adapters: p.adapters.slice(0, 1) };
        const { weight } = mergePaca(k, { kind: 'linear', config: linear }, first, [on(a)], [a.indices]);
        const second = { ...p, weight, adapters: p.adapters.slice(1) };
        await expectSame(k, forward(p, [on(a), on(b)], x), forward(second, [on(b)], x));
      }),
    ));

  it('add in list order where their columns overlap', async () => {
    const one = Int32Array.of(0);
    const lay = (...deltas: readonly number[]): Promise<number[]> => {
      const adapters = deltas.map((d) => ({
        indices: k.fromHost(ints([1], one)),
        delta: k.fromHost(host([1, 1], [d])),
      }));
      const configs = deltas.map(() => ({ rank: 1, scale: 1, active: true, trains: true }));
      const layer = pacaLinear(k, { in: 1, out: 1 }, configs);
      return numbersOf(k, layer.forward({ weight: k.full([1, 1], 1), adapters }, k.full([1, 1], 1))[0]);
    };
    expect(await lay(2 ** 24, -(2 ** 24))).toEqual([0]);
    expect(await lay(-(2 ** 24), 2 ** 24)).toEqual([1]);
  });
});

describe('an adapter that is off', () => {
  it('is as if it were not there, bit for bit', () =>
    fc.assert(
      fc.asyncProperty(drawn, drawn, any.seed, async (a, b, seed) => {
        const p = paramsOf(seed, [a, b]);
        const x = k.fromHost(normal32(seed + 5, [N, IN]));
        const alone = { ...p, adapters: p.adapters.slice(1) };
        await expectSame(k, forward(p, [off(a), on(b)], x), forward(alone, [on(b)], x));
      }),
    ));

  it('leaves the bits of the base, keeps nothing and has no gradient', () =>
    fc.assert(
      fc.asyncProperty(drawn, any.seed, async (a, seed) => {
        const p = paramsOf(seed, [a]);
        const x = k.fromHost(normal32(seed + 5, [N, IN]));
        const layer = pacaLinear(k, linear, [off(a)]);
        const frozen = frozenLinear(k, linear);
        const [y, residual] = layer.forward(p, x);
        const dy = k.fromHost(normal32(seed + 6, [N, OUT]));
        const [gradient, dx] = layer.backward(p, residual, dy);
        await expectSame(k, y, frozen.forward(p, x)[0]);
        await expectSame(k, dx, frozen.backward(p, {}, dy)[1]);
        expect(hasLeaves([residual, gradient, layer.trainable(p)])).toBe(false);
      }),
    ));
});

describe('an adapter that is active and does not train', () => {
  it('acts, and only the other one moves', () =>
    fc.assert(
      fc.asyncProperty(drawn, drawn, any.seed, async (a, b, seed) => {
        const p = paramsOf(seed, [a, b]);
        const layer = anyLayer(pacaLinear(k, linear, [{ ...on(a), trains: false }, on(b)]));
        const x = k.fromHost(normal32(seed + 5, [N, IN]));
        const batch = { x, targets: k.fromHost(normal32(seed + 6, [N, OUT])), denominator: N };
        const run = train(
          {
            k,
            layer,
            loss: lossOf(meanSquaredError(k)),
            optimizer: momentum(k, { learningRate: 0.01, momentum: 0.9 }),
            batches: [batch, batch],
          },
          p as unknown as Tree<R>,
        );
        const after = run.params as unknown as PacaParams<R>;
        expect(after.adapters[0]!.delta).toBe(p.adapters[0]!.delta);
        expect(await numbersOf(k, after.adapters[1]!.delta)).not.toEqual(await numbersOf(k, p.adapters[1]!.delta));
        expect(await numbersOf(k, layer.forward(p as never, x)[0])).not.toEqual(
          await numbersOf(k, forward(p, [off(a), on(b)], x)),
        );
      }),
    ));
});

/**
 * Merging and taking it back: the merged f32 forward has the bits of the unmerged one, a 16-bit merge lies within the
 * storage rounding, and unmerging restores every bit, −0 and subnormals too.
 */
import { describe, expect, it } from 'vitest';
import { rngFromSeed, uniforms } from '../../src/core/rng.ts';
import { conv2d } from '../../src/layers/conv2d.ts';
import { linear } from '../../src/layers/linear.ts';
import { type Merged, mergePaca, unmergePaca } from '../../src/methods/merge.ts';
import { type Operation, weightShape } from '../../src/methods/operation.ts';
import { type PacaParams, pacaConv2d, pacaLinear } from '../../src/methods/paca.ts';
import { type HostTensor, type Shape, sizeOf } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { columnMask, effectiveWeight } from '../support/effective.ts';
import { fc } from '../support/fast-check.ts';
import {
  type AdapterPlan,
  adapterConfigs,
  columnsOf,
  imagesOf,
  type PacaHost,
  pacaParams,
} from '../support/layer-instances.ts';
import { plansFor } from '../support/layer-table.ts';
import { expectSame, host, f32 as k, normal32, numbersOf, type R } from '../support/tensors.ts';

type Storage = 'f32' | 'f16' | 'bf16';

/** Half the distance of neighbouring values near 1, and half the smallest subnormal. */
const storageRounding: Readonly<Record<Storage, { readonly relative: number; readonly absolute: number }>> = {
  f32: { relative: 0, absolute: 0 },
  f16: { relative: 2 ** -11, absolute: 2 ** -25 },
  bf16: { relative: 2 ** -8, absolute: 2 ** -134 },
};

/** Any bits that are no NaN: subnormals, −0 and infinities among them. */
const anyBits = (storage: Storage, seed: number, shape: Shape): HostTensor => {
  const [u] = uniforms(rngFromSeed(seed), sizeOf(shape));
  if (storage !== 'f32') {
    const [nan, sign] = storage === 'f16' ? [0x7c01, 0x8000] : [0x7f81, 0x8000];
    const data = Uint16Array.from(u, (x, i) => Math.floor(x * nan) | (i % 2 === 0 ? sign : 0));
    data.set([0x8000, 0x0001, 0x8001].slice(0, data.length));
    return { dtype: storage, shape, data };
  }
  const bits = Uint32Array.from(u, (x, i) => Math.floor(x * 0x7f800001) | (i % 2 === 0 ? 0x80000000 : 0));
  bits.set([0x80000000, 0x00000001, 0x80000001].slice(0, bits.length));
  return { dtype: 'f32', shape, data: new Float32Array(bits.buffer) };
};

interface Situation {
  readonly operation: Operation;
  readonly plans: readonly AdapterPlan[];
  readonly params: PacaHost;
  readonly seed: number;
}

const linears: fc.Arbitrary<Operation> = fc
  .record({ in: any.axis, out: any.axis })
  .map((config) => ({ kind: 'linear', config }));
const convolutions: fc.Arbitrary<Operation> = any.anyConvolution.map((config) => ({ kind: 'conv2d', config }));

const situation: fc.Arbitrary<Situation> = fc
  .oneof(linears, convolutions)
  .chain((operation) =>
    fc
      .tuple(plansFor(columnsOf(operation)), any.seed)
      .map(([plans, seed]) => ({ operation, plans, seed, params: pacaParams(operation, plans, seed) })),
  );

const onBackend = ({ params: { weight, bias, adapters } }: Situation, base: HostTensor = weight): PacaParams<R> => ({
  weight: k.fromHost(base),
  ...(bias && { bias: k.fromHost(bias) }),
  adapters: adapters.map(({ indices, delta }) => ({ indices: k.fromHost(indices), delta: k.fromHost(delta) })),
});

const merge = ({ operation, plans }: Situation, params: PacaParams<R>): Merged<R> =>
  mergePaca(
    k,
    operation,
    params,
    adapterConfigs(plans),
    plans.map(({ indices }) => indices),
  );

const input = ({ operation: { kind, config }, seed }: Situation): R =>
  k.fromHost(kind === 'linear' ? normal32(seed + 3, [3, config.in]) : imagesOf(config, seed + 3));

const unmergedForward = ({ operation: { kind, config }, plans }: Situation, p: PacaParams<R>, x: R): R =>
  (kind === 'linear'
    ? pacaLinear(k, config, adapterConfigs(plans))
    : pacaConv2d(k, config, adapterConfigs(plans))
  ).forward(p, x)[0];

const plainForward = ({ operation: { kind, config } }: Situation, p: { weight: R; bias?: R }, x: R): R =>
  (kind === 'linear' ? linear(k, config) : conv2d(k, config)).forward(p, x)[0];

/** 1 on the columns of any active adapter. */
const touched = ({ operation, plans }: Situation): number[] =>
  plans
    .filter(({ active }) => active)
    .map(({ indices }) => columnMask(operation, indices).data)
    .reduce(
      (all, mask) => all.map((m, i) => Math.max(m, mask[i]!)),
      new Array<number>(sizeOf(weightShape(operation))).fill(0),
    );

describe('an f32 merge', () => {
  it('has W̃, and the bits of the unmerged forward', () =>
    fc.assert(
      fc.asyncProperty(situation, async (s) => {
        const p = onBackend(s);
        const { weight } = merge(s, p);
        await expectSame(k, weight, k.fromHost(effectiveWeight(s.operation, s.params, s.plans, Math.fround)));
        const x = input(s);
        const merged = plainForward(s, { weight, ...(p.bias && { bias: p.bias }) }, x);
        await expectSame(k, merged, unmergedForward(s, p, x));
      }),
    ));
});

describe.each(['f32', 'f16', 'bf16'] as const)('over a base in %s', (storage) => {
  it('keeps the storage type, and leaves what is not selected as it is', () =>
    fc.assert(
      fc.asyncProperty(situation, async (s) => {
        const base = anyBits(storage, s.seed, weightShape(s.operation));
        const { weight } = merge(s, onBackend(s, base));
        expect(weight.dtype).toBe(storage);
        const bits = Array.from((await k.toHost(weight)).data, Number);
        touched(s).forEach((mask, i) => {
          if (mask === 0) expect(bits[i]).toBe(Number(base.data[i]));
        });
      }),
    ));

  it('lies within the storage rounding of W̃', () =>
    fc.assert(
      fc.asyncProperty(situation, async (s) => {
        const { relative, absolute } = storageRounding[storage];
        const stored = k.cast(k.fromHost(s.params.weight), storage);
        const wide = await numbersOf(k, k.cast(stored, 'f32'));
        const base = { ...s.params, weight: host(s.params.weight.shape, wide) };
        const exact = effectiveWeight(s.operation, base, s.plans, Math.fround).data;
        const merged = merge(s, { ...onBackend(s), weight: stored });
        const values = await numbersOf(k, k.cast(merged.weight, 'f32'));
        values.forEach((value, i) => {
          expect(Math.abs(value - exact[i]!)).toBeLessThanOrEqual(relative * Math.abs(exact[i]!) + absolute);
        });
      }),
    ));

  it('is undone bit for bit', () =>
    fc.assert(
      fc.asyncProperty(
        situation.filter(({ plans }) => plans.some(({ active }) => active)),
        async (s) => {
          const base = k.fromHost(anyBits(storage, s.seed, weightShape(s.operation)));
          await expectSame(k, unmergePaca(k, s.operation, merge(s, { ...onBackend(s), weight: base })), base);
        },
      ),
    ));

  it('of no active adapter is the base, there and back', () =>
    fc.assert(
      fc.asyncProperty(situation, async (drawn) => {
        const s = { ...drawn, plans: drawn.plans.map((plan) => ({ ...plan, active: false })) };
        const base = k.fromHost(anyBits(storage, s.seed, weightShape(s.operation)));
        const merged = merge(s, { ...onBackend(s), weight: base });
        await expectSame(k, merged.weight, base);
        await expectSame(k, unmergePaca(k, s.operation, merged), base);
      }),
    ));
});

describe('what a merge keeps', () => {
  it('is the overwritten columns alone, and nothing of the base is lost to it', () => {
    const operation: Operation = { kind: 'linear', config: { in: 5, out: 3 } };
    const plan = (indices: number[]): AdapterPlan => ({
      indices: Int32Array.from(indices),
      scale: 1,
      active: true,
      trains: true,
    });
    const plans = [plan([1, 4]), plan([0, 4]), { ...plan([2]), active: false }];
    const s: Situation = { operation, plans, params: pacaParams(operation, plans, 1), seed: 1 };
    const before = k.memory().live;
    const p = onBackend(s);
    const bytes = k.memory().live - before;
    const { weight, saved } = merge(s, p);
    expect([...saved.columns]).toEqual([0, 1, 4]);
    expect(saved.values.shape).toEqual([3, 3]);
    expect(k.memory().live - before - bytes).toBe(4 * (3 * 5 + 3 * 3));
    expect(() => k.add(p.weight, weight)).not.toThrow();
  });
});

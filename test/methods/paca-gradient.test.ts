/**
 * What PaCA computes is what full fine-tuning computes with the weight W̃, bit for bit: the output, the input gradient,
 * and of the weight gradient the selected columns, times s. It needs the selected input for that and nothing else.
 */
import { describe, expect, it } from 'vitest';
import { conv2d } from '../../src/layers/conv2d.ts';
import { linear } from '../../src/layers/linear.ts';
import { isDepthwise, type Operation } from '../../src/methods/operation.ts';
import { type PacaLayer, type PacaParams, pacaConv2d, pacaLinear } from '../../src/methods/paca.ts';
import type { HostTensor, HostTensorOf } from '../../src/spec/tensor.ts';
import * as any from '../support/arbitraries.ts';
import { columnsOfWeight, effectiveWeight } from '../support/effective.ts';
import { fc } from '../support/fast-check.ts';
import { type AdapterPlan, adapterConfigs, columnsOf, type PacaHost, pacaParams } from '../support/layer-instances.ts';
import { plansFor } from '../support/layer-table.ts';
import { expectSame, f32, f64, type K, normal32, numbersOf, type R } from '../support/tensors.ts';

interface Situation {
  readonly operation: Operation;
  readonly plans: readonly AdapterPlan[];
  readonly params: PacaHost;
  readonly x: HostTensor;
  readonly dySeed: number;
}

const rounded = (t: HostTensorOf<'f64'>): HostTensorOf<'f64'> => ({ ...t, data: t.data.map(Math.fround) });

/** Parameters that f32 holds exactly, so that both arithmetics see the same. */
const paramsIn32 = (p: PacaHost): PacaHost => ({
  weight: rounded(p.weight),
  ...(p.bias && { bias: rounded(p.bias) }),
  adapters: p.adapters.map(({ indices, delta }) => ({ indices, delta: rounded(delta) })),
});

const situation = (
  operations: fc.Arbitrary<Operation>,
  plans: (columns: number) => fc.Arbitrary<readonly AdapterPlan[]>,
): fc.Arbitrary<Situation> =>
  operations.chain((operation) =>
    fc.tuple(plans(columnsOf(operation)), any.seed).map(([chosen, seed]) => {
      const { config } = operation;
      const shape =
        operation.kind === 'linear' ? [3, config.in] : [2, config.in, operation.config.height, operation.config.width];
      return {
        operation,
        plans: chosen,
        params: paramsIn32(pacaParams(operation, chosen, seed)),
        x: normal32(seed + 50, shape),
        dySeed: seed + 60,
      };
    }),
  );

const linears: fc.Arbitrary<Operation> = fc
  .record({ in: any.axis, out: any.axis })
  .map((config) => ({ kind: 'linear', config }));
const convolutions = (grouping: any.Grouping): fc.Arbitrary<Operation> =>
  any.convolution(grouping).map((config) => ({ kind: 'conv2d', config }));

const operations: Readonly<Record<string, fc.Arbitrary<Operation>>> = {
  linear: linears,
  conv2d: convolutions('regular'),
  'grouped conv2d': convolutions('grouped'),
  'depthwise conv2d': convolutions('depthwise'),
};

const toBackend = (k: K, { weight, bias, adapters }: PacaHost): PacaParams<R> => ({
  weight: k.fromHost(weight),
  ...(bias && { bias: k.fromHost(bias) }),
  adapters: adapters.map(({ indices, delta }) => ({ indices: k.fromHost(indices), delta: k.fromHost(delta) })),
});

const pacaOf = (k: K, { operation: { kind, config }, plans }: Situation): PacaLayer<R> =>
  kind === 'linear' ? pacaLinear(k, config, adapterConfigs(plans)) : pacaConv2d(k, config, adapterConfigs(plans));

const fullOf = (k: K, { kind, config }: Operation) => (kind === 'linear' ? linear(k, config) : conv2d(k, config));

/** Every statement of this file's first lines, at one situation. */
const expectColumnsOfFull = async (k: K, s: Situation): Promise<void> => {
  const round = k.float === 'f32' ? Math.fround : (x: number): number => x;
  const [paca, full] = [pacaOf(k, s), fullOf(k, s.operation)];
  const p = toBackend(k, s.params);
  const q = { weight: k.fromHost(effectiveWeight(s.operation, s.params, s.plans, round)), bias: p.bias! };
  const x = k.fromHost(s.x);
  const [y, residual] = paca.forward(p, x);
  const [expectedY, kept] = full.forward(q, x);
  const dy = k.fromHost(normal32(s.dySeed, y.shape));
  const [gradient, dx] = paca.backward(p, residual, dy);
  const [expected, expectedDx] = full.backward(q, kept, dy);
  await expectSame(k, y, expectedY);
  await expectSame(k, dx, expectedDx);
  const whole = await numbersOf(k, expected.weight);
  for (const [i, { indices, scale, active, trains }] of s.plans.entries()) {
    const of = gradient.adapters[i]!;
    expect('delta' in of).toBe(active && trains);
    if ('delta' in of) {
      const columns = columnsOfWeight(s.operation, whole, indices).map((g) => round(round(scale) * g));
      expect(await numbersOf(k, of.delta as R)).toEqual(columns);
    }
  }
};

const single = (columns: number): fc.Arbitrary<readonly AdapterPlan[]> =>
  any.indexSet(columns).map((indices) => [{ indices, scale: 1, active: true, trains: true }]);

const atZero = (s: Situation): Situation => ({
  ...s,
  params: {
    ...s.params,
    adapters: s.params.adapters.map((a) => ({ ...a, delta: { ...a.delta, data: a.delta.data.map(() => 0) } })),
  },
});

describe.each(Object.entries(operations))('%s', (_, operation) => {
  it.each([
    ['f32', f32],
    ['f64', f64],
  ])('at δ = 0 and s = 1 it has the columns of the full gradient of W itself, in %s', (_, k) =>
    fc.assert(
      fc.asyncProperty(situation(operation, single), async (drawn) => {
        const s = atZero(drawn);
        const untouched = effectiveWeight(s.operation, s.params, s.plans, Math.fround);
        expect([...untouched.data]).toEqual([...s.params.weight.data]);
        await expectColumnsOfFull(k, s);
      }),
    ),
  );

  it.each([
    ['f32', f32],
    ['f64', f64],
  ])('at any δ, s and set of adapters it has the columns of the full gradient of W̃, in %s', (_, k) =>
    fc.assert(fc.asyncProperty(situation(operation, plansFor), (s) => expectColumnsOfFull(k, s))),
  );

  it('reads the selected input alone: NaN everywhere else, after the forward pass, changes nothing', () =>
    fc.assert(
      fc.asyncProperty(situation(operation, plansFor), async (s) => {
        const paca = pacaOf(f32, s);
        const p = toBackend(f32, s.params);
        const run = async (spoil: boolean): Promise<number[][]> => {
          const x = f32.fromHost(s.x);
          const [y, residual] = paca.forward(p, x);
          if (spoil) (x.data as Float32Array).fill(Number.NaN);
          const [gradient, dx] = paca.backward(p, residual, f32.fromHost(normal32(s.dySeed, y.shape)));
          const deltas = gradient.adapters.flatMap((a) => ('delta' in a ? [a.delta as R] : []));
          return Promise.all([dx, ...deltas].map((t) => numbersOf(f32, t)));
        };
        const results = await run(true);
        expect(results).toEqual(await run(false));
        expect(results.flat().some(Number.isNaN)).toBe(false);
      }),
    ));
});

describe('the selected input', () => {
  it('is n·r numbers, whatever the width of the layer', () => {
    for (const width of [5, 50]) {
      const layer = pacaLinear(f32, { in: width, out: 2 }, [{ rank: 3, scale: 1, active: true, trains: true }]);
      const residual = layer.residual({ dtype: 'f32', shape: [7, width], slot: 'x', scope: 'x' });
      expect(residual).toMatchObject({ selected: [{ shape: [7, 3] }] });
    }
  });

  it('of a depthwise convolution are channels: one group each', () => {
    expect(isDepthwise({ groups: 3, in: 3 } as never)).toBe(true);
    expect(isDepthwise({ groups: 1, in: 1 } as never)).toBe(false);
    expect(isDepthwise({ groups: 2, in: 4 } as never)).toBe(false);
  });
});

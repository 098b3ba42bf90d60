/** The fused AdamW step has the bits of its derivation. */
import { describe, expect, it } from 'vitest';
import { wasmBackend } from '../../backends/wasm/backend.ts';
import type { WasmTensor } from '../../backends/wasm/memory.ts';
import { hireInNode } from '../../backends/wasm/workers-node.ts';
import type { AdamwCoefficients } from '../../src/core/derived/adamw.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { agree, fc, floats, mix, rows, seed } from './wasm-kit.ts';

const coefficients: fc.Arbitrary<AdamwCoefficients> = fc.record({
  learningRate: fc.constantFrom(1e-3, 0.1),
  beta1: fc.constantFrom(0.9, 0.99),
  beta2: fc.constantFrom(0.999, 0.95),
  epsilon: fc.constantFrom(1e-8, 0),
  decay: fc.constantFrom(0, 0.01, 1e-60),
  correction1: fc.constantFrom(1 - 0.9, 1),
  correction2: fc.constantFrom(1 - 0.999, 1),
});

describe('update', () => {
  it('with and without decay and target', async () => {
    await fc.assert(
      fc.asyncProperty(rows, coefficients, fc.boolean(), seed, mix, (shape, c, hasTarget, s, mixture) => {
        const inputs = [0, 1, 2, 3, 4].map((i) => floats(s + i, shape, mixture));
        const positive = { ...inputs[2]!, data: inputs[2]!.data.map(Math.abs) };
        return agree(inputs.with(2, positive), (k, g, m, v, parameter, target) =>
          k.adamw.update(g!, { m: m!, v: v! }, parameter!, hasTarget ? target! : null, c),
        );
      }),
      { numRuns: 200 },
    );
  });

  it('writes over what it is given up, where nobody else holds it', async () => {
    const { kernels: k, dispose } = orThrow(await wasmBackend({ threads: 2, hire: hireInNode }));
    const c = {
      learningRate: 0.1,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      decay: 0,
      correction1: 0.1,
      correction2: 0.01,
    };
    const shape = [300, 301];
    const zeros = (): readonly [WasmTensor, WasmTensor, WasmTensor] => [
      k.full(shape, 2),
      k.full(shape, 3),
      k.full(shape, 4),
    ];
    const run = (held: 'nothing' | 'a view' | 'all'): readonly [WasmTensor[], grown: number] => {
      const [g, m, v] = zeros();
      const parameter = k.full(shape, 1);
      if (held === 'a view') k.reshape(m, [-1]);
      k.resetPeak();
      const { live } = k.memory();
      const giveUp = held === 'all' ? undefined : (x: WasmTensor): void => k.donate(x);
      const [delta, next] = k.adamw.update(g, { m, v }, parameter, null, c, giveUp);
      return [[delta, next.m, next.v], k.memory().peak - live];
    };
    const bytes = 4 * 300 * 301;
    const results = (['nothing', 'a view', 'all'] as const).map(run);
    expect(results.map(([, grown]) => grown)).toEqual([0, bytes, 3 * bytes]);
    const read = await Promise.all(results.map(([tensors]) => Promise.all(tensors.map((x) => k.toHost(x)))));
    expect(read[0]).toEqual(read[2]);
    expect(read[1]).toEqual(read[2]);
    await dispose();
  });
});

/** The fused AdamW step has the bits of its derivation. */
import { describe, it } from 'vitest';
import type { AdamwCoefficients } from '../../src/core/derived/adamw.ts';
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
});

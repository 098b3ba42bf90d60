/** The fused norms have the bits of their derivations. */
import { describe, it } from 'vitest';
import { agree, fc, floats, mix, rows, seed } from './wasm-kit.ts';

const epsilon = fc.constantFrom(1e-5, 1e-6, 0);

describe('rmsNorm', () => {
  it('forward and gradients', async () => {
    await fc.assert(
      fc.asyncProperty(rows, epsilon, seed, mix, (shape, e, s, m) => {
        const width = [shape.at(-1)!];
        return agree([floats(s, shape, m), floats(s + 1, width, m), floats(s + 2, shape, m)], (k, x, weight, dy) => {
          const [y, inverse] = k.rmsNorm.forward(x!, weight!, e);
          return [
            y,
            inverse,
            k.rmsNorm.inputGradient(dy!, x!, inverse, weight!),
            k.rmsNorm.weightGradient(dy!, x!, inverse),
          ];
        });
      }),
      { numRuns: 200 },
    );
  });
});

describe('layerNorm', () => {
  it('forward and gradients', async () => {
    await fc.assert(
      fc.asyncProperty(rows, epsilon, seed, mix, (shape, e, s, m) => {
        const width = [shape.at(-1)!];
        const inputs = [floats(s, shape, m), floats(s + 1, width, m), floats(s + 2, width, m), floats(s + 3, shape, m)];
        return agree(inputs, (k, x, weight, bias, dy) => {
          const [y, mean, inverse] = k.layerNorm.forward(x!, weight!, bias!, e);
          return [
            y,
            mean,
            inverse,
            k.layerNorm.inputGradient(dy!, x!, mean, inverse, weight!),
            k.layerNorm.weightGradient(dy!, x!, mean, inverse),
            k.layerNorm.biasGradient(dy!),
          ];
        });
      }),
      { numRuns: 200 },
    );
  });

  it('of constant rows, whose variance is 0', async () => {
    const constant = { dtype: 'f32', shape: [3, 19], data: new Float32Array(57).fill(0.1) } as const;
    await agree([constant, floats(1, [19]), floats(2, [19]), floats(3, [3, 19])], (k, x, weight, bias, dy) => {
      const [y, mean, inverse] = k.layerNorm.forward(x!, weight!, bias!, 0);
      return [y, mean, inverse, k.layerNorm.inputGradient(dy!, x!, mean, inverse, weight!)];
    });
  });
});

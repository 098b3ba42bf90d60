/** The fused losses have the bits of their derivations. */
import { describe, it } from 'vitest';
import { agree, agreeOnDefect, fc, floats, integers, length, mix, rows, seed } from './wasm-kit.ts';

const denominator = fc.constantFrom(1, 7, 0.3, 128);
const batch = fc.constantFrom(0, 1, 2, 5, 17, 33);

describe('cross-entropy', () => {
  it('forward and backward, with targets that are no class', async () => {
    await fc.assert(
      fc.asyncProperty(batch, length, denominator, seed, mix, (n, classes, d, s, m) =>
        agree(
          [floats(s, [n, classes], m), integers(s, [n], -1, classes + 1), floats(s + 1, [], m)],
          (k, x, targets, dLoss) => {
            const [loss, probabilities] = k.crossEntropy.forward(x!, targets!, d);
            return [loss, probabilities, k.crossEntropy.backward(probabilities, targets!, d, dLoss!)];
          },
        ),
      ),
      { numRuns: 200 },
    );
  });

  it('ignores −100, and shifts large logits', async () => {
    const logits = { dtype: 'f32', shape: [2, 3], data: Float32Array.of(1e30, -1e30, 0, 500, 499, -500) } as const;
    await agree([logits, { dtype: 'i32', shape: [2], data: Int32Array.of(-100, 1) }], (k, x, targets) =>
      k.crossEntropy.forward(x!, targets!, 1),
    );
  });

  it('has a defect where there are not as many targets as rows', () => {
    agreeOnDefect([floats(1, [3, 4]), floats(2, [3])], (k, x, targets) => k.crossEntropy.forward(x!, targets!, 1));
  });
});

describe('mean squared error', () => {
  it('forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(rows, denominator, seed, mix, (shape, d, s, m) =>
        agree([floats(s, shape, m), floats(s + 1, shape, m), floats(s + 2, [], m)], (k, y, target, dLoss) => {
          const [loss, difference] = k.meanSquaredError.forward(y!, target!, d);
          return [loss, difference, k.meanSquaredError.backward(difference, d, dLoss!)];
        }),
      ),
      { numRuns: 150 },
    );
  });
});

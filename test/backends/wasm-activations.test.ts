/** The fused activations have the bits of their derivations. */
import { describe, it } from 'vitest';
import { agree, fc, floats, mix, rows, seed } from './wasm-kit.ts';

describe.each(['gelu', 'silu'] as const)('%s', (name) => {
  it('forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(rows, seed, mix, (shape, s, m) =>
        agree([floats(s, shape, m), floats(s + 1, shape, m)], (k, x, dy) => [
          k[name].forward(x!),
          k[name].backward(x!, dy!),
        ]),
      ),
      { numRuns: 100 },
    );
  });

  it('over many patterns of bits', async () => {
    await agree([floats(7, [20_000], [16, 200]), floats(8, [20_000], [16, 64])], (k, x, dy) => [
      k[name].forward(x!),
      k[name].backward(x!, dy!),
    ]);
  });
});

describe('tanh', () => {
  it('forward, and backward from its output', async () => {
    await fc.assert(
      fc.asyncProperty(rows, seed, mix, (shape, s, m) =>
        agree([floats(s, shape, m), floats(s + 1, shape, m)], (k, x, dy) => {
          const y = k.tanhActivation.forward(x!);
          return [y, k.tanhActivation.backward(y, dy!), k.tanhActivation.backward(x!, dy!)];
        }),
      ),
      { numRuns: 60 },
    );
  });
});

describe('relu', () => {
  it('forward with its mask, and backward', async () => {
    await fc.assert(
      fc.asyncProperty(rows, seed, mix, (shape, s, m) =>
        agree([floats(s, shape, m), floats(s + 1, shape, m)], (k, x, dy) => {
          const [y, mask] = k.relu.forward(x!);
          return [y, mask, k.relu.backward(mask, dy!)];
        }),
      ),
      { numRuns: 150 },
    );
  });
});

describe('swiglu', () => {
  it('forward, and backward to both branches', async () => {
    await fc.assert(
      fc.asyncProperty(rows, seed, mix, (shape, s, m) =>
        agree(
          [0, 1, 2].map((i) => floats(s + i, shape, m)),
          (k, gate, up, dy) => [k.swiglu.forward(gate!, up!), ...k.swiglu.backward(gate!, up!, dy!)],
        ),
      ),
      { numRuns: 100 },
    );
  });
});

/** Sliding windows, and pooling over them, have the reference's bits. */
import { describe, it } from 'vitest';
import { outputLength, type Window } from '../../src/core/ops.ts';
import { agree, agreeOnDefect, fc, floats, mix, seed } from './wasm-kit.ts';

const pair = (...values: readonly number[]): fc.Arbitrary<readonly [number, number]> =>
  fc.tuple(fc.constantFrom(...values), fc.constantFrom(...values));

const window: fc.Arbitrary<Window> = fc.record({
  kernel: pair(1, 2, 3),
  stride: pair(1, 2, 3),
  padding: pair(0, 1, 2, 4),
  dilation: pair(1, 2),
});

const size = fc.constantFrom(1, 2, 3, 5, 8, 17);

/** Images and a window that fits at least once. */
const images = fc
  .tuple(fc.constantFrom(0, 1, 2, 3), fc.constantFrom(1, 2, 3), size, size, window)
  .filter(([, , h, w, win]) => outputLength(h, win, 0) >= 1 && outputLength(w, win, 1) >= 1)
  .map(([n, c, h, w, win]) => ({ shape: [n, c, h, w] as const, window: win }));

describe('unfold and fold', () => {
  it('unfold', async () => {
    const outside = fc.constantFrom(0, Number.NEGATIVE_INFINITY, 0.1);
    await fc.assert(
      fc.asyncProperty(images, outside, seed, mix, ({ shape, window: win }, value, s, m) =>
        agree([floats(s, shape, m)], (k, x) => k.unfold(x!, win, value)),
      ),
      { numRuns: 300 },
    );
  });

  it('fold', async () => {
    await fc.assert(
      fc.asyncProperty(images, seed, mix, ({ shape, window: win }, s, m) => {
        const [n, c, h, w] = shape;
        const places = n * outputLength(h, win, 0) * outputLength(w, win, 1);
        return agree([floats(s, [c, win.kernel[0] * win.kernel[1], places], m)], (k, x) => k.fold(x!, win, shape));
      }),
      { numRuns: 300 },
    );
  });

  it('fold has the reference’s defect where the sizes do not fit', () => {
    const win: Window = { kernel: [2, 2], stride: [1, 1], padding: [0, 0], dilation: [1, 1] };
    agreeOnDefect([floats(1, [1, 4, 5])], (k, x) => k.fold(x!, win, [1, 1, 3, 3]));
  });
});

describe('pooling, derived from them', () => {
  it('maximum and average, forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(images, seed, mix, ({ shape, window: win }, s, m) => {
        const [n, c, h, w] = shape;
        const dy = floats(s + 1, [n, c, outputLength(h, win, 0), outputLength(w, win, 1)]);
        return agree([floats(s, shape, m), dy], (k, x, g) => {
          const [y, position] = k.maxPool.forward(x!, win);
          return [
            y,
            position,
            k.maxPool.backward(position, g!, win, h, w),
            k.averagePool.forward(x!, win),
            k.averagePool.backward(g!, win, h, w),
          ];
        });
      }),
      { numRuns: 60 },
    );
  });
});

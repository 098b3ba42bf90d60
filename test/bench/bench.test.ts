/** The benchmarks run: every kernel and every size gives a figure, and no memory is kept. */
import { afterAll, expect, it } from 'vitest';
import { resolveBackend } from '../../backends/resolve.ts';
import { costOfSizes, costOfThreads } from '../../bench/cost.ts';
import { measureKernels } from '../../bench/micro.ts';
import { orThrow } from '../../src/spec/errors.ts';

const backend = orThrow(await resolveBackend('wasm', { threads: 1 }));
afterAll(backend.dispose);

it('measures every kernel', () => {
  const results = measureKernels(backend, 0.001);
  expect(new Set(results.map(({ kernel }) => kernel)).size).toBe(results.length);
  expect(results.length).toBeGreaterThan(20);
  for (const { msPerCall, speed } of results) {
    expect(msPerCall).toBeGreaterThan(0);
    expect(speed).toBeGreaterThan(0);
  }
});

it('measures every size', () => {
  const sizes = { tokens: [2, 4], width: [4, 8], rank: [1, 2], attention: [3, 6] };
  const costs = [...costOfSizes(backend, sizes), costOfThreads([backend], { batchSize: 3, width: 16 })];
  expect(costs.map(({ of }) => of)).toEqual(['tokens', 'width', 'rank', 'attention', 'threads']);
  for (const { of, lines } of costs) {
    const expected = of === 'threads' ? [1] : sizes[of as keyof typeof sizes];
    for (const { points } of lines) {
      expect(points.map(([size]) => size)).toEqual(expected);
      for (const [, ms] of points) expect(ms).toBeGreaterThan(0);
    }
  }
});

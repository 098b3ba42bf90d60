/**
 * Matrix products in GFLOP/s, beside the most that the processor does: multiplications and additions that stay in
 * registers, measured in turn with the products, so that both see the same clock. The time of a product holds everything
 * that `matmul` does: packing, allocating the result, waking the threads.
 *
 *   node dist/bench/gemm.js [--backend wasm|wasm-relaxed] [--threads N] [--size MxNxK]… [--json]
 */
import { parseArgs } from 'node:util';
import * as E from 'fp-ts/lib/Either.js';
import { type AnyBackend, resolveBackend } from '../backends/resolve.ts';
import { load } from '../backends/wasm/module.ts';
import type { Layout } from '../src/core/ops.ts';
import { showError } from '../src/spec/errors.ts';
import type { HostTensor, Spec } from '../src/spec/tensor.ts';

interface Size {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

interface Measured extends Size {
  readonly layout: Layout;
  readonly gflops: number;
  /** Of the peak of as many cores as there are threads. */
  readonly ofPeak: number;
}

/** Two squares, a linear layer of a small LLaMA, and PaCA's gradient of 16 columns, as either operand. */
const defaultSizes: readonly Size[] = [
  { m: 512, n: 512, k: 512 },
  { m: 1024, n: 1024, k: 1024 },
  { m: 256, n: 1408, k: 512 },
  { m: 16, n: 512, k: 256 },
  { m: 512, n: 16, k: 256 },
];

/** Each product is timed so often, after so many that are not, and the best counts. */
const ROUNDS = 12;
const WARM_UP = 3;

/** Floating-point operations of one timing: some milliseconds. */
const WORK = 2e8;

/** What `peakMultiplyAdd` does in each repetition. */
const PEAK_FLOPS = 96;

const secondsOf = (run: () => void): number => {
  const start = performance.now();
  run();
  return (performance.now() - start) / 1000;
};

/** The peak of one core in FLOP/s, from one timing. */
const peakMeter = (relaxed: boolean): (() => number) => {
  const { exports } = load(relaxed ? 'relaxed' : 'baseline');
  const repeats = Math.round(WORK / 10 / PEAK_FLOPS);
  return () => (repeats * PEAK_FLOPS) / secondsOf(() => exports.peakMultiplyAdd(repeats));
};

/** Numbers of [0, 1) from a fixed sequence. */
const numbers = (shape: readonly [number, number]): HostTensor => ({
  dtype: 'f32',
  shape,
  data: Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => ((i * 7919) % 1009) / 1009),
});

const shapesOf = ({ m, n, k }: Size, layout: Layout): readonly [left: [number, number], right: [number, number]] => [
  layout === 'tn' ? [k, m] : [m, k],
  layout === 'nt' ? [n, k] : [k, n],
];

/** FLOP/s of a product, and of the peak beside it, each the best of the rounds. */
const measure = (
  { kernels: k }: AnyBackend,
  size: Size,
  layout: Layout,
  peak: () => number,
): { readonly speed: number; readonly peak: number } => {
  const [left, right] = shapesOf(size, layout);
  const flops = 2 * size.m * size.n * size.k;
  const repeats = Math.max(1, Math.round(WORK / flops));
  const [a, b] = [k.fromHost(numbers(left)), k.fromHost(numbers(right))];
  const run = (): void => {
    for (let i = 0; i < repeats; i++) k.donate(k.matmul(a, b, layout));
  };
  const best = { speed: 0, peak: 0 };
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    const of = peak();
    const speed = (repeats * flops) / secondsOf(run);
    if (round < 0) continue;
    best.peak = Math.max(best.peak, of);
    best.speed = Math.max(best.speed, speed);
  }
  k.donate([a, b] satisfies Spec[]);
  return best;
};

const parseSize = (text: string): Size => {
  const [m = 0, n = 0, k = 0, ...rest] = text.split('x').map(Number);
  if (rest.length > 0 || !(m > 0 && n > 0 && k > 0)) throw new Error(`--size: expected MxNxK, got ${text}`);
  return { m, n, k };
};

const round = (x: number, digits: number): number => Number(x.toFixed(digits));

const { values } = parseArgs({
  options: {
    backend: { type: 'string', default: 'wasm' },
    threads: { type: 'string', default: '1' },
    size: { type: 'string', multiple: true },
    json: { type: 'boolean', default: false },
  },
});
const opened = await resolveBackend(values.backend, { threads: Number(values.threads) });
if (E.isLeft(opened)) {
  process.stderr.write(`${showError(opened.left)}\n`);
  process.exit(2);
}
const backend = opened.right;
const meter = peakMeter(values.backend === 'wasm-relaxed');
const sizes = values.size?.map(parseSize) ?? defaultSizes;
const raw = sizes.flatMap((size) =>
  (['nn', 'nt', 'tn'] as const).map((layout) => ({ size, layout, ...measure(backend, size, layout, meter) })),
);
await backend.dispose();

const peak = Math.max(...raw.map((r) => r.peak));
const results: readonly Measured[] = raw.map(({ size, layout, speed }) => ({
  ...size,
  layout,
  gflops: round(speed / 1e9, 2),
  ofPeak: round(speed / (peak * backend.threads), 3),
}));
if (values.json) {
  const { name, threads } = backend;
  process.stdout.write(`${JSON.stringify({ backend: name, threads, peakGflops: round(peak / 1e9, 2), results })}\n`);
} else {
  process.stdout.write(
    `${backend.name}, ${backend.threads} threads; peak of one core ${(peak / 1e9).toFixed(1)} GFLOP/s\n`,
  );
  for (const { m, n, k, layout, gflops, ofPeak } of results) {
    const share = `${(100 * ofPeak).toFixed(0)}%`;
    process.stdout.write(
      `${`${m}×${k} · ${k}×${n}`.padEnd(24)} ${layout} ${gflops.toFixed(1).padStart(7)} ${share.padStart(5)}\n`,
    );
  }
}

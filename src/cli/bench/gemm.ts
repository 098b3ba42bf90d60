/**
 * Matrix products in GFLOP/s, beside the most that the processor does: multiplications and additions that stay in
 * registers, measured in turn with the products, so that both see the same clock. The time of a product holds everything
 * that `matmul` does: packing, allocating the result, waking the threads.
 */
import type { AnyBackend } from '../../../backends/resolve.ts';
import type { Layout } from '../../core/ops.ts';
import { numbers } from './numbers.ts';
import { median, round } from './statistics.ts';

/** C is m × n, its sums have k terms. */
export interface ProductSize {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export interface ProductSpeed extends ProductSize {
  readonly layout: Layout;
  /** The median of the rounds. */
  readonly gflops: number;
  /** Of the peak of as many cores as there are threads; null for a backend that has no such measure. */
  readonly ofPeak: number | null;
}

export interface GemmReport {
  readonly backend: string;
  readonly threads: number;
  /** The best of one core over the whole run. */
  readonly peakGflops: number | null;
  /**
   * The best reading of the peak beside a product as a share of the best of all, for the product where it is lowest:
   * below 0.95 the machine was busy there, and the figures are void.
   */
  readonly steadiness: number | null;
  readonly results: readonly ProductSpeed[];
}

/** Two squares, a linear layer of a small LLaMA, and PaCA's gradient of 16 columns, as either operand. */
export const defaultSizes: readonly ProductSize[] = [
  { m: 512, n: 512, k: 512 },
  { m: 1024, n: 1024, k: 1024 },
  { m: 256, n: 1408, k: 512 },
  { m: 16, n: 512, k: 256 },
  { m: 512, n: 16, k: 256 },
];

const layouts: readonly Layout[] = ['nn', 'nt', 'tn'];

/** Rounds that count and rounds before them; of a slow product fewer, down to one without warming up. */
const ROUNDS = 12;
const WARM_UP = 3;

/** Floating-point operations of one timing: some milliseconds on a fast backend. */
const WORK = 2e8;

const shapesOf = (
  { m, n, k }: ProductSize,
  layout: Layout,
): readonly [left: [number, number], right: [number, number]] => [
  layout === 'tn' ? [k, m] : [m, k],
  layout === 'nt' ? [n, k] : [k, n],
];

/** Operations a second of a product, and readings of the peak, in GFLOP/s. */
interface Readings {
  readonly speeds: readonly number[];
  readonly peaks: readonly number[];
}

const measure = (
  { kernels: k, peakWork }: AnyBackend,
  size: ProductSize,
  layout: Layout,
  seconds: number,
  clock: () => number,
): Readings => {
  const [left, right] = shapesOf(size, layout);
  const flops = 2 * size.m * size.n * size.k;
  const repeats = Math.max(1, Math.round(WORK / flops));
  const [a, b] = [k.fromHost(numbers(left)), k.fromHost(numbers(right))];
  const product = (): number => {
    for (let i = 0; i < repeats; i++) k.donate(k.matmul(a, b, layout));
    return repeats * flops;
  };
  const speedOf = (work: () => number): number => {
    const start = clock();
    return work() / (1e6 * (clock() - start));
  };
  const speeds: number[] = [];
  const peaks: number[] = [];
  const started = clock();
  for (let i = 0; i < ROUNDS + WARM_UP && (i === 0 || clock() - started < 1000 * seconds); i++) {
    if (peakWork !== undefined) peaks.push(speedOf(peakWork));
    speeds.push(speedOf(product));
  }
  k.donate([a, b]);
  const warm = Math.min(WARM_UP, speeds.length - 1);
  return { speeds: speeds.slice(warm), peaks: peaks.slice(warm) };
};

/** Each product for at most about so many seconds, or once. */
export const measureProducts = (
  backend: AnyBackend,
  sizes: readonly ProductSize[],
  seconds: number,
  clock: () => number,
): GemmReport => {
  const { name, threads } = backend;
  for (const size of sizes.slice(0, 1)) measure(backend, size, 'nn', seconds, clock); // engines compile while they run
  const measured = sizes.flatMap((size) =>
    layouts.map((layout) => ({ size, layout, readings: measure(backend, size, layout, seconds, clock) })),
  );
  const peaks = measured.flatMap(({ readings }) => (readings.peaks.length > 0 ? [Math.max(...readings.peaks)] : []));
  const peak = peaks.length > 0 ? Math.max(...peaks) : null;
  return {
    backend: name,
    threads,
    peakGflops: peak === null ? null : round(peak, 2),
    steadiness: peak === null ? null : round(Math.min(...peaks) / peak, 3),
    results: measured.map(({ size, layout, readings }) => {
      const speed = median(readings.speeds);
      return {
        ...size,
        layout,
        gflops: round(speed, 2),
        ofPeak: peak === null ? null : round(speed / (peak * threads), 3),
      };
    }),
  };
};

/**
 * What a training step costs as each size grows, the others staying: rows (tokens), width, rank and threads; and what
 * attention costs as its tokens grow. In milliseconds.
 */
import type { AnyBackend } from '../backends/resolve.ts';
import { numbers } from '../src/cli/bench/numbers.ts';
import { median } from '../src/cli/bench/statistics.ts';
import { measureStep, type StepSettings } from '../src/cli/bench/step.ts';
import type { Spec } from '../src/spec/tensor.ts';

/** One line of a plot. */
export interface CostLine {
  readonly name: string;
  readonly points: readonly (readonly [size: number, ms: number])[];
}

export interface Cost {
  /** What grows: `tokens`, `width`, `rank`, `threads`, `attention`. */
  readonly of: string;
  readonly title: string;
  readonly lines: readonly CostLine[];
}

const clock = (): number => performance.now();

const usual: StepSettings = {
  model: 'mlp',
  method: 'full',
  rank: 16,
  dtype: 'f32',
  batchSize: 256,
  width: 512,
  steps: 9,
};

const methods: readonly (readonly [name: string, settings: Partial<StepSettings>])[] = [
  ['full', { method: 'full' }],
  ['PaCA, r = 16', { method: 'paca' }],
];

/** The sizes at which a step, or an attention, is measured. */
export interface Sizes {
  readonly tokens: readonly number[];
  readonly width: readonly number[];
  readonly rank: readonly number[];
  readonly attention: readonly number[];
}

const doubling = (from: number, to: number): readonly number[] => (from > to ? [] : [from, ...doubling(2 * from, to)]);

export const usualSizes: Sizes = {
  tokens: doubling(32, 1024),
  width: doubling(64, 1024),
  rank: doubling(1, 512),
  attention: doubling(128, 2048),
};

const msOf = (backend: AnyBackend, settings: Partial<StepSettings>): number =>
  measureStep(backend, { ...usual, ...settings }, clock).msPerStep;

/** A line for each method, over one setting. */
const linesOver = (
  backend: AnyBackend,
  sizes: readonly number[],
  at: (size: number) => Partial<StepSettings>,
): readonly CostLine[] =>
  methods.map(([name, method]) => ({
    name,
    points: sizes.map((size) => [size, msOf(backend, { ...method, ...at(size) })] as const),
  }));

const ATTENTION = { heads: 8, groups: 2, width: 64 };

const attentionLines = ({ kernels: k }: AnyBackend, lengths: readonly number[]): readonly CostLine[] => {
  const { heads, groups, width } = ATTENTION;
  const config = { scale: 1 / Math.sqrt(width), causal: true, window: null };
  const time = (run: () => unknown): number =>
    median(
      Array.from({ length: 5 }, () => {
        const start = clock();
        k.scope(() => void run());
        return clock() - start;
      }),
    );
  const points = lengths.map((tokens) => {
    const of = (count: number): Spec => k.fromHost(numbers([1, tokens, count, width]));
    const [q, key, value] = [of(heads), of(groups), of(groups)];
    const times = [
      time(() => k.attention.forward(q, key, value, config)),
      time(() => k.attention.backward(q, key, value, q, config)),
    ] as const;
    k.donate([q, key, value]);
    return [tokens, ...times] as const;
  });
  return [
    { name: 'forward', points: points.map(([tokens, forward]) => [tokens, forward]) },
    { name: 'backward', points: points.map(([tokens, , backward]) => [tokens, backward]) },
  ];
};

/** Costs on one backend, whatever its threads. */
export const costOfSizes = (backend: AnyBackend, sizes: Sizes): readonly Cost[] => [
  {
    of: 'tokens',
    title: 'ms a step against rows; width 512',
    lines: linesOver(backend, sizes.tokens, (batchSize) => ({ batchSize })),
  },
  {
    of: 'width',
    title: 'ms a step against width; 256 rows',
    lines: linesOver(backend, sizes.width, (width) => ({ width })),
  },
  {
    of: 'rank',
    title: 'ms a step of PaCA against rank; 256 rows, width 512',
    lines: [
      {
        name: 'PaCA',
        points: sizes.rank.map((rank) => [rank, msOf(backend, { method: 'paca', rank })] as const),
      },
    ],
  },
  {
    of: 'attention',
    title: `ms of causal attention against tokens; ${ATTENTION.heads} heads of ${ATTENTION.width} in ${ATTENTION.groups} groups`,
    lines: attentionLines(backend, sizes.attention),
  },
];

/** Cost of a step of one size against the threads; one backend for each number of them. */
export const costOfThreads = (
  backends: readonly AnyBackend[],
  { batchSize, width }: Pick<StepSettings, 'batchSize' | 'width'> = usual,
): Cost => ({
  of: 'threads',
  title: `ms a step against threads; ${batchSize} rows, width ${width}`,
  lines: methods.map(([name, method]) => ({
    name,
    points: backends.map((backend) => [backend.threads, msOf(backend, { ...method, batchSize, width })] as const),
  })),
});

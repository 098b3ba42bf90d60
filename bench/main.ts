/**
 * `npm run bench`: products beside the machine's peak, training steps with their peak memory, single kernels, and cost
 * against size, as tables; the last as plots too.
 *
 *   npm run bench -- [--only gemm,step,kernels,cost] [--plots FOLDER] [--json]
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { type AnyBackend, resolveBackend } from '../backends/resolve.ts';
import type { GemmReport } from '../src/cli/bench/gemm.ts';
import type { StepReport } from '../src/cli/bench/step.ts';
import { formatBytes, formatPercent } from '../src/cli/show/format.ts';
import { lineChart } from '../src/cli/show/svg.ts';
import { renderTable } from '../src/cli/show/table.ts';
import { orThrow } from '../src/spec/errors.ts';
import { type Cost, costOfSizes, costOfThreads, usualSizes } from './cost.ts';
import { type MicroResult, measureKernels } from './micro.ts';
import { runProgram } from './process.ts';

const MOST_THREADS = 4;

/** Seconds that benchmark.js may take for one kernel. */
const PATIENCE = 0.6;

/** One thread, and as many as the machine has, up to a few. */
const threadCounts: readonly number[] = [...new Set([1, Math.min(availableParallelism(), MOST_THREADS)])];

const onBackend = async <A>(threads: number, measure: (backend: AnyBackend) => A): Promise<A> => {
  const backend = orThrow(await resolveBackend('wasm', { threads }));
  const result = measure(backend);
  await backend.dispose();
  return result;
};

const table = (headers: readonly string[], rows: readonly (readonly string[])[]): string =>
  `${renderTable(
    headers.map((header) => ({ header })),
    rows,
  )}\n`;

// ---- each part: what it measures, and how that is shown

interface Part<A> {
  readonly title: string;
  readonly measure: () => Promise<A>;
  readonly show: (measured: A) => string;
}

const gemm: Part<readonly GemmReport[]> = {
  title: 'Matrix products, GFLOP/s and share of the peak',
  measure: async () =>
    threadCounts.map((threads) => runProgram<GemmReport>(['bench', 'gemm', '--threads', String(threads)])),
  show: (reports) => {
    const [first] = reports;
    const rows = (first?.results ?? []).map(({ m, n, k, layout }, i) => [
      `${m}×${k} · ${k}×${n} ${layout}`,
      ...reports.flatMap(({ results }) => [results[i]!.gflops.toFixed(1), formatPercent(results[i]!.ofPeak ?? 0)]),
      ...(reports.length > 1 ? [(reports.at(-1)!.results[i]!.gflops / first!.results[i]!.gflops).toFixed(2)] : []),
    ]);
    const perCount = reports.flatMap(({ threads }) => [`${threads} thr.`, 'of peak']);
    const busy = reports.some(({ steadiness }) => (steadiness ?? 1) < 0.95);
    return [
      `Peak of one core: ${first?.peakGflops} GFLOP/s.${busy ? ' The machine was busy: these figures are void.' : ''}\n`,
      table(['product', ...perCount, ...(reports.length > 1 ? ['speed-up'] : [])], rows),
    ].join('');
  },
};

/** The models that `bench step` knows, with the steps that are timed. */
const stepCounts = { mlp: 40, llama: 10 } as const;

const step: Part<readonly StepReport[]> = {
  title: 'A training step, each in a process of its own',
  measure: async () =>
    threadCounts.flatMap((threads) =>
      Object.entries(stepCounts).flatMap(([model, steps]) =>
        ['full', 'paca', 'lora'].map((method) => {
          const counts = ['--threads', String(threads), '--steps', String(steps)];
          return runProgram<StepReport>(['bench', 'step', '--model', model, '--method', method, ...counts]);
        }),
      ),
    ),
  show: (reports) =>
    table(
      ['model', 'method', 'threads', 'ms a step', 'of full', 'kept', 'peak memory'],
      reports.map(({ model, method, rank, threads, msPerStep, residualBytes, peakBytes }) => {
        const full = reports.find((r) => r.model === model && r.method === 'full' && r.threads === threads);
        return [
          model,
          rank === null ? method : `${method}, r = ${rank}`,
          String(threads),
          msPerStep.toFixed(2),
          (msPerStep / (full?.msPerStep ?? Number.NaN)).toFixed(2),
          formatBytes(residualBytes),
          formatBytes(peakBytes),
        ];
      }),
    ),
};

const kernels: Part<readonly MicroResult[]> = {
  title: 'Kernels on one thread',
  measure: () => onBackend(1, (backend) => measureKernels(backend, PATIENCE)),
  show: (results) =>
    table(
      ['kernel', 'size', 'ms a call', '±', 'speed'],
      results.map(({ kernel, size, msPerCall, margin, speed, unit }) => [
        kernel,
        size,
        msPerCall.toFixed(3),
        formatPercent(margin),
        `${speed.toFixed(2)} ${unit}`,
      ]),
    ),
};

const showCost = ({ title, of, lines }: Cost): string => {
  const [first] = lines;
  const rows = (first?.points ?? []).map(([size], i) => [
    String(size),
    ...lines.map(({ points }) => points[i]![1].toFixed(3)),
  ]);
  return `${title}\n${table([of, ...lines.map(({ name }) => name)], rows)}`;
};

const cost: Part<readonly Cost[]> = {
  title: 'Cost against size',
  measure: async () => {
    const sizes = await onBackend(1, (backend) => costOfSizes(backend, usualSizes));
    const backends = await Promise.all(
      Array.from({ length: threadCounts.at(-1) ?? 1 }, async (_, i) =>
        orThrow(await resolveBackend('wasm', { threads: i + 1 })),
      ),
    );
    const threads = costOfThreads(backends);
    for (const { dispose } of backends) await dispose();
    return [...sizes, threads];
  },
  show: (costs) => costs.map(showCost).join('\n'),
};

const parts = { gemm, step, kernels, cost } as const;

// ---- the program

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(parts).join() },
    plots: { type: 'string' },
    json: { type: 'boolean', default: false },
  },
});

const draw = (folder: string, costs: readonly Cost[]): void => {
  mkdirSync(folder, { recursive: true });
  for (const { of, title, lines } of costs) {
    const chart = lineChart({ title, xLabel: of, yLabel: 'ms', series: lines });
    writeFileSync(join(folder, `cost-${of}.svg`), chart);
  }
};

const chosen = values.only.split(',');
const unknown = chosen.find((name) => !Object.hasOwn(parts, name));
if (unknown !== undefined) {
  process.stderr.write(`bench: --only: expected some of ${Object.keys(parts).join(', ')}, got '${unknown}'\n`);
  process.exit(2);
}
const document: Record<string, unknown> = {};
for (const name of chosen as (keyof typeof parts)[]) {
  const part = parts[name] as Part<unknown>;
  if (!values.json) process.stdout.write(`== ${part.title}\n`);
  const measured = await part.measure();
  document[name] = measured;
  if (!values.json) process.stdout.write(`${part.show(measured)}\n`);
  if (name === 'cost' && values.plots !== undefined) draw(values.plots, measured as readonly Cost[]);
}
if (values.json) process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);

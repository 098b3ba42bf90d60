/**
 * Draws docs/pictures from what was measured, docs/measured, and from what `paca plan` computes. Law: the same measurements give the
 * same files.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { llamaConfig } from '../src/cli/bench/problems.ts';
import type { Row } from '../src/cli/compare/rows.ts';
import type { Curves } from '../src/cli/compare/show.ts';
import { type LineChart, lineChart, type Series } from '../src/cli/show/svg.ts';
import type { TrainingMethod } from '../src/methods/adapt.ts';
import { orThrow } from '../src/spec/errors.ts';
import { type Plan, planner } from '../src/train/plan.ts';

interface Compared {
  readonly rows: readonly Row[];
  readonly curves: readonly Curves[];
}

interface Longest {
  readonly memory: number;
  readonly results: readonly { readonly method: TrainingMethod; readonly measured: number }[];
}

interface Columns {
  readonly matrix: string;
  readonly changes: Readonly<Record<string, readonly number[]>>;
}

const measured = <A>(name: string): A => JSON.parse(readFileSync(`docs/measured/${name}.json`, 'utf8'));

const MEBIBYTE = 2 ** 20;
const RANK = 16;

const methods = ['full', 'lora', 'dora', 'moslora', 'paca'] as const;

/** How methods are called in pictures. */
const names: Readonly<Record<TrainingMethod, string>> = {
  full: 'all trained',
  lora: 'LoRA',
  moslora: 'MosLoRA',
  dora: 'DoRA',
  paca: 'PaCA',
};

/** Rows as they are called in pictures; those of one name stand for it. */
const called: Readonly<Record<string, string>> = {
  full: 'all trained',
  lora: 'LoRA',
  dora: 'DoRA',
  moslora: 'MosLoRA',
  'paca, random': 'PaCA',
  qlora: 'QLoRA',
  'qpaca, random': 'QPaCA',
};

const compared = measured<Compared>('compare');
const long = measured<Compared>('long');
const longest = measured<readonly Longest[]>('longest');
const columns = measured<Columns>('columns');

// Which numbers change

const columnPicture = ({ matrix, changes }: Columns): LineChart => ({
  title: `What one epoch changed, column by column`,
  xLabel: `input column of ${matrix}`,
  yLabel: 'length of the change of the column',
  series: Object.entries(changes).map(([name, norms]) => ({
    name,
    points: norms.map((norm, column) => [column, norm] as const),
  })),
});

// What is kept, and how long a sequence may be

const planOf = (method: TrainingMethod): Plan =>
  orThrow(
    planner({
      ...{ config: { ...llamaConfig, positions: 1 << 20 }, dtype: 'f32', rank: RANK, batch: 1 },
      ...{ recompute: false, dropBackward: 0, targetModules: 'all-linear', excludeModules: [] },
    })(method),
  );

const keptPicture = (): LineChart => ({
  title: 'What the forward pass keeps for the backward pass',
  xLabel: 'tokens of the sequence',
  yLabel: 'kept (MiB), four LLaMA blocks of width 256, rank 16',
  series: methods.map((method) => {
    const plan = planOf(method);
    const kept = [0, 1024, 2048, 3072, 4096].map((n) => [n, plan.bytesAt(Math.max(1, n)).residual / MEBIBYTE] as const);
    return { name: names[method], points: kept };
  }),
});

const longestPicture = (all: readonly Longest[]): LineChart => ({
  title: 'The longest sequence that was trained',
  xLabel: 'memory of the engine (MiB)',
  yLabel: 'tokens, four LLaMA blocks of width 256, rank 16, one sequence a step',
  series: methods.map((method) => ({
    name: names[method],
    points: all.map(({ memory, results }) => [
      memory / MEBIBYTE,
      results.find((one) => one.method === method)?.measured ?? Number.NaN,
    ]),
  })),
});

// What a run learns

const inOrder = Object.keys(called);

const curvesPicture = (
  { curves }: Compared,
  task: string,
  kind: 'training' | 'validation',
  chosen: readonly string[],
  title: string,
): LineChart => ({
  title,
  xLabel: 'step',
  yLabel: `${kind === 'training' ? 'training' : 'validation'} loss (nats a token)`,
  logY: kind === 'validation',
  series: chosen.map((name) => ({
    name: called[name] ?? name,
    points: curves.find((one) => one.task === task && one.name === name)?.[kind] ?? [],
  })),
});

const dots = (
  { rows }: Compared,
  task: string,
  chart: Omit<LineChart, 'series'>,
  at: (row: Row) => readonly [number | undefined, number | undefined],
): LineChart => ({
  ...chart,
  series: inOrder.flatMap((name): readonly Series[] => {
    const row = rows.find((one) => one.task === task && one.name === name);
    const [x, y] = row === undefined ? [undefined, undefined] : at(row);
    return x === undefined || y === undefined ? [] : [{ name: called[name]!, points: [[x, y]] }];
  }),
});

const percent = (row: Row): number | undefined => (row.after === null ? undefined : 100 * row.after.mean);

const pictures: Readonly<Record<string, LineChart>> = {
  columns: columnPicture(columns),
  kept: keptPicture(),
  longest: longestPicture(longest),
  learning: curvesPicture(
    compared,
    'glosses',
    'validation',
    ['full', 'lora', 'paca, random'],
    'Learning what kind of thing is defined',
  ),
  memory: dots(
    compared,
    'glosses',
    { title: 'Memory and right answers', xLabel: 'kept for the backward pass (MiB)', yLabel: 'right answers (%)' },
    (row) => [row.residualBytes === null ? undefined : row.residualBytes.measured / MEBIBYTE, percent(row)],
  ),
  forgetting: dots(
    compared,
    'glosses',
    {
      title: 'What was forgotten, and right answers',
      xLabel: 'rise of the loss on text of the base’s own kind (nats a token)',
      yLabel: 'right answers (%)',
    },
    (row) => [row.forgetting?.mean, percent(row)],
  ),
  'long-paca': curvesPicture(
    long,
    'long',
    'training',
    ['lora', 'paca, random'],
    'PaCA and LoRA at 2,100 tokens, with DropBP',
  ),
  'long-qpaca': curvesPicture(
    long,
    'long',
    'training',
    ['qlora', 'qpaca, random'],
    'QPaCA and QLoRA at 2,100 tokens, with DropBP',
  ),
};

mkdirSync('docs/pictures', { recursive: true });
for (const [name, chart] of Object.entries(pictures)) writeFileSync(`docs/pictures/${name}.svg`, lineChart(chart));

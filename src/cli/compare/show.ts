/** A comparison as tables in the terminal, and as one page with its loss curves and what memory and time bought. */
import { formatBytes, formatCount, formatMs, formatPercent } from '../show/format.ts';
import { htmlPage, htmlTable } from '../show/page.ts';
import { escapeXml, lineChart, type Series } from '../show/svg.ts';
import { renderTable } from '../show/table.ts';
import { learningRateOf, type Mean, type Row } from './rows.ts';

type Points = Series['points'];

/** The losses of a contestant on a task, by step. */
export interface Curves {
  readonly task: string;
  readonly name: string;
  readonly training: Points;
  readonly validation: Points;
}

const NONE = '–';

export const withSpread = (value: Mean | null, format: (x: number) => string): string => {
  if (value === null) return NONE;
  return value.spread === null ? format(value.mean) : `${format(value.mean)} ± ${format(value.spread)}`;
};

export const orNone = <A>(value: A | null, format: (a: A) => string): string => (value === null ? NONE : format(value));

export const fixed =
  (digits: number) =>
  (x: number): string =>
    x.toFixed(digits);

interface ColumnOf {
  readonly header: string;
  readonly cell: (row: Row) => string;
}

const columns: readonly ColumnOf[] = [
  { header: 'method', cell: ({ name }) => name },
  { header: 'rank', cell: ({ rank }) => orNone(rank, String) },
  { header: 'rate', cell: (row) => orNone(learningRateOf(row), (rate) => String(Number(rate.toPrecision(3)))) },
  { header: 'trained', cell: ({ trainable }) => formatCount(trainable) },
  { header: 'right', cell: ({ after }) => withSpread(after, formatPercent) },
  { header: 'val. loss', cell: ({ valLoss }) => withSpread(valLoss, fixed(4)) },
  { header: 'forgot', cell: ({ forgetting }) => withSpread(forgetting, fixed(3)) },
  { header: 'kept', cell: ({ residualBytes }) => orNone(residualBytes, ({ measured }) => formatBytes(measured)) },
  { header: 'peak', cell: ({ peakBytes }) => orNone(peakBytes, formatBytes) },
  { header: 'step', cell: ({ msPerStep }) => orNone(msPerStep, formatMs) },
  { header: 'adapter', cell: ({ adapterBytes }) => orNone(adapterBytes, formatBytes) },
  { header: 'to target', cell: ({ stepsToTarget }) => withSpread(stepsToTarget, fixed(0)) },
  { header: 'in s', cell: ({ secondsToTarget }) => withSpread(secondsToTarget, fixed(1)) },
  { header: 'spikes', cell: ({ spikes }) => withSpread(spikes, fixed(1)) },
];

const legend: readonly string[] = [
  'right: answers on the test. val. loss: in nats a token of the answers. forgot: what the loss on text of the base’s own kind rose by.',
  'kept: bytes alive between forward and backward. peak: of the process. to target: steps, and seconds with the choice of columns, until the',
  'validation loss was at most LoRA’s last. spikes: steps whose training loss lay over 4 standard deviations above the 16 before.',
  '±: the standard deviation over the seeds of what is drawn by lot.',
];

const tasksOf = (rows: readonly Row[]): readonly string[] => [...new Set(rows.map(({ task }) => task))];

/** Each contestant's right answers, task by task, and their average. */
const averages = (rows: readonly Row[]): readonly (readonly string[])[] => {
  const tasks = tasksOf(rows);
  return [...new Set(rows.map(({ name }) => name))].map((name) => {
    const scores = tasks.map((task) => rows.find((row) => row.name === name && row.task === task)?.after?.mean ?? null);
    const known = scores.filter((score) => score !== null);
    const average = known.length === tasks.length ? known.reduce((a, b) => a + b, 0) / known.length : null;
    return [name, ...[...scores, average].map((score) => orNone(score, formatPercent))];
  });
};

const averageHeaders = (rows: readonly Row[]): readonly string[] => ['right answers', ...tasksOf(rows), 'average'];

/** For the terminal, `width` columns wide. */
export const comparisonText = (rows: readonly Row[], width: number | undefined): string => {
  const tables = tasksOf(rows).map((task) => {
    const own = rows.filter((row) => row.task === task);
    const table = renderTable(
      columns.map(({ header }, i) => ({ header, align: i === 0 ? 'left' : 'right' })),
      own.map((row) => columns.map(({ cell }) => cell(row))),
      { width },
    );
    return `${task}\n\n${table}\n`;
  });
  const together =
    tables.length < 2
      ? []
      : [
          `${renderTable(
            averageHeaders(rows).map((header, i) => ({ header, align: i === 0 ? 'left' : 'right' })),
            averages(rows),
            { width },
          )}\n`,
        ];
  return [...tables, ...together, `${legend.join('\n')}\n`].join('\n');
};

const MEBIBYTE = 2 ** 20;

/** What a cost bought: a dot for each contestant. */
const pareto = (rows: readonly Row[], title: string, xLabel: string, cost: (row: Row) => number | null): string => {
  const series = rows.flatMap((row): readonly Series[] => {
    const [x, y] = [cost(row), row.after?.mean ?? null];
    return x === null || y === null ? [] : [{ name: row.name, points: [[x, 100 * y]] }];
  });
  return series.length === 0 ? '' : lineChart({ title, xLabel, yLabel: 'right answers (%)', series });
};

/** One page with everything. */
export const comparisonPage = (
  rows: readonly Row[],
  curves: readonly Curves[],
  settings: Readonly<Record<string, unknown>>,
): string => {
  const parts = tasksOf(rows).flatMap((task) => {
    const own = rows.filter((row) => row.task === task);
    const curvesOf = (title: string, points: (curves: Curves) => Points): string => {
      const series = curves.filter((one) => one.task === task).map((one) => ({ name: one.name, points: points(one) }));
      return lineChart({ title, xLabel: 'step', yLabel: 'cross-entropy (nats a token)', series });
    };
    return [
      `<h2>${escapeXml(task)}</h2>`,
      htmlTable(
        columns.map(({ header }) => header),
        own.map((row) => columns.map(({ cell }) => cell(row))),
      ),
      curvesOf('Validation loss', ({ validation }) => validation),
      curvesOf('Training loss', ({ training }) => training),
      pareto(own, 'Memory and right answers', 'kept for the backward pass (MiB)', ({ residualBytes }) =>
        residualBytes === null ? null : residualBytes.measured / MEBIBYTE,
      ),
      pareto(own, 'Time and right answers', 'a step (ms)', ({ msPerStep }) => msPerStep),
    ];
  });
  const together = tasksOf(rows).length < 2 ? [] : [htmlTable(averageHeaders(rows), averages(rows))];
  return htmlPage('Methods compared', [
    ...together,
    `<p>${escapeXml(legend.join(' '))}</p>`,
    ...parts,
    '<h2>Settings</h2>',
    htmlTable(
      ['', ''],
      Object.entries(settings).map(([key, value]) => [key, JSON.stringify(value) ?? '']),
    ),
  ]);
};

/** A study as tables in the terminal, and as one page. */
import { fixed, orNone, withSpread } from '../compare/show.ts';
import { formatBytes, formatCount, formatPercent } from '../show/format.ts';
import { htmlPage, htmlTable } from '../show/page.ts';
import { escapeXml, lineChart } from '../show/svg.ts';
import { renderTable } from '../show/table.ts';
import type { Gap } from './gap.ts';
import { labelOf, type StudiedTask } from './rows.ts';

/** A table as texts, the first column words and the others numbers. */
interface Texts {
  readonly title: string;
  readonly headers: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const scoresTable = ({ scores }: StudiedTask): Texts => ({
  title: 'what each model makes of the test and of held-out text',
  headers: ['model', 'test loss', 'perplexity', 'KL', 'right', 'text loss', 'perplexity', 'KL'],
  rows: scores.map((row) => [
    labelOf(row),
    withSpread(row.onTest.loss, fixed(4)),
    withSpread(row.onTest.perplexity, fixed(3)),
    withSpread(row.onTest.divergence, fixed(4)),
    withSpread(row.onTest.right, formatPercent),
    withSpread(row.onText.loss, fixed(4)),
    withSpread(row.onText.perplexity, fixed(3)),
    withSpread(row.onText.divergence, fixed(4)),
  ]),
});

const signed = (x: number): string => `${x < 0 ? '' : '+'}${x.toFixed(4)}`;

const gapCells = ({ before, after, recovered, closed }: Gap): readonly string[] => [
  ...[signed(before), signed(after)],
  ...[orNone(recovered, formatPercent), orNone(closed, formatPercent)],
];

const gapsTable = ({ gaps }: StudiedTask): Texts => {
  const headers = ['before', 'after', 'recovered', 'closed'];
  return {
    title: 'what NF4 adds to the loss, and what tuning takes back of it',
    headers: ['model', ...headers.map((name) => `test ${name}`), ...headers.map((name) => `text ${name}`)],
    rows: gaps.map((row) => [labelOf(row), ...gapCells(row.onTest), ...gapCells(row.onText)]),
  };
};

const mergedOf = ({ layers }: StudiedTask): readonly string[] => [
  ...new Set(layers.flatMap(({ merged }) => Object.keys(merged))),
];

const layersTable = (task: StudiedTask): Texts => {
  const merged = mergedOf(task);
  return {
    title: '‖Ŵ − W‖ / ‖W‖ of NF4, weight by weight',
    headers: ['weight', 'bits', 'the base', 'worst block', ...merged.map((_, i) => `(${i + 1})`)],
    rows: task.layers.map((layer) => [
      ...[layer.weight, layer.bits.toFixed(3), layer.relative.toFixed(4), layer.worstBlock.toFixed(4)],
      ...merged.map((name) => orNone(layer.merged[name] ?? null, ({ relative }) => relative.toFixed(4))),
    ]),
  };
};

const numbered = (task: StudiedTask): string =>
  mergedOf(task)
    .map((name, i) => `(${i + 1}) ${name}`)
    .join('; ');

const legend: readonly string[] = [
  'loss: nats a token. KL: of the base as it is from the model, nats a token. before: what NF4 adds to the loss of the untuned base. after: what',
  'it adds at equal method. recovered: the share of before by which the model is better than the base in NF4; 100% is the 16-bit base’s loss.',
  'closed: the share of before that is gone at equal method. ±: the standard deviation over seeds.',
];

const sizeOf = ({ weights, bytes, bits }: StudiedTask): string =>
  `${formatCount(weights)} numbers in NF4, ${bits.toFixed(3)} bits each, ${formatBytes(bytes)}`;

const tablesOf = (task: StudiedTask): readonly Texts[] => [scoresTable(task), gapsTable(task), layersTable(task)];

/** For the terminal, `width` columns wide. */
export const studyText = (tasks: readonly StudiedTask[], width: number | undefined): string => {
  const parts = tasks.map((task) => {
    const tables = tablesOf(task).map(({ title, headers, rows }) => {
      const columns = headers.map((header, i) => ({ header, align: i === 0 ? 'left' : 'right' }) as const);
      return `${title}\n\n${renderTable(columns, rows, { width })}\n`;
    });
    return [`${task.task}: ${sizeOf(task)}\n`, ...tables, `${numbered(task)}\n`].join('\n');
  });
  return [...parts, `${legend.join('\n')}\n`].join('\n');
};

/** The relative error of each weight, in the order of the file. */
const layersChart = (task: StudiedTask): string => {
  const series = (name: string, of: (layer: StudiedTask['layers'][number]) => number | undefined) => ({
    name,
    points: task.layers.flatMap((layer, i): readonly (readonly [number, number])[] => {
      const value = of(layer);
      return value === undefined ? [] : [[i + 1, value]];
    }),
  });
  return lineChart({
    ...{ title: 'Error of quantising', xLabel: 'weight', yLabel: '‖Ŵ − W‖ / ‖W‖' },
    series: [
      series('the base', ({ relative }) => relative),
      ...mergedOf(task).map((name) => series(name, ({ merged }) => merged[name]?.relative)),
    ],
  });
};

/** One page with everything. */
export const studyPage = (tasks: readonly StudiedTask[]): string =>
  htmlPage('NF4 in depth', [
    `<p>${escapeXml(legend.join(' '))}</p>`,
    ...tasks.flatMap((task) => [
      `<h2>${escapeXml(task.task)}</h2>`,
      `<p>${escapeXml(sizeOf(task))}</p>`,
      ...tablesOf(task).flatMap(({ title, headers, rows }) => [
        `<h3>${escapeXml(title)}</h3>`,
        htmlTable(headers, rows),
      ]),
      `<p>${escapeXml(numbered(task))}</p>`,
      layersChart(task),
    ]),
  ]);

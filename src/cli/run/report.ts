/** A run as one page that needs nothing else: what it was, what came of it, loss and memory over its steps. */
import * as E from 'fp-ts/lib/Either.js';
import type { Store } from '../../io/store.ts';
import type { Result } from '../../spec/errors.ts';
import { htmlPage } from '../show/page.ts';
import { escapeXml, type LineChart, lineChart } from '../show/svg.ts';
import { pointsOf } from './follow.ts';
import { type Logged, REPORT, readEvents } from './run-folder.ts';

const rowsOf = (record: object): string =>
  Object.entries(record)
    .map(([name, value]) => {
      const text = typeof value === 'string' ? value : JSON.stringify(value);
      return `<tr><th>${escapeXml(name)}</th><td>${escapeXml(text ?? '')}</td></tr>`;
    })
    .join('\n');

const section = (title: string, record: object): string =>
  `<h2>${escapeXml(title)}</h2>\n<table>\n${rowsOf(record)}\n</table>`;

const charts = (events: readonly Logged[]): readonly LineChart[] => [
  {
    title: 'Loss',
    xLabel: 'step',
    yLabel: 'cross-entropy (nats)',
    series: [
      { name: 'training', points: pointsOf(events, 'step', (e) => e.loss) },
      {
        name: 'validation',
        points: pointsOf(events, 'eval', (e) => (e.metrics as { loss?: number }).loss),
        dashed: true,
      },
    ],
  },
  {
    title: 'Memory of tensors',
    xLabel: 'step',
    yLabel: 'peak of the step (MiB)',
    series: [{ name: 'peak', points: pointsOf(events, 'step', (e) => Number(e.peakBytes) / 2 ** 20) }],
  },
  {
    title: 'Gradient',
    xLabel: 'step',
    yLabel: 'norm over what trains',
    logY: true,
    series: [{ name: 'norm', points: pointsOf(events, 'step', (e) => e.gradientNorm) }],
  },
];

/** The page of the run whose events the store holds. */
export const writeReport = async (
  store: Store,
  title: string,
  settings: object,
  result: object,
): Promise<Result<void>> => {
  const events = await readEvents(store, Number.POSITIVE_INFINITY);
  if (E.isLeft(events)) return events;
  const page = htmlPage(title, [
    section('Result', result),
    ...charts(events.right).map(lineChart),
    section('Settings', settings),
  ]);
  return store.write(REPORT, new TextEncoder().encode(page));
};

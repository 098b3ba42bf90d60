/** A run as one page that needs nothing else: what it was, what came of it, loss and memory over its steps. */
import * as E from 'fp-ts/lib/Either.js';
import type { Store } from '../../io/store.ts';
import type { Result } from '../../spec/errors.ts';
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

const style =
  'body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}' +
  'table{border-collapse:collapse}th{text-align:left;font-weight:500;padding-right:2rem;vertical-align:top}' +
  'td{font-family:ui-monospace,monospace;word-break:break-word}svg{max-width:100%;height:auto}';

/** The page of the run whose events the store holds. */
export const writeReport = async (
  store: Store,
  title: string,
  settings: object,
  result: object,
): Promise<Result<void>> => {
  const events = await readEvents(store, Number.POSITIVE_INFINITY);
  if (E.isLeft(events)) return events;
  const page = [
    '<!doctype html>',
    `<html lang="en"><head><meta charset="utf-8"><title>${escapeXml(title)}</title><style>${style}</style></head><body>`,
    `<h1>${escapeXml(title)}</h1>`,
    section('Result', result),
    ...charts(events.right).map(lineChart),
    section('Settings', settings),
    '</body></html>',
    '',
  ].join('\n');
  return store.write(REPORT, new TextEncoder().encode(page));
};

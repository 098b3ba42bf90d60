/** `paca compare` on the digits: one base, several methods, the same data and budget, side by side. */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { nodeStore } from '../../io/store-node.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';

import { openBackend } from '../backend.ts';
import { type ExitCode, printJson, type World } from '../command.ts';
import { formatBytes, formatCount, formatMs, formatPercent } from '../show/format.ts';
import { lineChart } from '../show/svg.ts';
import { renderTable } from '../show/table.ts';
import { type Compared, compareMethods, type Row } from './contest.ts';
import { loadDigits } from './data.ts';
import { architectureOf, type Experiment } from './experiment.ts';
import { type CompareInput, type Settings, settingsOf } from './settings.ts';

const FOLDER = 'runs';

/** The settings of every row: each method, PaCA once for each selection. */
const contestants = ({
  methods = ['full', 'paca'],
  selects,
  calibrationBatches,
  ...shared
}: CompareInput): readonly Settings[] =>
  methods.flatMap((method) => {
    if (method === 'full') return [settingsOf({ ...shared, method })];
    return (selects ?? ['random', 'weight-norm', 'gradient']).map((select) =>
      settingsOf({ ...shared, method, select, ...(calibrationBatches && { calibrationBatches }) }),
    );
  });

const nameOf = ({ method, select }: Pick<Row, 'method' | 'select'>): string =>
  select === null ? method : `${method}, ${select}`;

const tableOf = (rows: readonly Row[], width: number | undefined): string =>
  renderTable(
    ['method', 'rank', 'trainable', 'accuracy before', 'after', 'on upright', 'residual', 'ms a step', 'adapter'].map(
      (header) => ({ header }),
    ),
    rows.map((r) => [
      nameOf(r),
      r.rank === null ? '—' : String(r.rank),
      formatCount(r.trainable),
      formatPercent(r.before.accuracy),
      formatPercent(r.after.accuracy),
      formatPercent(r.source.after),
      formatBytes(r.residualBytes.measured),
      formatMs(r.msPerStep),
      formatBytes(r.adapterBytes),
    ]),
    { width },
  );

const chartOf = ({ rows, curves }: Compared, { task, model, steps }: Settings): string =>
  lineChart({
    title: `${task}, ${model}: validation loss over ${steps} steps`,
    xLabel: 'step',
    yLabel: 'cross-entropy (nats)',
    logY: true,
    series: rows.map((row, i) => ({ name: nameOf(row), points: curves[i] ?? [], dashed: row.method === 'full' })),
  });

const show = (world: World, { rows }: Compared, settings: Settings, chart: string): void => {
  const { shift, degrees } = settings;
  const change = { rotate: `turned by ${degrees}°`, invert: 'inverted', none: 'as they are' }[shift];
  world.print(`A base pretrained on upright digits is fine-tuned to digits ${change} (2,000 held-out digits).\n\n`);
  world.print(`${tableOf(rows, world.columns)}\n\n`);
  world.print('residual: bytes kept between forward and backward, accounted before the run and measured in it.\n');
  world.print(`on upright: accuracy afterwards on the digits of the pretraining.\nloss curves: ${chart}\n`);
};

const openExperiment = (
  world: World,
  input: CompareInput,
  settings: Settings,
): TE.TaskEither<PacaError, Experiment<Spec>> =>
  pipe(
    TE.Do,
    TE.bind('backend', () => () => openBackend(input)),
    TE.bind('task', () => () => loadDigits(settings)),
    TE.map(({ backend, task }) => ({
      kernels: backend.kernels,
      architecture: architectureOf(settings),
      task,
      clock: world.clock,
    })),
  );

const compareAll = async (world: World, input: CompareInput, json: boolean): Promise<Result<ExitCode>> => {
  const [first, ...others] = contestants(input);
  if (first === undefined) return fail('ConfigError', 'at least one method', 'none', 'methods');
  const chart = `digits-${first.model}.svg`;
  return pipe(
    openExperiment(world, input, first),
    TE.chain((experiment) => () => compareMethods(world, experiment, [first, ...others])),
    TE.chainFirst(
      (compared) => () => nodeStore(FOLDER).write(chart, new TextEncoder().encode(chartOf(compared, first))),
    ),
    TE.map((compared): ExitCode => {
      if (json) printJson(world, { task: 'digits', rows: compared.rows });
      else show(world, compared, first, `${FOLDER}/${chart}`);
      return 0;
    }),
  )();
};

/** Every contestant in turn, in this process. */
export const compareDigits =
  (world: World, input: CompareInput, json: boolean): TE.TaskEither<PacaError, ExitCode> =>
  () =>
    compareAll(world, input, json);

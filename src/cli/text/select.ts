/**
 * `paca select`: which columns each strategy would train, without training. What the strategies share, how much of the
 * gradient each captures, and what choosing costs in time and memory.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import type { AnyBackend } from '../../../backends/resolve.ts';
import { crossEntropy, type Loss } from '../../layers/losses.ts';
import { columnView, type Site } from '../../methods/operation.ts';
import { type Chosen, capturedShare, overlap, overlapByChance } from '../../select/overlap.ts';
import { findSelector, type Selector, selectors } from '../../select/selector.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { columnStatistics, type SelectionCost, type StatisticsPlan, selectColumns } from '../../train/select.ts';
import { closing, openBackend } from '../backend.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { readInput } from '../input.ts';
import { adaptedSites } from '../run/selection.ts';
import { count, parseWith, splitKeys } from '../schema.ts';
import { formatBytes, formatMs, formatPercent } from '../show/format.ts';
import { renderTable } from '../show/table.ts';
import { hostWeights, openBase } from './base.ts';
import { parseTextKeys, textKeys } from './config.ts';
import { batcher, loadData, stepsOf } from './data.ts';
import { checkSettings } from './session.ts';
import { dataSettings, type TextInput, type TextSettings, textSettings } from './settings.ts';

/** One choice of columns, as `--json` prints it. */
interface Strategy extends SelectionCost {
  readonly name: string;
  /** Null where no lot is drawn. */
  readonly seed: number | null;
  /** With every strategy, by its label: the share of the columns that both chose. */
  readonly overlap: Readonly<Record<string, number>>;
  /** The share of the squared gradient norm that lies in the columns. */
  readonly gradientShare: number;
  /** The columns, by module path. */
  readonly columns: Readonly<Record<string, readonly number[]>>;
}

interface Report {
  readonly model: string;
  readonly rank: number;
  /** The overlap of two draws by lot. */
  readonly overlapByChance: number;
  readonly strategies: readonly Strategy[];
}

interface SelectInput {
  readonly text: TextInput;
  readonly selects: readonly string[];
  /** How many seeds a strategy by lot is run with. */
  readonly seeds: number;
}

type Task<A> = TE.TaskEither<PacaError, A>;

const own = v.strictObject({
  selects: v.optional(v.pipe(v.array(v.picklist(Object.keys(selectors))), v.minLength(1))),
  seeds: v.optional(count),
});
const ownKeys = Object.keys(own.entries);
const keys: readonly string[] = [...textKeys, ...ownKeys];

const parse = (input: unknown, where: string): Result<SelectInput> => {
  const [mine, ofRun] = splitKeys(input, ownKeys);
  return pipe(
    E.Do,
    E.bind('given', () => parseWith(own, ownKeys, mine, where)),
    E.bind('text', () => parseTextKeys(ofRun, where)),
    E.map(({ given: { selects = Object.keys(selectors), seeds = 2 }, text }) => ({
      ...{ text, seeds },
      selects: [...new Set(selects)],
    })),
  );
};

/** A strategy by lot once for each seed, others once. */
const runsOf = ({ selects, seeds }: SelectInput, first: number): Result<readonly Run[]> =>
  pipe(
    selects,
    E.traverseArray((name) =>
      pipe(
        findSelector(selectors, name),
        E.map((selector): readonly Run[] =>
          selector.needs.length > 0
            ? [{ name, selector, seed: null }]
            : Array.from({ length: seeds }, (_, i) => ({ name, selector, seed: first + i })),
        ),
      ),
    ),
    E.map((runs) => runs.flat()),
  );

interface Run {
  readonly name: string;
  readonly selector: Selector;
  readonly seed: number | null;
}

interface Choice extends Run {
  readonly chosen: Chosen;
  readonly cost: SelectionCost;
}

const labelOf = ({ name, seed }: Pick<Run, 'name' | 'seed'>): string => (seed === null ? name : `${name} ${seed}`);

type Plan = StatisticsPlan<Spec, unknown>;

/** What every strategy looks at: the places, their weights, the calibration batches. */
const planOf = (world: World, { text }: SelectInput, s: TextSettings, { kernels }: AnyBackend): Task<Plan> =>
  pipe(
    TE.Do,
    TE.bind('base', () => openBase(world, text.base)),
    TE.bind('data', ({ base }) => loadData(base, dataSettings(text))),
    TE.chainFirst(({ base, data }) =>
      TE.fromEither(checkSettings(textSettings(text, stepsOf(data, dataSettings(text))), base)),
    ),
    TE.bind('sites', ({ base }) => TE.fromEither(adaptedSites(base.architecture, s))),
    TE.bind(
      'weights',
      ({ base }) =>
        () =>
          hostWeights(base),
    ),
    TE.map(({ base: { architecture }, data, sites, weights }): Plan => {
      const batchAt = batcher(data, { ...s, gradAccumulation: 1 });
      const batches = Array.from({ length: s.calibrationBatches }, (_, i) => batchAt(i)).flat();
      const loss = crossEntropy(kernels) as Loss<Spec, unknown>;
      return { kernels, architecture, weights, sites, loss, batches };
    }),
  );

const choose = (plan: Plan, { clock }: World, rank: number, run: Run): Task<Choice> =>
  pipe(
    () => selectColumns({ ...plan, selector: run.selector, rank, seed: run.seed ?? 0, clock }),
    TE.map(({ indices: chosen, cost }) => ({ ...run, chosen, cost })),
  );

const columnsOf = (sites: readonly Site[]): Readonly<Record<string, number>> =>
  Object.fromEntries(sites.map(({ path, operation }) => [path, columnView(operation).columns]));

const gradientNorms = (plan: Plan): Task<Readonly<Record<string, Float64Array>>> =>
  pipe(
    () => columnStatistics(plan, ['gradientNormOfSum']),
    TE.map((statistics) =>
      Object.fromEntries(Object.entries(statistics).map(([path, s]) => [path, s.gradientNormOfSum as Float64Array])),
    ),
  );

const reportOf = (world: World, input: SelectInput, backend: AnyBackend): Task<Report> => {
  const settings = textSettings(input.text, 1);
  const { base: model, rank, selectSeed } = settings;
  return pipe(
    TE.Do,
    TE.bind('runs', () => TE.fromEither(runsOf(input, selectSeed))),
    TE.bind('plan', () => planOf(world, input, settings, backend)),
    TE.bind('choices', ({ plan, runs }) =>
      pipe(
        runs,
        TE.traverseSeqArray((run) => choose(plan, world, rank, run)),
      ),
    ),
    TE.bind('norms', ({ plan }) => gradientNorms(plan)),
    TE.map(({ plan, choices, norms }) => ({
      ...{ model, rank, overlapByChance: overlapByChance(choices[0]?.chosen ?? {}, columnsOf(plan.sites)) },
      strategies: choices.map(({ name, seed, chosen, cost }) => ({
        ...{ name, seed, ...cost, gradientShare: capturedShare(chosen, norms) },
        columns: Object.fromEntries(Object.entries(chosen).map(([path, indices]) => [path, [...indices]])),
        overlap: Object.fromEntries(choices.map((other) => [labelOf(other), overlap(chosen, other.chosen)])),
      })),
    })),
  );
};

const show = ({ print, columns: width }: World, { model, rank, strategies, overlapByChance: chance }: Report): void => {
  const costs = strategies.map((s) => [
    labelOf(s),
    formatPercent(s.gradientShare),
    formatMs(s.ms),
    formatBytes(s.peakBytes),
    String(s.batches),
  ]);
  const headers = ['strategy', 'gradient', 'time', 'memory', 'batches'].map((header) => ({ header }));
  const numbered = [{ header: 'columns that both chose' }, ...strategies.map((_, i) => ({ header: `(${i + 1})` }))];
  const shared = strategies.map((s, i) => [
    `(${i + 1}) ${labelOf(s)}`,
    ...strategies.map((other) => formatPercent(s.overlap[labelOf(other)] as number)),
  ]);
  print(`${model}: ${rank} columns of each map\n\n${renderTable(headers, costs, { width })}\n\n`);
  print('gradient: share of the squared gradient norm, over the calibration batches, that lies in the columns.\n');
  print(`memory: of tensors, while columns are chosen.\n\n${renderTable(numbered, shared, { width })}\n\n`);
  print(`Two draws by lot share ${formatPercent(chance)} in the mean.\n`);
};

export const select: Command = {
  summary: 'which columns each strategy would train: what they share, capture and cost',
  usage:
    "paca select [CONFIG.yaml] [--selects '[random, weight-norm, gradient]'] [--seeds 2] [--json] [--KEY VALUE ...]\n" +
    '\nThe keys are those of `paca finetune`; what concerns training alone has no effect here.',
  keys,
  texts: [],
  switches: ['json'],
  run: (world, args) =>
    pipe(
      TE.Do,
      TE.bind('input', () => readInput(args, keys, parse)),
      TE.bind(
        'backend',
        ({ input }) =>
          () =>
            openBackend(input.text),
      ),
      TE.chain(({ input, backend }) => async (): Promise<Result<ExitCode>> => {
        const report = await closing(backend, reportOf(world, input, backend));
        return pipe(
          report,
          E.map((found): ExitCode => {
            if (args.values.json === true) printJson(world, found);
            else show(world, found);
            return 0;
          }),
        );
      }),
    )(),
};

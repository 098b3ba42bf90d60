/** `paca compare` of language models: every contestant's trials on every task, each in a process of its own, in one folder. */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { nodeStore } from '../../io/store-node.ts';
import type { PacaError } from '../../spec/errors.ts';
import type { Arguments } from '../args.ts';
import { type ExitCode, printJson, type World } from '../command.ts';
import { REPORT } from '../run/run-folder.ts';
import { type Contestant, contestantsOf } from './contestants.ts';
import { kept, ownTextLoss, quantised } from './outcome.ts';
import { type Row, rowOf, targetOf, untunedRow } from './rows.ts';
import { type Task as ComparedTask, type Comparison, isQuantised } from './settings.ts';
import { type Curves, comparisonPage, comparisonText } from './show.ts';
import { type Outcomes, openTasks, outcomesOf, type Place, resumable, type Settled } from './trials.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

const RESULT = 'compare.json';

interface OfTask {
  readonly rows: readonly Row[];
  readonly curves: readonly Curves[];
}

/** The loss of a base as it is on text of its own kind. */
const untunedLoss = (place: Place, task: ComparedTask, base: string, kind: string): Task<number | null> => {
  const { world, folder, comparison } = place;
  const { backend, threads } = comparison.shared;
  return kept(
    nodeStore(folder),
    `${task.id}.${kind}.json`,
    ownTextLoss(world, { base, backend, threads }, task.ownText, null),
  );
};

/** Everything that was measured on a task. */
interface Measured {
  /** The base's loss on text of its own kind, in 16 bits and in NF4. */
  readonly ownText: number | null;
  readonly quantisedText: number | null;
  readonly all: readonly {
    readonly contestant: Contestant;
    readonly outcomes: Outcomes;
  }[];
}

const measureOn = (place: Place, settled: Settled): Task<Measured> => {
  const { world, comparison } = place;
  const { task } = settled;
  return pipe(
    TE.Do,
    TE.bind('ownText', () => untunedLoss(place, task, task.input.base, 'own-text')),
    TE.bind('quantisedText', () =>
      comparison.methods.some(isQuantised)
        ? pipe(
            quantised(world, task),
            TE.chain(() => untunedLoss(place, task, task.quantisedBase, 'nf4-own-text')),
          )
        : TE.right(null),
    ),
    TE.bind('all', () =>
      pipe(
        contestantsOf(comparison),
        TE.traverseSeqArray((contestant) =>
          pipe(
            outcomesOf(place, settled, contestant),
            TE.map((outcomes) => ({ contestant, outcomes })),
          ),
        ),
      ),
    ),
  );
};

/** The bases as they are, of those that were asked for; each was seen by a run over it. */
const untunedRows = ({ methods }: Comparison, { all, ownText, quantisedText }: Measured): readonly Row[] =>
  (['none', 'nf4'] as const).flatMap((method) => {
    const seen = all.find(({ contestant }) => contestant.quantised === (method === 'nf4'));
    if (!methods.includes(method) || seen === undefined) return [];
    const text = method === 'nf4' ? quantisedText : ownText;
    return [untunedRow(method, seen.outcomes[0], text === null || ownText === null ? null : text - ownText)];
  });

const summaryOf = (comparison: Comparison, { name: task }: ComparedTask, measured: Measured): OfTask => {
  const { all, ownText } = measured;
  const target = targetOf(all.find(({ contestant: { method } }) => method === 'lora')?.outcomes ?? []);
  const tuned = all.map(({ contestant, outcomes }) => rowOf(contestant, outcomes, target, ownText));
  return {
    rows: [...untunedRows(comparison, measured), ...tuned],
    curves: all.map(({ contestant: { name }, outcomes: [{ curve, training }] }) => {
      const validation = curve.map(({ step, loss }) => [step, loss] as const);
      return { task, name, training, validation };
    }),
  };
};

const finish = ({ world, comparison, folder }: Place, all: readonly OfTask[], json: boolean): Task<ExitCode> => {
  const [rows, curves] = [all.flatMap((one) => one.rows), all.flatMap((one) => one.curves)];
  const store = nodeStore(folder);
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const report = { task: 'text', rows, curves };
  return pipe(
    () => store.write(RESULT, encode(`${JSON.stringify(report, null, 2)}\n`)),
    TE.chain(() => () => store.write(REPORT, encode(comparisonPage(rows, curves, { ...comparison })))),
    TE.map((): ExitCode => {
      if (json) printJson(world, report);
      else world.print(`${comparisonText(rows, world.columns)}\nreport  ${folder}/${REPORT}\n`);
      return 0;
    }),
  );
};

export const compareText = (world: World, args: Arguments, comparison: Comparison): Task<ExitCode> => {
  const folder = typeof args.values.run === 'string' ? args.values.run : 'runs/compare';
  const place: Place = { world, comparison, folder, command: 'compare' };
  return resumable(
    place,
    pipe(
      openTasks(place, args.values.resume === true),
      TE.chain(
        TE.traverseSeqArray((settled) =>
          pipe(
            measureOn(place, settled),
            TE.map((measured) => summaryOf(comparison, settled.task, measured)),
          ),
        ),
      ),
      TE.chain((all) => finish(place, all, args.values.json === true)),
    ),
  );
};

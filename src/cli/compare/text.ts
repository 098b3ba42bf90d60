/** `paca compare` of language models: every contestant's trials on every task, each in a process of its own, in one folder. */
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { sha256Hex } from '../../io/digest.ts';
import { nodeStore } from '../../io/store-node.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import type { Arguments } from '../args.ts';
import { type ExitCode, printJson, type World } from '../command.ts';
import { readBytes } from '../package-root.ts';
import { claimFolder, REPORT } from '../run/run-folder.ts';
import { adaptedSites } from '../run/selection.ts';
import { type Base, baseDigest, openBase } from '../text/base.ts';
import { RANK } from '../text/settings.ts';
import { type Contestant, contestantsOf, firstTrials, laterSeeds, trialOf } from './contestants.ts';
import { carryOut, kept, type Outcome, ownTextLoss, quantised } from './outcome.ts';
import { best, type Row, rowOf, targetOf, untunedRow } from './rows.ts';
import { type Task as ComparedTask, type Comparison, isQuantised } from './settings.ts';
import { type Curve, comparisonPage, comparisonText } from './show.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

interface Place {
  readonly world: World;
  readonly comparison: Comparison;
  readonly folder: string;
}

const RESULT = 'compare.json';

/** The rank at which PaCA trains about as many numbers as LoRA, r·Σ(in + out)/Σ out; null where ranks are the same. */
const matchedRank = ({ match, shared }: Comparison, { architecture }: Base): Result<number | null> => {
  if (match === 'rank') return E.right(null);
  const { targetModules = 'all-linear', excludeModules = [], modulesToSave = [], rank = RANK } = shared;
  return pipe(
    adaptedSites(architecture, { targetModules, excludeModules, modulesToSave }),
    E.map((sites) => {
      const sum = (of: (c: { readonly in: number; readonly out: number }) => number): number =>
        sites.reduce((total, { operation }) => total + of(operation.config), 0);
      return Math.round((rank * sum((c) => c.in + c.out)) / sum(({ out }) => out));
    }),
  );
};

const bestOf = (outcomes: readonly (Outcome | null)[], where: string): Result<Outcome> => {
  const ended = outcomes.filter((outcome) => outcome !== null);
  return ended.length > 0
    ? E.right(best(ended))
    : fail('NonFiniteError', 'a learning rate with which the loss stays finite', 'none among those tried', where);
};

/** The outcomes of a contestant on a task: of its best learning rate, with every seed. */
const outcomesOf = (
  place: Place,
  task: ComparedTask,
  contestant: Contestant,
  pacaRank: number | null,
): Task<readonly [Outcome, ...Outcome[]]> => {
  const { world, comparison, folder } = place;
  return pipe(
    TE.fromEither(firstTrials(comparison, task, contestant, pacaRank)),
    TE.chain(TE.traverseSeqArray((trial) => carryOut(world, folder, trial))),
    TE.chainEitherK((all) => bestOf(all, `${task.name}, ${contestant.name}`)),
    TE.chain((first) =>
      pipe(
        laterSeeds(comparison, contestant),
        TE.traverseSeqArray((seed) =>
          pipe(
            TE.fromEither(trialOf(comparison, task, contestant, first.trial.factor, seed, pacaRank)),
            TE.chain((trial) => carryOut(world, folder, trial)),
          ),
        ),
        TE.map((later): readonly [Outcome, ...Outcome[]] => [first, ...later.filter((one) => one !== null)]),
      ),
    ),
  );
};

interface OfTask {
  readonly rows: readonly Row[];
  readonly curves: readonly Curve[];
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
    readonly outcomes: readonly [Outcome, ...Outcome[]];
  }[];
}

const measureOn = (place: Place, { task, pacaRank }: Settled): Task<Measured> => {
  const { world, comparison } = place;
  return pipe(
    TE.Do,
    TE.bind('ownText', () => untunedLoss(place, task, task.input.base, 'own-text')),
    TE.bind('quantisedText', () =>
      comparison.methods.some(isQuantised)
        ? pipe(
            quantised(world, task.input.base, task.quantisedBase),
            TE.chain(() => untunedLoss(place, task, task.quantisedBase, 'nf4-own-text')),
          )
        : TE.right(null),
    ),
    TE.bind('all', () =>
      pipe(
        contestantsOf(comparison),
        TE.traverseSeqArray((contestant) =>
          pipe(
            outcomesOf(place, task, contestant, pacaRank),
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
    curves: all.map(({ contestant: { name }, outcomes: [{ curve }] }) => {
      const points = curve.map(({ step, loss }) => [step, loss] as const);
      return { task, name, points };
    }),
  };
};

/** A task as its runs take it. */
interface Settled {
  /** The base as a folder. */
  readonly task: ComparedTask;
  /** PaCA's, where it is not that of all. */
  readonly pacaRank: number | null;
  /** Of everything that the task reads. */
  readonly digest: string;
}

const settle = ({ world, comparison, folder }: Place, task: ComparedTask): Task<Settled> => {
  const { data, validation, test } = task.input;
  const files = [data, validation, test, task.ownText].filter((path) => typeof path === 'string');
  return pipe(
    TE.Do,
    TE.bind('base', () => openBase(world, task.input.base)),
    TE.bind('pacaRank', ({ base }) => TE.fromEither(matchedRank(comparison, base))),
    TE.bind('weights', ({ base }) => baseDigest(base)),
    TE.bind('contents', () =>
      pipe(
        files,
        TE.traverseSeqArray((path) =>
          pipe(
            () => readBytes(path),
            TE.chainTaskK((bytes) => () => sha256Hex(bytes)),
          ),
        ),
      ),
    ),
    TE.map(({ base, pacaRank, weights, contents }) => {
      const input = { ...task.input, base: base.folder };
      const quantisedBase = join(folder, task.quantisedBase);
      return { task: { ...task, input, quantisedBase }, pacaRank, digest: [weights, ...contents].join() };
    }),
  );
};

/** What identifies the results: the settings, and the content of what is read. */
const identityOf = (comparison: Comparison, digests: readonly string[]): Promise<string> =>
  sha256Hex(new TextEncoder().encode(JSON.stringify({ comparison, digests })));

const finish = ({ world, comparison, folder }: Place, all: readonly OfTask[], json: boolean): Task<ExitCode> => {
  const [rows, curves] = [all.flatMap((one) => one.rows), all.flatMap((one) => one.curves)];
  const store = nodeStore(folder);
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  const report = { task: 'text', rows };
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

/** Every run's config is checked before the first run begins; a key that no method heeds is refused. */
const checkTrials = (comparison: Comparison): Task<unknown> =>
  pipe(
    comparison.tasks.flatMap((task) => contestantsOf(comparison).map((contestant) => [task, contestant] as const)),
    TE.traverseSeqArray(([task, contestant]) => TE.fromEither(firstTrials(comparison, task, contestant, null))),
    TE.chain((trials) => {
      const heeded = new Set(trials.flat().flatMap(({ config }) => Object.keys(config)));
      const idle = Object.keys(comparison.shared).find((key) => !heeded.has(key));
      if (trials.length === 0) {
        return TE.fromEither(fail('ConfigError', 'a method that trains', comparison.methods.join(', '), 'methods'));
      }
      return idle === undefined
        ? TE.right(trials)
        : TE.fromEither(fail('ConfigError', 'keys that have an effect on a method here', `'${idle}'`, 'compare'));
    }),
  );

export const compareText = (world: World, args: Arguments, comparison: Comparison): Task<ExitCode> => {
  const folder = typeof args.values.run === 'string' ? args.values.run : 'runs/compare';
  const place = { world, comparison, folder };
  return pipe(
    checkTrials(comparison),
    TE.chain(() =>
      pipe(
        comparison.tasks,
        TE.traverseSeqArray((task) => settle(place, task)),
      ),
    ),
    TE.chainFirst((tasks) => async () => {
      const identity = await identityOf(
        comparison,
        tasks.map(({ digest }) => digest),
      );
      return claimFolder(nodeStore(folder), folder, identity, comparison, args.values.resume === true);
    }),
    TE.chain(
      TE.traverseSeqArray((settled) =>
        pipe(
          measureOn(place, settled),
          TE.map((measured) => summaryOf(comparison, settled.task, measured)),
        ),
      ),
    ),
    TE.chain((all) => finish(place, all, args.values.json === true)),
    TE.mapLeft((e) =>
      e.tag === 'Interrupted' ? { ...e, came: `${e.came}; the same command with --run ${folder} --resume goes on` } : e,
    ),
  );
};

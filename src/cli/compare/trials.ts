/**
 * The trials of a comparison in its folder: what is read is opened, checked and identified before the first run begins, and
 * each contestant's runs are carried out.
 */
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { sha256Hex } from '../../io/digest.ts';
import { nodeStore } from '../../io/store-node.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import type { World } from '../command.ts';
import { readBytes } from '../package-root.ts';
import { claimFolder } from '../run/run-folder.ts';
import { adaptedSites } from '../run/selection.ts';
import { type Base, baseDigest, openBase } from '../text/base.ts';
import { RANK } from '../text/settings.ts';
import { checkTask, checkTrials } from './check.ts';
import { type Contestant, firstTrials, laterSeeds, trialOf } from './contestants.ts';
import { carryOut, type Outcome } from './outcome.ts';
import { best } from './rows.ts';
import type { Task as ComparedTask, Comparison } from './settings.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

export interface Place {
  readonly world: World;
  readonly comparison: Comparison;
  readonly folder: string;
  /** The command whose folder it is. */
  readonly command: string;
}

/** A task as its runs take it. */
export interface Settled {
  /** The base as a folder. */
  readonly task: ComparedTask;
  /** PaCA's, where it is not that of all. */
  readonly pacaRank: number | null;
  /** Of everything that the task reads. */
  readonly digest: string;
}

/** The outcomes of a contestant with its best learning rate: one for each seed. */
export type Outcomes = readonly [Outcome, ...Outcome[]];

// What is read

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

const settle = ({ world, comparison, folder }: Place, task: ComparedTask): Task<Settled> => {
  const { data, validation, test } = task.input;
  const files = [data, validation, test, task.ownText].filter((path) => typeof path === 'string');
  return pipe(
    TE.Do,
    TE.bind('base', () => openBase(world, task.input.base)),
    TE.bind('pacaRank', ({ base }) => TE.fromEither(matchedRank(comparison, base))),
    TE.chainFirst(({ base, pacaRank }) => checkTask(comparison, task, base, pacaRank)),
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

// The folder

/** What identifies the results: the settings, the content of what is read, and the command where it is not `compare`. */
const identityOf = ({ command, comparison }: Place, digests: readonly string[]): Promise<string> => {
  const other = command === 'compare' ? {} : { command };
  return sha256Hex(new TextEncoder().encode(JSON.stringify({ comparison, digests, ...other })));
};

/** The tasks, settled, in a folder that is theirs. Nothing has run yet. */
export const openTasks = (place: Place, resume: boolean): Task<readonly Settled[]> =>
  pipe(
    TE.fromEither(checkTrials(place.comparison, place.command)),
    TE.chain(() =>
      pipe(
        place.comparison.tasks,
        TE.traverseSeqArray((task) => settle(place, task)),
      ),
    ),
    TE.chainFirst((tasks) => async () => {
      const { folder, comparison } = place;
      const identity = await identityOf(
        place,
        tasks.map(({ digest }) => digest),
      );
      return claimFolder(nodeStore(folder), folder, identity, comparison, resume);
    }),
  );

/** An interruption says how the command is gone on with. */
export const resumable = <A>({ folder }: Place, task: Task<A>): Task<A> =>
  TE.mapLeft((e: PacaError) =>
    e.tag === 'Interrupted' ? { ...e, came: `${e.came}; the same command with --run ${folder} --resume goes on` } : e,
  )(task);

// The runs

const bestOf = (outcomes: readonly (Outcome | null)[], where: string): Result<Outcome> => {
  const ended = outcomes.filter((outcome) => outcome !== null);
  return ended.length > 0
    ? E.right(best(ended))
    : fail('NonFiniteError', 'a learning rate with which the loss stays finite', 'none among those tried', where);
};

export const outcomesOf = (
  { world, comparison, folder }: Place,
  { task, pacaRank }: Settled,
  contestant: Contestant,
): Task<Outcomes> =>
  pipe(
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
        TE.map((later): Outcomes => [first, ...later.filter((one) => one !== null)]),
      ),
    ),
  );

/**
 * The models of a study on one task, each judged on the test and on held-out text: the base as it is and in NF4, what each method
 * made of both, and what comes of that when it is merged and quantised to NF4. Each is made and judged in a process of its own;
 * what is done is not done again.
 */
import { join } from 'node:path';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { QuantisedWeight } from '../../io/rewrite-checkpoint.ts';
import { nodeStore } from '../../io/store-node.ts';
import type { PacaError } from '../../spec/errors.ts';
import type { QuantiseReport } from '../adapters/quantise.ts';
import { type Contestant, contestantsOf, methodOf } from '../compare/contestants.ts';
import { evaluated, kept, madeOnce, type Outcome, quantised } from '../compare/outcome.ts';
import type { Task as ComparedTask } from '../compare/settings.ts';
import { outcomesOf, type Place, type Settled } from '../compare/trials.ts';
import type { Report } from '../text/eval.ts';
import type { TextInput } from '../text/settings.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

/** What the model is over: the base as it is, or in NF4. */
export type StudiedBase = '16-bit' | 'nf4';

export interface Scores {
  /** On the test of the task. */
  readonly onTest: Report;
  /** On text of the base's own kind. */
  readonly onText: Report;
}

/** A model that was judged. */
export interface Judged {
  readonly base: StudiedBase;
  /** `none`, `lora`, `paca, random`: the same over both bases. */
  readonly name: string;
  /** Merged, and quantised to NF4. */
  readonly merged: boolean;
  readonly seed: number | null;
  readonly scores: Scores;
  /** The error of quantising the merged weights. */
  readonly layers: readonly QuantisedWeight[];
}

/** What a study found out on a task. */
export interface Measured {
  readonly task: string;
  readonly quantised: Pick<QuantiseReport, 'weights' | 'bytes' | 'bits' | 'layers'>;
  readonly models: readonly Judged[];
}

/** Divergences are from the base as it is. `id` names the files in which the answers are kept. */
const judge = (
  { world, folder, comparison }: Place,
  { input, ownText }: ComparedTask,
  id: string,
  base: string,
  adapter: string | null,
): Task<Scores> => {
  const { backend, threads, format } = comparison.shared;
  const on = (name: string, data: string, more: Pick<TextInput, 'choices' | 'format'> = {}): Task<Report> =>
    kept(
      nodeStore(folder),
      `${id}.on-${name}.json`,
      pipe(
        TE.fromIO(() => world.terminal.write(`paca: judging ${id} on ${name}\n`)),
        TE.chain(() =>
          evaluated(world, { base, backend, threads }, { data, adapter, reference: input.base as string, ...more }),
        ),
      ),
    );
  return pipe(
    TE.Do,
    TE.bind('onTest', () => on('test', input.test as string, { choices: input.choices, format })),
    TE.bind('onText', () => on('text', ownText as string)),
  );
};

/** What a run left, as it is and merged. */
const judgeOutcome = (
  place: Place,
  task: ComparedTask,
  contestant: Contestant,
  { trial, result }: Outcome,
): Task<readonly Judged[]> => {
  const { world, folder } = place;
  const { id, seed } = trial;
  const [base, out] = [trial.task.input.base as string, join(folder, `${id}.merged`)];
  const about = {
    base: contestant.quantised ? 'nf4' : '16-bit',
    name: contestant.select === null ? methodOf(contestant) : `${methodOf(contestant)}, ${contestant.select}`,
    seed,
  } as const;
  const argv = ['merge', '--base', base, '--adapter', result.adapter, '--dtype', 'nf4'];
  return pipe(
    TE.Do,
    TE.bind('tuned', () => judge(place, task, id, base, result.adapter)),
    TE.bind('merge', () => madeOnce<Pick<QuantiseReport, 'layers'>>(world, out, argv)),
    TE.bind('merged', () => judge(place, task, `${id}.merged`, out, null)),
    TE.map(({ tuned, merge, merged }) => [
      { ...about, merged: false, scores: tuned, layers: [] },
      { ...about, merged: true, scores: merged, layers: merge.layers },
    ]),
  );
};

/** A task as its runs see it: they are judged here, so not by themselves. */
const forRuns = ({ task, ...settled }: Settled): Settled => {
  const { test: _, choices: __, ...input } = task.input;
  return { ...settled, task: { ...task, input, ownText: null } };
};

export const measureTask = (place: Place, settled: Settled): Task<Measured> => {
  const { world, comparison } = place;
  const { task } = settled;
  const untuned = (base: StudiedBase, path: string): Task<Judged> =>
    pipe(
      judge(place, task, `${task.id}.${base}`, path, null),
      TE.map((scores) => ({ base, name: 'none', merged: false, seed: null, scores, layers: [] })),
    );
  return pipe(
    TE.Do,
    TE.bind('quantised', () => quantised(world, task)),
    TE.bind('wide', () => untuned('16-bit', task.input.base as string)),
    TE.bind('nf4', () => untuned('nf4', task.quantisedBase)),
    TE.bind('tuned', () =>
      pipe(
        contestantsOf(comparison),
        TE.traverseSeqArray((contestant) =>
          pipe(
            outcomesOf(place, forRuns(settled), contestant),
            TE.chain(TE.traverseSeqArray((outcome) => judgeOutcome(place, task, contestant, outcome))),
          ),
        ),
      ),
    ),
    TE.map(({ quantised: { weights, bytes, bits, layers }, wide, nf4, tuned }) => ({
      task: task.name,
      quantised: { weights, bytes, bits, layers },
      models: [wide, nf4, ...tuned.flat(2)],
    })),
  );
};

/** A run from where it stands to its end: its events shown, logged in its folder, and drawn as a loss curve. */
import { resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Store } from '../../io/store.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { type Loop, resume, type TrainEvent, train } from '../../train/loop.ts';
import type { Problem, TrainState } from '../../train/step.ts';
import type { World } from '../command.ts';
import { progressReader } from '../show/progress-reader.ts';
import { lineChart } from '../show/svg.ts';
import { appendEvent, CURVE, type Logged, loggable, readEvents, rewindEvents } from './run-folder.ts';

/** Where a run is, and which. */
export interface RunPlace {
  readonly world: World;
  readonly store: Store;
  readonly identity: string;
}

const interrupted = (steps: number, step: number): PacaError => ({
  tag: 'Interrupted',
  expected: `${steps} steps`,
  came: `a stop after ${step}`,
  where: 'finetune',
});

/** Tells how a run is gone on with that was stopped, or that its folder failed: a full disk, for one. */
export const withHint =
  (folder: string) =>
  (e: PacaError): PacaError => {
    const hint = `the same command with --run ${folder} --resume goes on`;
    if (e.tag === 'Interrupted') return { ...e, came: `${e.came}; ${hint}` };
    const isOfFolder = e.tag === 'FileError' && e.where.startsWith(resolve(folder));
    return isOfFolder ? { ...e, came: `${e.came} (once that is mended, ${hint})` } : e;
  };

const follow =
  (
    { world, store }: RunPlace,
    events: AsyncIterable<TrainEvent<Spec>>,
    firstStep: number,
    steps: number,
  ): TE.TaskEither<PacaError, TrainState<Spec>> =>
  async () => {
    const progress = progressReader(world, firstStep);
    try {
      for await (const event of events) {
        const logged = await appendEvent(store, loggable(event));
        if (E.isLeft(logged)) return logged;
        if (event.kind === 'step') progress.step(event.step, steps, event.loss);
        if (event.kind === 'failed') return E.left(event.error);
        if (event.kind === 'interrupted') return E.left(interrupted(steps, event.step));
        if (event.kind === 'done') return E.right(event.state);
      }
      return E.left(interrupted(steps, firstStep));
    } finally {
      progress.end();
    }
  };

/** How a run is trained; `checkpointEvery`: steps from one checkpoint to the next. */
export interface Course extends Pick<Loop<Spec, unknown>, 'steps' | 'batchAt' | 'evaluation'> {
  readonly checkpointEvery: number;
}

/** The state at the end of the run, taken up at its last checkpoint, or why it ended early. */
export const trainRun = (
  place: RunPlace,
  problem: Problem<Spec, unknown>,
  { checkpointEvery, ...course }: Course,
): TE.TaskEither<PacaError, TrainState<Spec>> => {
  const { world, store, identity: run } = place;
  const { clock, signal } = world;
  return pipe(
    () => resume(problem, { store, run }),
    TE.chainFirst(
      ({ step }) =>
        () =>
          rewindEvents(store, step),
    ),
    TE.chain((state) => {
      const events = train({
        ...course,
        problem,
        state,
        clock,
        signal,
        checkpointing: { store, every: checkpointEvery, run },
      });
      return follow(place, events, state.step, course.steps);
    }),
  );
};

type Point = readonly [step: number, value: number];

/** A number of each event of a kind. */
export const pointsOf = (
  events: readonly Logged[],
  kind: string,
  value: (event: Logged) => unknown,
): readonly Point[] => events.filter((e) => e.kind === kind).map((e) => [Number(e.step), Number(value(e))]);

/** Writes the losses of training and validation as a chart. */
export const writeCurve = async (store: Store, title: string): Promise<Result<void>> => {
  const events = await readEvents(store, Number.POSITIVE_INFINITY);
  if (E.isLeft(events)) return events;
  const chart = lineChart({
    title,
    xLabel: 'step',
    yLabel: 'cross-entropy (nats)',
    series: [
      { name: 'training', points: pointsOf(events.right, 'step', (e) => e.loss) },
      {
        name: 'validation',
        points: pointsOf(events.right, 'eval', (e) => (e.metrics as { loss?: number }).loss),
        dashed: true,
      },
    ],
  });
  return store.write(CURVE, new TextEncoder().encode(chart));
};

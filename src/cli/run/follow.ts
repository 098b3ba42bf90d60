/** The events of a run read to its end: shown, logged in its folder, and drawn as a loss curve. */
import * as E from 'fp-ts/lib/Either.js';
import type * as TE from 'fp-ts/lib/TaskEither.js';
import type { Store } from '../../io/store.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import type { TrainEvent } from '../../train/loop.ts';
import type { TrainState } from '../../train/step.ts';
import type { World } from '../command.ts';
import { progressReader } from '../show/progress-reader.ts';
import { lineChart } from '../show/svg.ts';
import { appendEvent, CURVE, type Logged, loggable, readEvents } from './run-folder.ts';

/** Where a run is, and how long. */
export interface RunPlace {
  readonly world: World;
  readonly store: Store;
  readonly folder: string;
  readonly steps: number;
}

const interrupted = (steps: number, step: number): PacaError => ({
  tag: 'Interrupted',
  expected: `${steps} steps`,
  came: `a stop after ${step}`,
  where: 'finetune',
});

/** Tells how a run that was stopped is gone on with. */
export const withHint =
  (folder: string) =>
  (e: PacaError): PacaError =>
    e.tag === 'Interrupted' ? { ...e, came: `${e.came}; the same command with --run ${folder} --resume goes on` } : e;

/** The state at the end of the run, or why it ended early. */
export const follow =
  (
    { world, store, steps }: RunPlace,
    events: AsyncIterable<TrainEvent<Spec>>,
    firstStep: number,
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

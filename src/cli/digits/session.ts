/** A fine-tuning run in its folder: begun, gone on with, shown, logged, brought to its result. */
import { resolve } from 'node:path';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Store } from '../../io/store.ts';
import type { Weights } from '../../models/architecture.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import type { SelectionCost } from '../../train/select.ts';
import type { TrainState } from '../../train/step.ts';
import type { World } from '../command.ts';
import { trainRun, withHint, writeCurve } from '../run/follow.ts';
import { outcomeOf } from '../run/outcome.ts';
import { ADAPTER, readBase, writeBase } from '../run/run-folder.ts';
import { progressReader } from '../show/progress-reader.ts';
import { type Experiment, evaluateOn, finiteEvaluation, type Prepared, prepare, pretrain } from './experiment.ts';
import type { Settings } from './settings.ts';

/** Everything that the run needs, once its input was found good and its folder claimed. */
export interface Session {
  readonly world: World;
  readonly experiment: Experiment<Spec>;
  readonly settings: Settings;
  readonly store: Store;
  readonly folder: string;
  readonly identity: string;
}

/** The final event, as `--json` prints it. */
export interface RunResult {
  readonly run: string;
  readonly steps: number;
  /** On the target domain's test digits. */
  readonly loss: number;
  readonly metric: { readonly accuracy: number };
  readonly adapter: string;
  /** What choosing the columns cost; null for full fine-tuning. */
  readonly selection: SelectionCost | null;
  readonly digest: string;
}

type Task<A> = TE.TaskEither<PacaError, A>;

/** The base weights: those of the folder, else pretrained now and written there. */
const baseOf = ({ world, experiment, settings, store }: Session): Task<Weights> =>
  pipe(
    () => readBase(store),
    TE.chain((saved): Task<Weights> => {
      if (saved !== null) return TE.right(saved);
      const progress = progressReader(world);
      return pipe(
        () => pretrain(experiment, settings, progress.step, world.signal),
        TE.chainFirst((base) => () => writeBase(store, base)),
        TE.mapLeft((e) => {
          progress.end();
          return e;
        }),
        TE.chainFirstIOK(() => progress.end),
      );
    }),
  );

const trainOn = (session: Session, { problem, model, batchAt }: Prepared<Spec>): Task<TrainState<Spec>> => {
  const { experiment, settings } = session;
  const { steps, evalEvery, checkpointEvery } = settings;
  const validation = experiment.task.target.validation;
  return trainRun(session, problem, {
    ...{ steps, batchAt, checkpointEvery },
    evaluation: {
      every: evalEvery,
      run: async ({ params }) => ({ ...(await evaluateOn(experiment, model, params, validation)) }),
    },
  });
};

/** Writes adapter and loss curve, and measures on the test digits. */
const finish = (session: Session, prepared: Prepared<Spec>, state: TrainState<Spec>): Task<RunResult> => {
  const { experiment, settings, store, folder } = session;
  return pipe(
    TE.Do,
    TE.bind('worth', () => async () => {
      const on = await evaluateOn(experiment, prepared.model, state.params, experiment.task.target.test);
      return finiteEvaluation(on, 'the evaluation on the test digits');
    }),
    TE.bind('outcome', () => TE.fromTask(() => outcomeOf(prepared.problem, prepared.adapted, state.params, settings))),
    TE.chainFirst(
      ({ outcome }) =>
        () =>
          store.writeGroup(ADAPTER, outcome.files),
    ),
    TE.chainFirst(() => () => writeCurve(store, `${settings.method} on ${settings.task}: loss`)),
    TE.map(({ worth: { loss, accuracy }, outcome: { digest } }): RunResult => {
      const adapter = resolve(folder, ADAPTER);
      const selection = prepared.adapted.cost;
      return { run: folder, steps: state.step, loss, metric: { accuracy }, adapter, selection, digest };
    }),
  );
};

/** The whole run, or why it ended early; then nothing of it is lost and it can be gone on with. */
export const runSession = (session: Session): Promise<Result<RunResult>> =>
  pipe(
    TE.Do,
    TE.bind('base', () => baseOf(session)),
    TE.bind(
      'prepared',
      ({ base }) =>
        () =>
          prepare(session.experiment, base, session.settings),
    ),
    TE.bind('state', ({ prepared }) => trainOn(session, prepared)),
    TE.chain(({ prepared, state }) => finish(session, prepared, state)),
    TE.mapLeft(withHint(session.folder)),
  )();

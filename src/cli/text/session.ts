/** A language model's fine-tuning run in its folder: begun, gone on with, logged, brought to its result. */
import { resolve } from 'node:path';
import process from 'node:process';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { AnyBackend } from '../../../backends/resolve.ts';
import type { SequenceReport } from '../../data/sequences.ts';
import { loadModel } from '../../io/load-model.ts';
import type { Store } from '../../io/store.ts';
import { crossEntropy, type Loss } from '../../layers/losses.ts';
import type { Model } from '../../models/model.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { type Spec, sizeOf } from '../../spec/tensor.ts';
import { type Account, account, trainableCount } from '../../train/account.ts';
import { evaluateClassifier } from '../../train/evaluate.ts';
import type { SelectionCost } from '../../train/select.ts';
import type { Problem, TrainState } from '../../train/step.ts';
import { median } from '../bench/statistics.ts';
import type { World } from '../command.ts';
import { pointsOf, trainRun, withHint, writeCurve } from '../run/follow.ts';
import { outcomeOf } from '../run/outcome.ts';
import { problemOf } from '../run/problem.ts';
import { writeReport } from '../run/report.ts';
import { ADAPTER, readEvents } from '../run/run-folder.ts';
import { type Adaptation, adaptation } from '../run/selection.ts';
import { type Base, hostWeights } from './base.ts';
import { batcher, type TextData } from './data.ts';
import { type Answered, answers, type Judged, judge } from './judge.ts';
import type { TextSettings } from './settings.ts';

/** Everything that a run needs, once its input was found good. */
export interface Opened {
  readonly world: World;
  readonly backend: AnyBackend;
  readonly base: Base;
  readonly data: TextData;
  readonly settings: TextSettings;
  readonly store: Store;
  readonly folder: string;
}

/** A run that has claimed its folder. */
export interface TextSession extends Opened {
  readonly identity: string;
}

/** A model ready to train. */
interface Ready {
  readonly adapted: Adaptation;
  readonly problem: Problem<Spec, unknown>;
}

/** How good a model is at the test. */
export interface Worth {
  readonly judged: Judged;
  readonly samples: readonly Answered[];
}

/** The final event, as `--json` prints it. */
export interface TextResult {
  readonly run: string;
  readonly steps: number;
  /** What the training part of the data became: how many samples were cut, or left out. */
  readonly data: SequenceReport;
  /** Mean over the validation's answers; null without validation. */
  readonly loss: number | null;
  /** On the test, of the base and of the tuned model; null without a test. */
  readonly metric: { readonly before: Worth; readonly after: Worth } | null;
  readonly trainable: number;
  readonly bytes: Account;
  readonly tokensPerSecond: number;
  /** Peak resident memory of this process. */
  readonly peakBytes: number;
  readonly adapter: string;
  readonly selection: SelectionCost | null;
  readonly digest: string;
}

type Task<A> = TE.TaskEither<PacaError, A>;

const KIBIBYTE = 1024;

const lossOf = ({ kernels }: AnyBackend): Loss<Spec, unknown> => crossEntropy(kernels) as Loss<Spec, unknown>;

/** Settings that the base cannot bear. */
export const checkSettings = (s: TextSettings, { config }: Base): Result<TextSettings> => {
  if (s.maxLength > config.positions) {
    return fail('ConfigError', `a maxLength of at most ${config.positions} tokens`, String(s.maxLength), 'maxLength');
  }
  return s.warmUpSteps < s.steps
    ? E.right(s)
    : fail('ConfigError', `fewer warm-up steps than the ${s.steps} steps`, String(s.warmUpSteps), 'warmUpSteps');
};

/** Which columns train. Weights are read for it only where the selection asks for them. */
const adapt = ({ backend, base, data, settings, world }: Opened): Task<Adaptation> => {
  const needsWeights = settings.method === 'paca' && settings.select !== 'random';
  const batches = batcher(data, { ...settings, gradAccumulation: 1 });
  const calibration = Array.from({ length: settings.calibrationBatches }, (_, i) => batches(i)).flat();
  return pipe(
    () => (needsWeights ? hostWeights(base) : Promise.resolve(E.right({}))),
    TE.chain(
      (weights) => () =>
        adaptation(
          { kernels: backend.kernels, architecture: base.architecture, weights, clock: world.clock },
          settings,
          lossOf(backend),
          calibration,
        ),
    ),
  );
};

/** The base with its methods, on the backend. */
const load =
  (
    { kernels }: AnyBackend,
    { architecture, checkpoint }: Base,
    { treatmentOf }: Pick<Adaptation, 'treatmentOf'>,
    full: boolean,
  ): Task<Model<Spec>> =>
  () =>
    loadModel(kernels, architecture, checkpoint, treatmentOf, () => full);

const prepare = (session: Opened): Task<Ready> => {
  const { backend, base, settings } = session;
  return pipe(
    TE.Do,
    TE.bind('adapted', () => adapt(session)),
    TE.bind('model', ({ adapted }) => load(backend, base, adapted, settings.method === 'full')),
    TE.bind('problem', ({ adapted, model }) =>
      TE.fromEither(problemOf(backend.kernels, base.architecture, model, adapted, settings, lossOf(backend))),
    ),
  );
};

/** On the test; with fresh deltas, or B = 0, it is the base's. */
const worthOf = (
  { backend: { kernels }, base, data, settings }: TextSession,
  { problem: { model } }: Ready,
  params: TrainState<Spec>['params'],
): Task<Worth | null> => {
  if (data.test.length === 0) return TE.right(null);
  const speaker = { kernels, base, model, params };
  return pipe(
    TE.Do,
    TE.bind('judged', () => () => judge(speaker, data.test, settings.choices)),
    TE.bind('samples', () => () => answers(speaker, data.test.slice(0, settings.samples))),
  );
};

const validate = ({ backend: { kernels }, data }: TextSession, { problem }: Ready, state: TrainState<Spec>) =>
  evaluateClassifier(kernels, problem.model, state.params, problem.loss, data.validation);

const trainOn = (session: TextSession, ready: Ready): Task<TrainState<Spec>> => {
  const { settings, data } = session;
  const { steps, evalEvery, checkpointEvery } = settings;
  return trainRun(session, ready.problem, {
    ...{ steps, checkpointEvery, batchAt: batcher(data, settings) },
    ...(data.validation.length > 0 && {
      evaluation: { every: evalEvery, run: async (now) => ({ ...(await validate(session, ready, now)) }) },
    }),
  });
};

/** Tokens over time, of the steps in the middle of the field. */
const tokenRate = ({ store }: TextSession): Task<number> =>
  pipe(
    () => readEvents(store, Number.POSITIVE_INFINITY),
    TE.map((events) =>
      Math.round(
        median(pointsOf(events, 'step', (e) => (1000 * Number(e.tokens)) / Number(e.ms)).map(([, rate]) => rate)),
      ),
    ),
  );

/** The bytes of the run for its largest micro-batch, from shapes alone. */
const bytesOf = ({ data, settings }: Opened, { problem }: Ready): Account => {
  const at = batcher(data, settings);
  const sizes = Array.from({ length: Math.min(settings.steps, 50) }, (_, i) => at(i))
    .flat()
    .map(({ inputs }) => inputs);
  const largest = sizes.reduce((a, b) => (sizeOf(b.shape) > sizeOf(a.shape) ? b : a));
  return account(problem, largest);
};

/** Writes adapter, loss curve and report, and judges. */
const finish = (
  session: TextSession,
  ready: Ready,
  before: Worth | null,
  state: TrainState<Spec>,
): Task<TextResult> => {
  const { settings, store, folder, data } = session;
  return pipe(
    TE.Do,
    TE.bind('outcome', () => TE.fromTask(() => outcomeOf(ready.problem, ready.adapted, state.params, settings))),
    TE.chainFirst(
      ({ outcome }) =>
        () =>
          store.writeGroup(ADAPTER, outcome.files),
    ),
    TE.chainFirst(() => () => writeCurve(store, `${settings.method} of ${settings.base} on ${settings.data}: loss`)),
    TE.bind('loss', () =>
      data.validation.length === 0
        ? TE.right(null)
        : TE.fromTask(async () => (await validate(session, ready, state)).loss),
    ),
    TE.bind('after', () => worthOf(session, ready, state.params)),
    TE.bind('tokensPerSecond', () => tokenRate(session)),
    TE.map(
      ({ outcome: { digest }, loss, after, tokensPerSecond }): TextResult => ({
        run: folder,
        steps: state.step,
        data: data.report,
        loss,
        metric: before === null || after === null ? null : { before, after },
        trainable: trainableCount(ready.problem),
        bytes: bytesOf(session, ready),
        tokensPerSecond,
        peakBytes: process.resourceUsage().maxRSS * KIBIBYTE,
        adapter: resolve(folder, ADAPTER),
        selection: ready.adapted.cost,
        digest,
      }),
    ),
    TE.chainFirst((result) => () => writeReport(store, `${settings.method} on ${settings.data}`, settings, result)),
  );
};

/** The whole run, or why it ended early; then nothing of it is lost and it can be gone on with. */
export const runTextSession = (session: TextSession): Promise<Result<TextResult>> =>
  pipe(
    TE.Do,
    TE.bind('ready', () => prepare(session)),
    TE.bind('before', ({ ready }) => worthOf(session, ready, ready.problem.model.params)),
    TE.bind('state', ({ ready }) => trainOn(session, ready)),
    TE.chain(({ ready, before, state }) => finish(session, ready, before, state)),
    TE.mapLeft(withHint(session.folder)),
  )();

/** What a run would train and need, from shapes alone, with any columns. */
export const planTextRun = (session: Opened): Task<{ readonly trainable: number; readonly bytes: Account }> =>
  pipe(
    prepare({ ...session, settings: { ...session.settings, select: 'random' } }),
    TE.map((ready) => ({ trainable: trainableCount(ready.problem), bytes: bytesOf(session, ready) })),
  );

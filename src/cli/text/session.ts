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
import { type Account, account, measure, trainableCount } from '../../train/account.ts';
import { evaluateClassifier } from '../../train/evaluate.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import type { SelectionCost } from '../../train/select.ts';
import type { Problem, TrainState } from '../../train/step.ts';
import { median } from '../bench/statistics.ts';
import type { World } from '../command.ts';
import { pointsOf, trainRun, withHint, writeCurve } from '../run/follow.ts';
import { outcomeOf } from '../run/outcome.ts';
import { problemOf } from '../run/problem.ts';
import { writeReport } from '../run/report.ts';
import { ADAPTER, type Logged, readEvents } from '../run/run-folder.ts';
import { type Adaptation, adaptation, adaptedSites } from '../run/selection.ts';
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
  /** Mean over the validation's answers, of the base and of the tuned model; null without validation. */
  readonly lossBefore: number | null;
  readonly loss: number | null;
  /** On the test, of the base and of the tuned model; null without a test. */
  readonly metric: { readonly before: Worth; readonly after: Worth } | null;
  readonly trainable: number;
  readonly bytes: Account;
  /** What is alive between forward and backward, as counted while it is so. */
  readonly residualMeasured: number;
  readonly adapterBytes: number;
  /** The median step. */
  readonly msPerStep: number;
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

/** Settings that the base cannot bear, and names of modules that it has not. */
export const checkSettings = (s: TextSettings, { config, architecture }: Base): Result<TextSettings> => {
  if (s.maxLength > config.positions) {
    return fail('ConfigError', `a maxLength of at most ${config.positions} tokens`, String(s.maxLength), 'maxLength');
  }
  if (s.warmUpSteps >= s.steps) {
    return fail('ConfigError', `fewer warm-up steps than the ${s.steps} steps`, String(s.warmUpSteps), 'warmUpSteps');
  }
  return s.method === 'full' ? E.right(s) : E.map(() => s)(adaptedSites(architecture, s));
};

/** Which columns train. Weights are read for it only where the selection asks for them. */
const adapt = ({ backend, base, data, settings, world }: Opened): Task<Adaptation> => {
  const needsWeights = settings.method === 'paca' && settings.select !== 'random';
  const batches = batcher(data, { ...settings, gradAccumulation: 1 });
  const calibration = needsWeights
    ? Array.from({ length: settings.calibrationBatches }, (_, i) => batches(i)).flat()
    : [];
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
    { treatmentOf, trains }: Adaptation,
  ): Task<Model<Spec>> =>
  () =>
    loadModel(kernels, architecture, checkpoint, treatmentOf, trains);

const prepare = (session: Opened): Task<Ready> => {
  const { backend, base, settings } = session;
  return pipe(
    TE.Do,
    TE.bind('adapted', () => adapt(session)),
    TE.bind('model', ({ adapted }) => load(backend, base, adapted)),
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

const validate = (
  { backend: { kernels }, data }: TextSession,
  { problem }: Ready,
  { params }: Pick<TrainState<Spec>, 'params'>,
) => evaluateClassifier(kernels, problem.model, params, problem.loss, data.validation);

/** The mean loss over the validation's answers; null without validation. */
const validationLoss = (session: TextSession, ready: Ready, params: TrainState<Spec>['params']): Task<number | null> =>
  session.data.validation.length === 0
    ? TE.right(null)
    : TE.fromTask(async () => (await validate(session, ready, { params })).loss);

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

/** How fast the run was: medians over its steps. */
const speedOf = ({ store }: TextSession): Task<Pick<TextResult, 'msPerStep' | 'tokensPerSecond'>> =>
  pipe(
    () => readEvents(store, Number.POSITIVE_INFINITY),
    TE.map((events) => {
      const overSteps = (value: (event: Logged) => number): number =>
        median(pointsOf(events, 'step', value).map(([, number]) => number));
      return {
        msPerStep: overSteps((e) => Number(e.ms)),
        tokensPerSecond: Math.round(overSteps((e) => (1000 * Number(e.tokens)) / Number(e.ms))),
      };
    }),
  );

/** The largest micro-batch of the first steps. */
const largestBatch = ({ data, settings }: Opened): HostBatch => {
  const at = batcher(data, settings);
  const batches = Array.from({ length: Math.min(settings.steps, 50) }, (_, i) => at(i)).flat();
  return batches.reduce((a, b) => (sizeOf(b.inputs.shape) > sizeOf(a.inputs.shape) ? b : a));
};

/** The bytes of the run for its largest micro-batch, from shapes alone. */
const bytesOf = (session: Opened, { problem }: Ready): Account => account(problem, largestBatch(session).inputs);

/** What is known of a run before its first step. */
interface Before {
  readonly worth: Worth | null;
  readonly loss: number | null;
  /** Bytes, as measured. */
  readonly residual: number;
}

const lookBefore = (session: TextSession, ready: Ready): Task<Before> => {
  const { params } = ready.problem.model;
  const { inputs, targets, starts } = largestBatch(session);
  return pipe(
    TE.Do,
    TE.bind('worth', () => worthOf(session, ready, params)),
    TE.bind('loss', () => validationLoss(session, ready, params)),
    TE.map((known) => ({ ...known, residual: measure(ready.problem, inputs, targets, starts).residual })),
  );
};

/** Writes adapter, loss curve and report, and judges. */
const finish = (session: TextSession, ready: Ready, before: Before, state: TrainState<Spec>): Task<TextResult> => {
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
    TE.bind('loss', () => validationLoss(session, ready, state.params)),
    TE.bind('after', () => worthOf(session, ready, state.params)),
    TE.bind('speed', () => speedOf(session)),
    TE.map(
      ({ outcome: { digest, files }, loss, after, speed }): TextResult => ({
        run: folder,
        steps: state.step,
        data: data.report,
        lossBefore: before.loss,
        loss,
        metric: before.worth === null || after === null ? null : { before: before.worth, after },
        trainable: trainableCount(ready.problem),
        bytes: bytesOf(session, ready),
        residualMeasured: before.residual,
        adapterBytes: [...files.values()].reduce((sum, { length }) => sum + length, 0),
        ...speed,
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
    TE.bind('before', ({ ready }) => lookBefore(session, ready)),
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

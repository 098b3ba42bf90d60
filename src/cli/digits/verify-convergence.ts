/** A finished digits run, walked again step by step on its own backend, and measured in f64: the bound of `proofs/` along it. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type AnyBackend, resolveBackend } from '../../../backends/resolve.ts';
import { leaves, type Tree, withLeaves } from '../../core/tree.ts';
import type { Store } from '../../io/store.ts';
import { crossEntropy, type Loss } from '../../layers/losses.ts';
import type { Weights } from '../../models/architecture.ts';
import { buildModel } from '../../models/model.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { parseStrictJson } from '../../spec/strict-json.ts';
import type { Spec } from '../../spec/tensor.ts';
import { type HostTree, measureStep, type StepMeasure } from '../../train/convergence.ts';
import { toDevice } from '../../train/host-batch.ts';
import { initialState, type Objective, trainableOf, trainStep } from '../../train/step.ts';
import type { World } from '../command.ts';
import { readBase } from '../run/run-folder.ts';
import { progressReader } from '../show/progress-reader.ts';
import { loadDigits } from './data.ts';
import { architectureOf, type Prepared, prepare } from './experiment.ts';
import { runIdentity, type Settings } from './settings.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

/** The settings of a digits run, held to the identity that is written beside them. */
const readSettings = async (store: Store, folder: string, backend: AnyBackend): Promise<Result<Settings>> => {
  const bytes = await store.read('config.json');
  if (E.isLeft(bytes)) return bytes;
  const parsed = parseStrictJson(new TextDecoder().decode(bytes.right), 'config.json');
  if (E.isLeft(parsed)) return parsed;
  const { run, settings } = (parsed.right ?? {}) as { readonly run?: unknown; readonly settings?: Settings };
  if (settings?.task !== 'digits') return fail('FileError', 'a run of a digits model', 'another one', folder);
  return run === (await runIdentity(settings, backend))
    ? E.right(settings)
    : fail('FileError', 'the settings that the run began with, and a backend of its bits', 'others', folder);
};

const savedBase = (store: Store, folder: string): Task<Weights> =>
  pipe(
    () => readBase(store),
    TE.chainEitherK((base) =>
      base === null ? fail('FileError', "the run's base weights", 'none', folder) : E.right(base),
    ),
  );

const hostTree = async (prepared: Prepared<Spec>, params: Tree<Spec>): Promise<HostTree> => {
  const { problem } = prepared;
  const trained = trainableOf(problem, params);
  return withLeaves(trained, await Promise.all(leaves(trained).map(problem.kernels.toHost)));
};

/** The same loss in f64. */
const oracleOf = async (
  base: Weights,
  { adapted }: Prepared<Spec>,
  s: Settings,
): Promise<Result<Objective<Spec, unknown>>> =>
  pipe(
    await resolveBackend('reference-f64'),
    E.chain(({ kernels }) =>
      pipe(
        buildModel(kernels, architectureOf(s), base, adapted.treatmentOf),
        E.map((model) => ({ kernels, model, loss: crossEntropy(kernels) as Loss<Spec, unknown>, seed: s.seed })),
      ),
    ),
  );

const walk = async (
  world: World,
  prepared: Prepared<Spec>,
  oracle: Objective<Spec, unknown>,
  steps: number,
): Promise<Result<readonly StepMeasure[]>> => {
  const { problem, batchAt } = prepared;
  const { kernels: k } = problem;
  const measured: StepMeasure[] = [];
  const progress = progressReader(world);
  let state = initialState(problem);
  let before = await hostTree(prepared, state.params);
  while (state.step < steps && !world.signal.aborted) {
    const { step } = state;
    const batch = batchAt(step);
    state = k.scope(
      () =>
        trainStep(
          problem,
          state,
          batch.map((b) => toDevice(k, b)),
          { donate: true },
        )[0],
    );
    const after = await hostTree(prepared, state.params);
    const m = await measureStep(oracle, step, batch, before, after);
    measured.push(m);
    progress.step(state.step, steps, m.loss);
    before = after;
  }
  progress.end();
  return state.step < steps
    ? E.left({
        tag: 'Interrupted',
        expected: `${steps} steps`,
        came: `a stop after ${state.step}`,
        where: 'verify-convergence',
      })
    : E.right(measured);
};

export interface Measured {
  readonly measures: readonly StepMeasure[];
  /** Whether the model has points without a gradient: ReLU, max-pooling. */
  readonly kinks: boolean;
}

/** Every step of the run, or its first `limit` ones. */
export const measureRun = (
  world: World,
  backend: AnyBackend,
  store: Store,
  folder: string,
  limit: number,
): Task<Measured> =>
  pipe(
    TE.Do,
    TE.bind('settings', () => () => readSettings(store, folder, backend)),
    TE.bind('base', () => savedBase(store, folder)),
    TE.bind(
      'task',
      ({ settings }) =>
        () =>
          loadDigits(settings),
    ),
    TE.bind('prepared', ({ settings, base, task }) => () => {
      const experiment = { kernels: backend.kernels, architecture: architectureOf(settings), task, clock: world.clock };
      return prepare(experiment, base, settings);
    }),
    TE.bind(
      'oracle',
      ({ base, prepared, settings }) =>
        () =>
          oracleOf(base, prepared, settings),
    ),
    TE.chain(({ prepared, oracle, settings }) =>
      pipe(
        () => walk(world, prepared, oracle, Math.min(limit, settings.steps)),
        TE.map((measures) => ({ measures, kinks: settings.model !== 'tanh' })),
      ),
    ),
  );

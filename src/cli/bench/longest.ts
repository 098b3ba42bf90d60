/**
 * The longest sequence that a method can train in so much memory: found by running it, beside what `paca plan` predicts. The
 * memory is that of the engine: tensors, what lies between them, and the packing space of the kernels.
 */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { AnyBackend } from '../../../backends/resolve.ts';
import type { TrainingMethod } from '../../methods/adapt.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import { longestSequence, planner } from '../../train/plan.ts';
import { initialState, trainStep } from '../../train/step.ts';
import { type BackendChoice, closing, openBackend } from '../backend.ts';
import { llamaConfig, llamaProblem } from './problems.ts';

export interface LongestSettings extends BackendChoice {
  readonly methods: readonly TrainingMethod[];
  readonly rank: number;
  /** Bytes. */
  readonly memory: number;
}

export interface Longest {
  readonly method: TrainingMethod;
  /** Tokens of one sequence. */
  readonly planned: number;
  readonly measured: number;
}

export interface LongestReport extends Pick<LongestSettings, 'memory' | 'rank'> {
  readonly results: readonly Longest[];
}

type Task<A> = TE.TaskEither<PacaError, A>;

/** What is measured is right to a sequence of so many tokens. */
const RESOLUTION = 8;
const MOST = 1 << 20;

/** Two steps: the second begins with the state that the first left. */
const trains = ({ kernels: k }: AnyBackend, method: TrainingMethod, rank: number, tokens: number): boolean => {
  try {
    const { problem, batch } = llamaProblem(k, { method, rank, dtype: 'f32' }, { batchSize: 1, tokens });
    let state = initialState(problem, { donate: true });
    for (let step = 0; step < 2; step++) {
      state = k.scope(() => trainStep(problem, state, [batch], { donate: true })[0]);
    }
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'BackendError') return false; // the memory is full
    throw error;
  }
};

const fits =
  ({ memory, rank, ...choice }: LongestSettings, method: TrainingMethod) =>
  (tokens: number): Task<boolean> =>
    pipe(
      () => openBackend(choice, memory),
      TE.chainTaskK((backend) => () => closing(backend, () => trains(backend, method, rank, tokens))),
    );

/** The last number of `below` … `above` that holds, where all hold up to some number; `below` if none does. */
const last = (holds: (n: number) => Task<boolean>, below: number, above: number): Task<number> => {
  if (above - below <= RESOLUTION) return TE.right(below);
  const middle = RESOLUTION * Math.round((below + above) / 2 / RESOLUTION);
  return pipe(
    holds(middle),
    TE.chain((held) => (held ? last(holds, middle, above) : last(holds, below, middle))),
  );
};

const longestOf = (settings: LongestSettings, method: TrainingMethod): Task<Longest> => {
  const { rank, memory } = settings;
  const all = { targetModules: 'all-linear', excludeModules: [] };
  return pipe(
    TE.fromEither(
      planner({ config: llamaConfig, dtype: 'f32', rank, batch: 1, recompute: false, dropBackward: 0, ...all })(method),
    ),
    TE.map((plan) => longestSequence(plan, MOST, memory)),
    TE.bindTo('planned'),
    TE.bind('measured', ({ planned }) => last(fits(settings, method), 0, 2 * Math.max(planned, RESOLUTION))),
    TE.map(({ planned, measured }) => ({ method, planned, measured })),
  );
};

export const measureLongest = (settings: LongestSettings): Promise<Result<LongestReport>> =>
  pipe(
    settings.methods,
    TE.traverseSeqArray((method) => longestOf(settings, method)),
    TE.map((results) => ({ memory: settings.memory, rank: settings.rank, results })),
  )();

/**
 * Training as an async stream of typed events. The progress bar, the log file and a page are readers of it.
 *
 * The stream can be stopped through a signal and begun again from a checkpoint.
 * Law: the resumed run is the uninterrupted one, bit for bit, because a step depends on (state, step number) alone.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../core/fused.ts';
import { leafPaths, type Tree, theSlot } from '../core/tree.ts';
import type { Store } from '../io/store.ts';
import { evaluate } from '../models/architecture.ts';
import type { PacaError, Result } from '../spec/errors.ts';
import { inputSlot, type Spec, sizeOf } from '../spec/tensor.ts';
import { breathe, LONGEST_BREATH } from './breathe.ts';
import { decodeCheckpoint, encodeCheckpoint } from './checkpoint.ts';
import { checkTargets, type HostBatch, toDevice } from './host-batch.ts';
import { initialState, type Problem, type TrainState, trainableOf, trainStep } from './step.ts';

export type TrainEvent<T> =
  | {
      readonly kind: 'step';
      /** Steps done, this one among them. */
      readonly step: number;
      readonly loss: number;
      /** ‖g‖₂ over what trains, before clipping. */
      readonly gradientNorm: number;
      /** ‖Δθ‖₂/‖θ‖₂ over what trains. */
      readonly updateRatio: number;
      /** Tokens of the step, or examples where the inputs are no tokens. */
      readonly tokens: number;
      readonly ms: number;
      /** Most bytes of tensors alive during the step. */
      readonly peakBytes: number;
    }
  | { readonly kind: 'eval'; readonly step: number; readonly metrics: Readonly<Record<string, number>> }
  | { readonly kind: 'checkpoint'; readonly step: number; readonly name: string }
  | { readonly kind: 'interrupted'; readonly step: number; readonly state: TrainState<T> }
  | { readonly kind: 'failed'; readonly step: number; readonly error: PacaError }
  | { readonly kind: 'done'; readonly step: number; readonly state: TrainState<T> };

/** The group of the store that holds the checkpoint: always the newest whole one. */
export const CHECKPOINT = 'checkpoint';

export interface Checkpointing {
  readonly store: Store;
  /** Steps from one to the next; one more is written at the end, and when interrupted. */
  readonly every: number;
  /** Identifies the run. */
  readonly run: string;
}

export interface Loop<T extends Spec, R> {
  readonly problem: Problem<T, R>;
  /** Where to begin: {@link initialState} or {@link resume}. Its trained part is donated to the first step. */
  readonly state: TrainState<T>;
  /** Steps of the whole run. */
  readonly steps: number;
  /** The micro-batches of a step: a pure function of its number. */
  readonly batchAt: (step: number) => readonly HostBatch[];
  /** Milliseconds, from any start. */
  readonly clock: () => number;
  readonly evaluation?: {
    readonly every: number;
    readonly run: (state: TrainState<T>) => Promise<Readonly<Record<string, number>>>;
  };
  readonly checkpointing?: Checkpointing;
  readonly signal?: AbortSignal;
}

type StepEvent<T> = Extract<TrainEvent<T>, { kind: 'step' }>;

/** A step that was done; `fault` says which gradients are not finite, null if all is well. */
interface Stepped<T> {
  readonly next: TrainState<T>;
  readonly event: StepEvent<T>;
  readonly fault: string | null;
}

const runStep = async <T extends Spec, R>(
  { problem, clock }: Loop<T, R>,
  state: TrainState<T>,
  batches: readonly HostBatch[],
): Promise<Stepped<T>> => {
  const { kernels: k } = problem;
  const start = clock();
  k.resetPeak();
  const [next, metrics] = k.scope(() => {
    const batch = batches.map((b) => toDevice(k, b));
    return trainStep(problem, state, batch, { donate: true });
  });
  const numberOf = async (scalar: T): Promise<number> => Number((await k.toHost(scalar)).data[0]);
  const loss = await numberOf(metrics.loss);
  const gradientNorm = await numberOf(metrics.gradientNorm);
  const updateRatio = await numberOf(metrics.updateRatio);
  const isSound = Number.isFinite(loss) && Number.isFinite(gradientNorm);
  const fault = isSound ? null : await faultIn(k, metrics.gradientSquares);
  k.donate(metrics);
  const tokens = batches.reduce((sum, { inputs }) => sum + tokensOf(inputs), 0);
  const ms = clock() - start;
  const { peak: peakBytes } = k.memory();
  const event = { step: next.step, loss, gradientNorm, updateRatio, tokens, ms, peakBytes };
  return { next, event: { kind: 'step', ...event }, fault };
};

const tokensOf = ({ dtype, shape }: Spec): number => (dtype === 'i32' ? sizeOf(shape) : (shape[0] ?? 0));

const save = async <T extends Spec, R>(
  { problem, checkpointing }: Loop<T, R>,
  state: TrainState<T>,
): Promise<Result<TrainEvent<T> | null>> => {
  if (checkpointing === undefined) return E.right(null);
  const { store, run } = checkpointing;
  const written = await store.writeGroup(CHECKPOINT, await encodeCheckpoint(problem, state, run));
  return E.isLeft(written) ? written : E.right({ kind: 'checkpoint', step: state.step, name: CHECKPOINT });
};

/** The last axis of the model's output for such a batch; what is wrong with the batch, if it does not take it. */
const classesOf = <T extends Spec, R>({ kernels: k, model }: Problem<T, R>, { inputs }: HostBatch): Result<number> => {
  const dtype = inputs.dtype === 'f32' || inputs.dtype === 'f64' ? k.float : inputs.dtype;
  return pipe(
    model.layer(evaluate).output(inputSlot('x', { dtype, shape: inputs.shape })),
    E.map((y) => theSlot(y).shape.at(-1) ?? 1),
  );
};

/** The step's batches, if the model takes them and their targets are what a loss can count. */
const checkedBatch = <T extends Spec, R>(
  { problem, batchAt }: Loop<T, R>,
  step: number,
): Result<readonly HostBatch[]> =>
  pipe(
    batchAt(step),
    E.traverseArray((batch) =>
      pipe(
        classesOf(problem, batch),
        E.chain((classes) => checkTargets(batch, classes, `the targets of step ${step + 1}`)),
        E.map(() => batch),
      ),
    ),
  );

/** The trained tensors whose gradient is not finite, as a phrase; the backward pass met the last one first. */
const faultIn = async <T extends Spec>(k: Kernels<T>, squares: Tree<T>): Promise<string> => {
  const faulty: string[] = [];
  for (const [path, square] of leafPaths(squares)) {
    if (!Number.isFinite(Number((await k.toHost(square)).data[0]))) faulty.push(path);
  }
  const last = faulty.at(-1);
  if (last === undefined) return '';
  return `; the gradient of ${last} is not finite${faulty.length > 1 ? `, nor those of ${faulty.length - 1} before it` : ''}`;
};

const nonFinite = <T>({ step, loss, gradientNorm }: StepEvent<T>, fault: string): PacaError => ({
  tag: 'NonFiniteError',
  expected: 'a finite loss and gradient',
  came: `loss ${loss}, gradient norm ${gradientNorm}${fault}`,
  where: `step ${step}`,
});

const isDue = (step: number, every: number, steps: number): boolean => step % every === 0 || step === steps;

/** The events of a run, in order; the last one is `done`, `interrupted` or `failed`. */
export async function* train<T extends Spec, R>(loop: Loop<T, R>): AsyncGenerator<TrainEvent<T>, void> {
  const { steps, evaluation, checkpointing, signal, clock } = loop;
  let { state } = loop;
  let breathed = clock();
  while (state.step < steps) {
    if (clock() - breathed >= LONGEST_BREATH) {
      await breathe();
      breathed = clock();
    }
    if (signal?.aborted) {
      const saved = await save(loop, state);
      if (E.isLeft(saved)) {
        yield { kind: 'failed', step: state.step, error: saved.left };
        return;
      }
      if (saved.right !== null) yield saved.right;
      yield { kind: 'interrupted', step: state.step, state };
      return;
    }
    const batches = checkedBatch(loop, state.step);
    if (E.isLeft(batches)) {
      yield { kind: 'failed', step: state.step, error: batches.left };
      return;
    }
    const { next, event, fault } = await runStep(loop, state, batches.right);
    state = next;
    yield event;
    if (fault !== null) {
      yield { kind: 'failed', step: state.step, error: nonFinite(event, fault) };
      return;
    }
    if (evaluation && isDue(state.step, evaluation.every, steps)) {
      yield { kind: 'eval', step: state.step, metrics: await evaluation.run(state) };
    }
    if (checkpointing && isDue(state.step, checkpointing.every, steps)) {
      const saved = await save(loop, state);
      if (E.isLeft(saved)) {
        yield { kind: 'failed', step: state.step, error: saved.left };
        return;
      }
      if (saved.right !== null) yield saved.right;
    }
  }
  yield { kind: 'done', step: state.step, state };
}

/** Where an earlier run of the same identity stopped, or its beginning if it left no checkpoint. */
export const resume = async <T extends Spec, R>(
  problem: Problem<T, R>,
  { store, run }: Pick<Checkpointing, 'store' | 'run'>,
): Promise<Result<TrainState<T>>> => {
  const initial = initialState(problem);
  const groups = await store.listGroups();
  if (E.isLeft(groups)) return groups;
  if (!groups.right.includes(CHECKPOINT)) return E.right(initial);
  const files = await store.readGroup(CHECKPOINT);
  if (E.isLeft(files)) return files;
  const state = await decodeCheckpoint(problem, initial, files.right, run, CHECKPOINT);
  if (E.isRight(state)) problem.kernels.donate([trainableOf(problem, initial.params), initial.optimizer.tensors]);
  return state;
};

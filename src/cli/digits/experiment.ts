/**
 * What `finetune` and `compare` do: pretrain a base on upright digits, choose columns, adapt the base, train it on the
 * shifted ones. Everything here is a function of the settings; the caller reads the events.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Kernels } from '../../core/fused.ts';
import { rngFromSeed, splitRng } from '../../core/rng.ts';
import { leafPaths, type Tree } from '../../core/tree.ts';
import { batchIndices, inOrder } from '../../data/batches.ts';
import type { DigitsTask, Domain } from '../../data/digits.ts';
import type { Examples } from '../../data/examples.ts';
import { crossEntropy, type Loss } from '../../layers/losses.ts';
import { type Architecture, initialWeights, type Weights } from '../../models/architecture.ts';
import { cnn } from '../../models/cnn.ts';
import { mlp } from '../../models/mlp.ts';
import { buildModel, type Model } from '../../models/model.ts';
import { adamw } from '../../optim/adamw.ts';
import { fail, type Result } from '../../spec/errors.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import { type Account, account } from '../../train/account.ts';
import { type Evaluation, evaluateClassifier } from '../../train/evaluate.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import { train } from '../../train/loop.ts';
import { initialState, type Problem, type TrainState, trainableOf } from '../../train/step.ts';
import { scheduleOf } from '../run/optimizer.ts';
import { problemOf } from '../run/problem.ts';
import { type Adaptation, adaptation, type Places } from '../run/selection.ts';
import { digitsBatch } from './data.ts';
import type { Settings } from './settings.ts';

/** A backend, a model's architecture and the data, for any method. */
export interface Experiment<T extends Spec> {
  readonly kernels: Kernels<T>;
  readonly architecture: Architecture;
  readonly task: DigitsTask;
  readonly clock: () => number;
}

/** A run that is ready to start. */
export interface Prepared<T extends Spec> {
  readonly problem: Problem<T, unknown>;
  readonly model: Model<T>;
  readonly adapted: Adaptation;
  readonly batchAt: (step: number) => readonly HostBatch[];
}

const EVALUATION_BATCH = 250;

export const architectureOf = ({ model, dropout }: Settings): Architecture =>
  model === 'cnn'
    ? cnn({ size: 14, channels: [8, 16], classes: 10 })
    : mlp({ widths: [196, 128, 64, 10], activation: model === 'tanh' ? 'tanh' : 'relu', dropout });

const lossOf = <T extends Spec>(k: Kernels<T>): Loss<T, unknown> => crossEntropy(k) as Loss<T, unknown>;

/** The micro-batches of a step: the step's examples, cut into `gradAccumulation` parts. */
const batcher =
  (examples: Examples, { batchSize, gradAccumulation, dataSeed }: Settings, input: readonly number[]) =>
  (step: number): readonly HostBatch[] => {
    const plan = { examples: examples.count, batchSize: batchSize * gradAccumulation, seed: dataSeed, dropLast: false };
    const indices = batchIndices(plan, step);
    return Array.from({ length: Math.ceil(indices.length / batchSize) }, (_, i) =>
      digitsBatch(examples, indices.subarray(i * batchSize, (i + 1) * batchSize), input),
    );
  };

/** Loss and accuracy on a set. */
export const evaluateOn = <T extends Spec>(
  { kernels, architecture }: Experiment<T>,
  model: Model<T>,
  params: Tree<T>,
  examples: Examples,
): Promise<Evaluation> =>
  evaluateClassifier(
    kernels,
    model,
    params,
    lossOf(kernels),
    inOrder(examples.count, EVALUATION_BATCH).map((indices) => digitsBatch(examples, indices, architecture.input)),
  );

/** Refuses a loss that is no number: the last step may have broken the weights, and its own loss was taken before. */
export const finiteEvaluation = (e: Evaluation, where: string): Result<Evaluation> =>
  Number.isFinite(e.loss) ? E.right(e) : fail('NonFiniteError', 'a finite loss', String(e.loss), where);

/** The base: the architecture trained in full on the source domain. `onStep` is told each step's loss. */
export const pretrain = async <T extends Spec>(
  e: Experiment<T>,
  settings: Settings,
  onStep: (step: number, total: number, loss: number) => void,
  signal: AbortSignal,
): Promise<Result<Weights>> => {
  const { kernels: k, architecture, clock } = e;
  const steps = settings.pretrainSteps;
  const rng = splitRng(rngFromSeed(settings.seed), 'initial weights');
  const built = buildModel(k, architecture, initialWeights(architecture, rng), () => ({ method: 'full' }));
  if (E.isLeft(built)) return built;
  const plan: Settings = { ...settings, steps, gradAccumulation: 1, warmUpSteps: Math.min(10, steps - 1) };
  const problem: Problem<T, unknown> = {
    kernels: k,
    model: built.right,
    loss: lossOf(k),
    optimizer: adamw(k, { learningRate: scheduleOf({ ...plan, schedule: 'cosine', learningRate: 0.003 }) }),
    seed: settings.seed,
  };
  const batchAt = batcher(e.task.source.train, plan, architecture.input);
  for await (const event of train({ problem, state: initialState(problem), steps, batchAt, clock, signal })) {
    if (event.kind === 'step') onStep(event.step, steps, event.loss);
    if (event.kind === 'failed') return E.left(event.error);
    if (event.kind === 'done') {
      const weights = await hostWeights(k, event.state.params);
      release(problem, event.state);
      return E.right(weights);
    }
  }
  return E.left({ tag: 'Interrupted', expected: `${steps} steps`, came: 'a stop', where: 'pretraining' });
};

/** Gives up what a run held on the backend: its last state, and the trained parameters that it began from. */
export const release = <T extends Spec>(problem: Problem<T, unknown>, { params, optimizer }: TrainState<T>): void =>
  problem.kernels.donate([params, optimizer.tensors, trainableOf(problem, problem.model.params)]);

/** Parameters of a fully trained model by their names. */
const hostWeights = async <T extends Spec>(k: Kernels<T>, params: Tree<T>): Promise<Weights> => {
  const weights: Record<string, HostTensor> = {};
  for (const [path, leaf] of leafPaths(params)) weights[path] = await k.toHost(leaf);
  return weights;
};

/** Model, loss and optimizer of a method, over a base. */
const assemble = <T extends Spec>(
  { kernels: k, architecture }: Places<T>,
  base: Weights,
  adapted: Adaptation,
  s: Settings,
): Result<Problem<T, unknown>> =>
  pipe(
    buildModel(k, architecture, base, adapted.treatmentOf),
    E.chain((model) => problemOf(k, architecture, model, adapted, s, lossOf(k))),
  );

/** Chooses the columns and puts model and optimizer together. */
export const prepare = async <T extends Spec>(
  e: Experiment<T>,
  base: Weights,
  s: Settings,
): Promise<Result<Prepared<T>>> => {
  const calibration = batcher(e.task.target.train, { ...s, gradAccumulation: 1 }, e.architecture.input);
  const batches = Array.from({ length: s.calibrationBatches }, (_, i) => calibration(i)).flat();
  const places = { ...e, weights: base };
  const adapted = await adaptation(places, s, lossOf(e.kernels), batches);
  if (E.isLeft(adapted)) return adapted;
  return pipe(
    assemble(places, base, adapted.right, s),
    E.map((problem) => ({
      problem,
      model: problem.model,
      adapted: adapted.right,
      batchAt: batcher(e.task.target.train, s, e.architecture.input),
    })),
  );
};

/**
 * The bytes of a run, from shapes alone, on freshly drawn weights with any r columns. Finds whatever is wrong with the
 * settings before anything is trained or written.
 */
export const plan = async <T extends Spec>(k: Kernels<T>, s: Settings): Promise<Result<Account>> => {
  if (s.warmUpSteps >= s.steps) {
    return fail('ConfigError', `fewer warm-up steps than the ${s.steps} steps`, String(s.warmUpSteps), 'warmUpSteps');
  }
  const architecture = architectureOf(s);
  const weights = initialWeights(architecture, rngFromSeed(s.seed));
  const places = { kernels: k, architecture, weights, clock: () => 0 };
  const adapted = await adaptation(places, { ...s, select: 'random' }, lossOf(k), []);
  if (E.isLeft(adapted)) return adapted;
  return k.scope(() =>
    pipe(
      assemble(places, weights, adapted.right, s),
      E.map((problem) => account(problem, { dtype: k.float, shape: [s.batchSize, ...architecture.input] })),
    ),
  );
};

/** Accuracy of an untouched base on both domains' test digits. */
export const evaluateBase = async <T extends Spec>(
  e: Experiment<T>,
  base: Weights,
): Promise<Result<{ readonly source: Evaluation; readonly target: Evaluation }>> => {
  const model = buildModel(e.kernels, e.architecture, base, () => ({ method: 'frozen' }));
  if (E.isLeft(model)) return model;
  const { params } = model.right;
  const on = ({ test }: Domain): Promise<Evaluation> => evaluateOn(e, model.right, params, test);
  const result = { source: await on(e.task.source), target: await on(e.task.target) };
  e.kernels.donate(params);
  return E.right(result);
};

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
import type { Treatment } from '../../methods/adapt.ts';
import { decayTarget } from '../../methods/decay.ts';
import type { Site } from '../../methods/operation.ts';
import { matchTargets } from '../../methods/targets.ts';
import { type Architecture, initialWeights, sitesOf, type Weights } from '../../models/architecture.ts';
import { cnn } from '../../models/cnn.ts';
import { mlp } from '../../models/mlp.ts';
import { buildModel, type Model } from '../../models/model.ts';
import { adamw } from '../../optim/adamw.ts';
import { clipByGlobalNorm } from '../../optim/clip.ts';
import { constant, cosine, linear, type Schedule, warmUp } from '../../optim/schedule.ts';
import { momentum, sgd } from '../../optim/sgd.ts';
import { chain, type Transform } from '../../optim/transform.ts';
import { findSelector, selectors } from '../../select/selector.ts';
import { fail, type Result } from '../../spec/errors.ts';
import type { HostTensor, Spec } from '../../spec/tensor.ts';
import { type Account, account } from '../../train/account.ts';
import { type Evaluation, evaluateClassifier } from '../../train/evaluate.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import { train } from '../../train/loop.ts';
import { type Selected, selectColumns } from '../../train/select.ts';
import { initialState, type Problem, type TrainState, trainableOf } from '../../train/step.ts';
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
  /** The columns that PaCA trains, by module path, and what choosing them cost; null for full fine-tuning. */
  readonly selected: Selected | null;
  readonly batchAt: (step: number) => readonly HostBatch[];
}

const EVALUATION_BATCH = 250;

export const architectureOf = ({ model, dropout }: Settings): Architecture =>
  model === 'cnn'
    ? cnn({ size: 14, channels: [8, 16], classes: 10 })
    : mlp({ widths: [196, 128, 64, 10], activation: 'relu', dropout });

const lossOf = <T extends Spec>(k: Kernels<T>): Loss<T, unknown> => crossEntropy(k) as Loss<T, unknown>;

const scheduleOf = ({ schedule, learningRate, warmUpSteps, steps }: Settings): Schedule => {
  const after = steps - warmUpSteps;
  const decaying = {
    constant: constant(learningRate),
    linear: linear(learningRate, 0, after),
    cosine: cosine(learningRate, 0, after),
  };
  return warmUpSteps > 0 ? warmUp(warmUpSteps, decaying[schedule]) : decaying[schedule];
};

const optimizerOf = <T extends Spec>(k: Kernels<T>, s: Settings, target: Tree<T> | null): Transform<T> => {
  const learningRate = scheduleOf(s);
  const { decay } = s;
  const optimizers: { readonly [O in Settings['optimizer']]: () => Transform<T> } = {
    adamw: () => adamw(k, { learningRate, decay, decayTarget: target }),
    sgd: () => sgd(k, { learningRate, decay, decayTarget: target }),
    momentum: () => momentum(k, { learningRate, decay, decayTarget: target, momentum: s.momentum }),
  };
  const optimizer = optimizers[s.optimizer]();
  return s.clip === null ? optimizer : chain(clipByGlobalNorm(k, s.clip), optimizer);
};

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

const treatments =
  (selected: Selected | null, { alpha }: Settings) =>
  (site: Site): Treatment => {
    if (selected === null) return { method: 'full' };
    const indices = selected.indices[site.path];
    return indices === undefined ? { method: 'frozen' } : { method: 'paca', adapters: [{ indices, alpha }] };
  };

/** The columns of the places that the settings name, or null for full fine-tuning. */
const select = async <T extends Spec>(
  { kernels: k, architecture, clock }: Omit<Experiment<T>, 'task'>,
  base: Weights,
  s: Settings,
  batches: readonly HostBatch[],
): Promise<Result<Selected | null>> => {
  if (s.method === 'full') return E.right(null);
  const sites = sitesOf(architecture);
  const found = pipe(
    E.Do,
    E.bind('selector', () => findSelector(selectors, s.select)),
    E.bind('paths', () =>
      matchTargets(
        s,
        sites.map(({ path }) => path),
        architecture.head,
      ),
    ),
  );
  if (E.isLeft(found)) return found;
  const { selector, paths } = found.right;
  return selectColumns({
    kernels: k,
    architecture,
    weights: base,
    sites: sites.filter(({ path }) => paths.includes(path)),
    selector,
    rank: s.rank,
    seed: s.selectSeed,
    loss: lossOf(k),
    batches,
    clock,
  });
};

/** Model, loss and optimizer of a method, over a base. */
const assemble = <T extends Spec>(
  k: Kernels<T>,
  base: Weights,
  selected: Selected | null,
  s: Settings,
): Result<Problem<T, unknown>> => {
  const architecture = architectureOf(s);
  const treatmentOf = treatments(selected, s);
  return pipe(
    E.Do,
    E.bind('model', () => buildModel(k, architecture, base, treatmentOf)),
    E.bind('target', ({ model }) =>
      s.decay > 0 ? decayTarget(k, s.decayTowards, sitesOf(architecture), treatmentOf, model.params) : E.right(null),
    ),
    E.map(({ model, target }) => ({
      kernels: k,
      model,
      loss: lossOf(k),
      optimizer: optimizerOf(k, s, target),
      seed: s.seed,
    })),
  );
};

/** Chooses the columns and puts model and optimizer together. */
export const prepare = async <T extends Spec>(
  e: Experiment<T>,
  base: Weights,
  s: Settings,
): Promise<Result<Prepared<T>>> => {
  const calibration = batcher(e.task.target.train, { ...s, gradAccumulation: 1 }, e.architecture.input);
  const batches = Array.from({ length: s.calibrationBatches }, (_, i) => calibration(i)).flat();
  const selected = await select(e, base, s, batches);
  if (E.isLeft(selected)) return selected;
  return pipe(
    assemble(e.kernels, base, selected.right, s),
    E.map((problem) => ({
      problem,
      model: problem.model,
      selected: selected.right,
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
  const e = { kernels: k, architecture, clock: () => 0 };
  const selected = await select(e, weights, { ...s, select: 'random' }, []);
  if (E.isLeft(selected)) return selected;
  return k.scope(() =>
    pipe(
      assemble(k, weights, selected.right, s),
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

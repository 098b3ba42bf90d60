/**
 * What fine-tuning a model of the LLaMA family will need, from its config alone: the bytes that {@link account} gives for
 * the model itself, built on specs, and an estimate of what a step takes beside them.
 *
 * Law: all but `workspace` are the bytes of the model with its weights.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { specKernels as k } from '../core/spec-ops.ts';
import { leaves, type SlotTree } from '../core/tree.ts';
import { crossEntropy, type Loss } from '../layers/losses.ts';
import type { TrainingMethod, Treatment } from '../methods/adapt.ts';
import type { Site } from '../methods/operation.ts';
import { matchTargets, type Targets } from '../methods/targets.ts';
import {
  type Architecture,
  type LeafStep,
  leafSteps,
  nameOf,
  type Step,
  sitesOf,
  tensorsOf,
  type Weights,
} from '../models/architecture.ts';
import type { LlamaConfig } from '../models/llama/config.ts';
import { llama } from '../models/llama/llama.ts';
import { assembleModel, buildLeaf } from '../models/model.ts';
import { besides, savedPlaces, trainsAt } from '../models/saved-places.ts';
import { adamw } from '../optim/adamw.ts';
import { type DType, hostArray } from '../spec/dtype.ts';
import type { Result } from '../spec/errors.ts';
import { isNf4 } from '../spec/nf4.ts';
import { bytesOf, type HostTensor, type Shape, type Spec } from '../spec/tensor.ts';
import { type Account, account, residualBytes, residualOf } from './account.ts';
import type { Problem } from './step.ts';

export interface PlanSettings extends Targets {
  readonly config: LlamaConfig;
  /** The type in which frozen weights are stored: NF4 the linear maps but the head, bf16 the others then. */
  readonly dtype: DType;
  readonly rank: number;
  /** Sequences of a micro-batch. */
  readonly batch: number;
  readonly recompute: boolean;
  /** The share of branches that each backward pass leaves out. */
  readonly dropBackward: number;
  /** Modules that train in full beside an adapter. Default none. */
  readonly modulesToSave?: readonly string[];
}

/** What is kept for the backward pass, by what keeps it; a buffer of several counts for the first. */
export type ByOp = Readonly<
  Record<'attention' | 'norms' | 'linears' | 'swiglu' | 'embedding' | 'blocks' | 'loss', number>
>;

export interface PlannedBytes extends Account {
  /** An estimate: see `workspaceOf`. */
  readonly workspace: number;
  /** Weights, gradients, optimizer, residual and workspace. */
  readonly total: number;
}

/** A model and a method, for micro-batches of any length. */
export interface Plan {
  readonly bytesAt: (sequence: number) => PlannedBytes;
  /** The parts of `residual`. `blocks`: the inputs of blocks that are computed again. */
  readonly byOpAt: (sequence: number) => ByOp;
}

type PlannedProblem = Problem<Spec, unknown>;

/** Backward passes that are looked at where each leaves out other branches, which need not keep the same. */
const DRAWS = 16;

// The model on specs

/** A tensor that is never looked into. */
const hollow = (dtype: DType, shape: Shape): HostTensor => ({ dtype, shape, data: hostArray(dtype, 0) }) as HostTensor;

/** What trains where: of the sites, and of the other places that have weights. */
interface Trained {
  readonly treatmentOf: (site: Site) => Treatment;
  readonly trains: (path: string) => boolean;
}

const trainedOf = (architecture: Architecture, s: PlanSettings, method: TrainingMethod): Result<Trained> => {
  if (method === 'full') return E.right({ treatmentOf: () => ({ method }), trains: () => true });
  const { rank } = s;
  const adapted = ({ operation: { config } }: Site): Treatment => {
    if (method === 'paca') {
      return { method, adapters: [{ indices: Int32Array.from({ length: rank }, (_, i) => i), alpha: rank }] };
    }
    const common = { a: hollow('f32', [rank, config.in]), b: hollow('f32', [config.out, rank]), scale: 1 };
    if (method === 'lora') return { method, adapters: [common] };
    return method === 'dora'
      ? { method, adapters: [{ ...common, magnitude: hollow('f32', [config.out]) }] }
      : { method, adapters: [{ ...common, mixer: hollow('f32', [rank, rank]) }] };
  };
  return pipe(
    E.Do,
    E.bind('saved', () => savedPlaces(architecture, s.modulesToSave ?? [])),
    E.bind('chosen', ({ saved }) =>
      matchTargets(
        s,
        sitesOf(architecture).flatMap(({ path }) => (saved.some((place) => place.path === path) ? [] : [path])),
        architecture.head,
      ),
    ),
    E.map(({ saved, chosen }) => ({
      treatmentOf: besides(saved, (site) => (chosen.includes(site.path) ? adapted(site) : { method: 'frozen' })),
      trains: trainsAt(saved),
    })),
  );
};

const weightsIn = (step: LeafStep, typeOf: (name: string) => DType): Weights =>
  Object.fromEntries(tensorsOf(step).map(([name, shape]) => [name, hollow(typeOf(name), shape)]));

/** NF4 is for the linear maps but the head; the other tensors are then in bf16. A linear map that trains in full is in f32. */
const weightsOf = (step: LeafStep, dtype: DType, head: string, { treatmentOf }: Trained): Weights => {
  if (step.kind === 'site' && treatmentOf(step.site).method === 'full') return weightsIn(step, () => 'f32');
  const packed = (name: string): boolean =>
    step.kind === 'site' && step.site.path !== head && name === `${step.site.path}.weight`;
  return weightsIn(step, (name) => (isNf4(dtype) && !packed(name) ? 'bf16' : dtype));
};

/** The model as `loadModel` would build it, with AdamW, which keeps two numbers for each that trains. */
const problemOf = (architecture: Architecture, s: PlanSettings, method: TrainingMethod): Result<PlannedProblem> => {
  const dtype = method === 'full' ? 'f32' : s.dtype;
  return pipe(
    trainedOf(architecture, s, method),
    E.chain((trained) =>
      pipe(
        leafSteps(architecture.steps),
        E.traverseArray((step) => {
          const weights = weightsOf(step, dtype, architecture.head, trained);
          return buildLeaf(k, step, weights, trained.treatmentOf, trained.trains);
        }),
      ),
    ),
    E.chain((built) => assembleModel(k, architecture, built)),
    E.map((model) => ({
      kernels: k,
      model,
      loss: crossEntropy(k) as Loss<Spec, unknown>,
      optimizer: adamw(k, { learningRate: 1 }),
      seed: 0,
      dropBackward: s.dropBackward,
    })),
  );
};

// What is kept, by op

const opOf = (step: LeafStep): keyof ByOp => {
  if (step.kind === 'site') return 'linears';
  if (step.kind === 'fixed') return step.remembers ? 'attention' : 'swiglu';
  if (step.tiedTo !== undefined) return 'linears';
  return step.shapes.weight?.length === 1 ? 'norms' : 'embedding';
};

/** The op of each name under which something is kept. */
const opsOf = (steps: readonly Step[]): ReadonlyMap<string, keyof ByOp> =>
  new Map(
    steps.flatMap((step): readonly (readonly [string, keyof ByOp])[] => {
      if (step.kind === 'recompute') return [[step.name, 'blocks']];
      if (step.kind === 'residual') return [...opsOf(step.steps)];
      if (step.kind === 'fork') return [...opsOf(step.first), ...opsOf(step.second)];
      const name = nameOf(step);
      return [[name, opOf(step)]];
    }),
  );

type Kept = readonly [model: Readonly<Record<string, SlotTree>>, loss: SlotTree];

const byOpOf = (architecture: Architecture, [model, loss]: Kept): ByOp => {
  const ops = opsOf(architecture.steps);
  const bytes = { attention: 0, norms: 0, linears: 0, swiglu: 0, embedding: 0, blocks: 0, loss: 0 };
  const counted = new Set<string>();
  const count = (op: keyof ByOp, kept: SlotTree): void => {
    for (const slot of leaves(kept)) {
      if (!counted.has(slot.slot)) bytes[op] += bytesOf(slot);
      counted.add(slot.slot);
    }
  };
  for (const [name, kept] of Object.entries(model)) count(ops.get(name)!, kept);
  count('loss', loss);
  return bytes;
};

// The workspace

/** What the last block keeps where it is not computed again. */
const blockBytes = ({ layers }: LlamaConfig, [model]: Kept): number => {
  const prefix = `model.layers.${layers - 1}.`;
  return residualBytes(Object.fromEntries(Object.entries(model).filter(([name]) => name.startsWith(prefix))));
};

/** Activations that a map of the widest input, the feed-forward's, makes for its input gradient beside the one itself. */
const ownActivations = (method: TrainingMethod, { width, feedForward }: LlamaConfig): number => {
  if (method === 'dora') return feedForward + 5 * width;
  return method === 'lora' || method === 'moslora' ? feedForward : 0;
};

/**
 * An estimate of the most that is alive in a step beside what the other figures count. In the backward pass of the last
 * block these are gradients of activations, f32, for n = batch × sequence tokens: of the logits; of what the block gave; and
 * those inside one half of it, with the block's own residual where it is computed again. And as much as the largest of them
 * lies in gaps between tensors, which no other one fits into. Not counted: what kernels pack for themselves.
 */
const workspaceOf = (
  { config: c }: PlanSettings,
  method: TrainingMethod,
  tokens: number,
  recomputed: number,
): number => {
  const { width, headWidth, heads, groups, feedForward, vocabulary } = c;
  const inside = width + Math.max(3 * feedForward + ownActivations(method, c), 3 * (heads + groups) * headWidth);
  const gaps = Math.max(feedForward, vocabulary);
  return 4 * tokens * (vocabulary + inside + gaps) + recomputed;
};

// The plan

/** The plans of a model. Errors: a pattern that matches nothing, a rank above the columns. */
export const planner = (s: PlanSettings): ((method: TrainingMethod) => Result<Plan>) => {
  const { config, batch, recompute } = s;
  const architecture = llama(config, { recompute });
  const plain = llama({ ...config, positions: 1 });
  const input = (sequence: number): Spec => ({ dtype: 'i32', shape: [batch, sequence] });
  const keptIn = (problem: PlannedProblem, sequence: number): Kept =>
    residualOf(problem, input(sequence)) as unknown as Kept;
  /** Of the pass that keeps most, among some draws of the branches that are left out. */
  const keptBy = (problem: PlannedProblem, sequence: number): Kept =>
    Array.from({ length: s.dropBackward > 0 ? DRAWS : 1 }, (_, seed) => keptIn({ ...problem, seed }, sequence)).reduce(
      (most, kept) => (residualBytes(kept) > residualBytes(most) ? kept : most),
    );
  return (method) =>
    pipe(
      E.Do,
      E.bind('problem', () => problemOf(architecture, s, method)),
      E.bind('whole', () => problemOf(plain, s, method)),
      E.map(({ problem, whole }) => ({
        bytesAt: (sequence) => {
          const residual = residualBytes(keptBy(problem, sequence));
          const known = { ...account(problem, input(sequence)), residual };
          const recomputed = recompute ? blockBytes(config, keptIn({ ...whole, dropBackward: 0 }, sequence)) : 0;
          const workspace = workspaceOf(s, method, batch * sequence, recomputed);
          const total = known.weights + known.gradients + known.optimizer + known.residual + workspace;
          return { ...known, workspace, total };
        },
        byOpAt: (sequence) => byOpOf(architecture, keptBy(problem, sequence)),
      })),
    );
};

/** The longest sequence, up to `most`, that needs no more than `memory`; 0 if one token is too much. */
export const longestSequence = ({ bytesAt }: Plan, most: number, memory: number): number => {
  const fits = (sequence: number): boolean => bytesAt(sequence).total <= memory;
  let [below, above] = [0, most + 1];
  while (above - below > 1) {
    const middle = Math.floor((below + above) / 2);
    if (fits(middle)) below = middle;
    else above = middle;
  }
  return below;
};

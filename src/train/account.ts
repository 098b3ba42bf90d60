/**
 * Bytes, before anything runs: computed from specs alone. And the same bytes measured on a backend, for the test that
 * the two are equal.
 */
import { type AnyLayer, andThen } from '../core/layer.ts';
import { rngFromSeed } from '../core/rng.ts';
import { leaves, mapTree, type SlotTree, type Tree } from '../core/tree.ts';
import type { DocumentStarts } from '../spec/documents.ts';
import { bytesOf, type HostTensor, inputSlot, type Spec } from '../spec/tensor.ts';
import { initialState, type Problem, trainableOf } from './step.ts';

export interface Account {
  /** All parameters, frozen and trained. */
  readonly weights: number;
  readonly trainable: number;
  readonly gradients: number;
  readonly optimizer: number;
  /** What is alive between forward and backward: the residuals of model and loss, each buffer once. */
  readonly residual: number;
}

const totalBytes = (tree: Tree<Spec>): number => leaves(tree).reduce((sum, leaf) => sum + bytesOf(leaf), 0);

const specsOf = <T extends Spec>(tree: Tree<T>): Tree<Spec> =>
  mapTree(tree, ({ dtype, shape }): Spec => ({ dtype, shape }));

/** The bytes of a residual: a slot that several layers share counts once. */
export const residualBytes = (residual: SlotTree): number =>
  [...new Map(leaves(residual).map((s) => [s.slot, bytesOf(s)])).values()].reduce((sum, bytes) => sum + bytes, 0);

/** Number of trained elements. */
export const trainableCount = <T extends Spec, R>(problem: Problem<T, R>): number =>
  leaves(trainableOf(problem, problem.model.params)).reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0);

/** The model as it trains, dropout and all: in evaluation other buffers may be shared. */
const trainingLayer = <T extends Spec, R>(
  { model, seed, dropBackward = 0 }: Problem<T, R>,
  starts?: DocumentStarts,
): AnyLayer<T> => model.layer({ kind: 'train', rng: rngFromSeed(seed), dropBackward, starts });

/** The residual of model and loss for one micro-batch of this spec. */
export const residualOf = <T extends Spec, R>(problem: Problem<T, R>, input: Spec): SlotTree =>
  andThen(problem.kernels, trainingLayer(problem), problem.loss).residual(inputSlot('x', input));

/** Bytes for micro-batches of the given spec, from shapes alone. */
export const account = <T extends Spec, R>(problem: Problem<T, R>, input: Spec): Account => {
  const trained = specsOf(trainableOf(problem, problem.model.params));
  return {
    weights: totalBytes(specsOf(problem.model.params)),
    trainable: totalBytes(trained),
    gradients: totalBytes(trained),
    optimizer: totalBytes(problem.optimizer.stateSpec(trained)),
    residual: residualBytes(residualOf(problem, input)),
  };
};

/** The same quantities as the backend counts them while it runs, but for the weights, which are already there. */
export const measure = <T extends Spec, R>(
  problem: Problem<T, R>,
  inputs: HostTensor,
  targets: HostTensor,
  starts?: DocumentStarts,
): Omit<Account, 'weights' | 'trainable'> => {
  const { kernels: k, model, loss } = problem;
  const whole = andThen(k, trainingLayer(problem, starts), loss);
  return k.scope(() => {
    const p = [model.params, { targets: k.fromHost(targets), denominator: 1 }] as const;
    const alive = <A>(body: () => A): readonly [result: A, bytes: number] => {
      const before = k.memory().live;
      const result = k.scope(body);
      return [result, k.memory().live - before];
    };
    const [[value, kept], forward] = alive(() => whole.forward(p, k.fromHost(inputs)));
    const [, gradients] = alive(() => whole.gradient(p, kept, k.full([], 1))[0]);
    const [, optimizer] = alive(() => initialState(problem).optimizer.tensors);
    return { gradients, optimizer, residual: forward - bytesOf(value) };
  });
};

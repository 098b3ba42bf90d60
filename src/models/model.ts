/**
 * An architecture with weights and methods put into it: one layer over one record of parameters.
 *
 * Law: what lies before the first trained place keeps nothing, for no backward pass reaches it; decoding keeps what it
 * remembers, and nothing else.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { both, named, sequence } from '../core/chain.ts';
import { widen } from '../core/derived/widen.ts';
import type { Kernels } from '../core/fused.ts';
import { type AnyLayer, anyLayer, dropBackward, frozenFront, recompute, residualAdd } from '../core/layer.ts';
import { splitRng } from '../core/rng.ts';
import { hasLeaves, mapTree, type Tree } from '../core/tree.ts';
import { adapt, type Treatment } from '../methods/adapt.ts';
import type { HostAffine } from '../methods/base.ts';
import type { Module, Site } from '../methods/operation.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensor, type Shape, type Spec, sameShape, showSpec } from '../spec/tensor.ts';
import {
  type Architecture,
  droppedBranches,
  evaluate,
  type LeafStep,
  leafSteps,
  type Mode,
  nameOf,
  type PlainStep,
  type SiteStep,
  type Step,
  tensorsOf,
  type Weights,
} from './architecture.ts';

/** A model over a backend. The layer depends on the mode, the parameters do not. */
export interface Model<T> {
  readonly layer: (mode: Mode) => AnyLayer<T>;
  readonly params: Tree<T>;
}

/** A leaf with its parameters, ready to be put into the model. */
export interface Built<T> {
  /** The layer's place in the record of residuals, and where its parameters lie. */
  readonly name: string;
  readonly at: string;
  readonly params: Tree<T>;
  readonly layer: (mode: Mode) => AnyLayer<T> | null;
}

type Entries<T> = Readonly<Record<string, Built<T>>>;

/** A tensor that a leaf takes, as it must be: there, and of this shape. */
export const checkTensor = <S extends Spec>(name: string, shape: Shape, found: S | undefined): Result<S> => {
  if (found === undefined) return fail('ConfigError', `a tensor ${name}`, 'none', 'weights');
  return sameShape(found.shape, shape)
    ? E.right(found)
    : fail('ShapeError', `shape [${shape.join(', ')}]`, showSpec(found), name);
};

const take = (weights: Weights, step: LeafStep): Result<Readonly<Record<string, HostTensor>>> =>
  pipe(
    tensorsOf(step),
    E.traverseArray(([name, shape]) =>
      pipe(
        checkTensor(name, shape, weights[name]),
        E.map((tensor) => [name.slice(name.lastIndexOf('.') + 1), tensor] as const),
      ),
    ),
    E.map(Object.fromEntries),
  );

const buildSite = <T extends Spec>(
  k: Kernels<T>,
  { site }: SiteStep,
  weights: Readonly<Record<string, HostTensor>>,
  treatment: Treatment,
): Result<Built<T>> =>
  pipe(
    adapt(k, site, weights as unknown as HostAffine, treatment),
    E.map(({ layer, training, params }: Module<T>) => ({
      ...{ name: site.path, at: site.path, params },
      layer: (mode: Mode) =>
        mode.kind === 'train' && training !== undefined ? training(splitRng(mode.rng, site.path)) : layer,
    })),
  );

/** Norms and embeddings are computed with in the float type where they train, an embedding's rows also as stored. */
const buildPlain = <T extends Spec>(
  k: Kernels<T>,
  step: PlainStep,
  weights: Readonly<Record<string, HostTensor>>,
  trains: boolean,
): Built<T> => ({
  name: step.path,
  at: step.tiedTo ?? step.path,
  params: mapTree(weights, (tensor) =>
    trains || tensor.shape.length === 1 ? k.scope(() => widen(k, k.fromHost(tensor))) : k.fromHost(tensor),
  ),
  layer: (mode) => step.make(k, trains, mode),
});

/** One leaf with its weights. Errors: missing or misshapen tensors, and whatever {@link adapt} refuses. */
export const buildLeaf = <T extends Spec>(
  k: Kernels<T>,
  step: LeafStep,
  weights: Weights,
  treatmentOf: (site: Site) => Treatment,
  trains: (path: string) => boolean,
): Result<Built<T>> => {
  if (step.kind === 'fixed') {
    const { name, reads = name, make } = step;
    return E.right({ name, at: reads, params: {}, layer: (mode) => make(k, mode) });
  }
  return pipe(
    take(weights, step),
    E.chain((found) =>
      step.kind === 'site'
        ? buildSite(k, step, found, treatmentOf(step.site))
        : E.right(buildPlain(k, step, found, trains(step.tiedTo ?? step.path))),
    ),
  );
};

/** What every part of a model is assembled with. */
interface Assembly<T extends Spec> {
  readonly k: Kernels<T>;
  readonly built: Entries<T>;
  readonly mode: Mode;
  /** Branches that the backward pass leaves out. */
  readonly dropped: ReadonlySet<Step>;
}

/** Steps one after the other; `front`: nothing before them trains, so nobody asks for their input gradient. */
const assemble = <T extends Spec>(assembly: Assembly<T>, steps: readonly Step[], front: boolean): AnyLayer<T> => {
  const { k, built, mode } = assembly;
  const paramsOf = (step: Step): Tree<T> =>
    Object.fromEntries(leafSteps([step]).map((leaf) => [built[nameOf(leaf)]!.at, built[nameOf(leaf)]!.params]));
  const layers: AnyLayer<T>[] = [];
  let isFront = front;
  for (const step of steps) {
    const layer = layerOf(assembly, step, isFront);
    if (layer === null) continue;
    const trains = hasLeaves(layer.trainable(paramsOf(step)));
    layers.push(isFront && !trains && mode.kind !== 'decode' ? anyLayer(frozenFront(layer)) : layer);
    isFront &&= !trains;
  }
  return sequence(k, layers);
};

const layerOf = <T extends Spec>(assembly: Assembly<T>, step: Step, front: boolean): AnyLayer<T> | null => {
  const { k, built, mode, dropped } = assembly;
  const inner = (steps: readonly Step[]): AnyLayer<T> => assemble(assembly, steps, front);
  switch (step.kind) {
    case 'residual':
      return anyLayer((dropped.has(step) ? dropBackward : residualAdd)(k, inner(step.steps)) as never);
    case 'fork':
      return both(k, inner(step.first), inner(step.second));
    case 'recompute': {
      const layer = inner(step.steps);
      const again = mode.kind !== 'decode' && !step.steps.every((inside) => dropped.has(inside));
      return again ? keptAs(step.name, recompute(k, layer)) : layer;
    }
    default: {
      const { name, at, layer: make } = built[nameOf(step)]!;
      const layer = make(mode);
      if (layer === null) return null;
      const forgets = mode.kind === 'decode' && !(step.kind === 'fixed' && step.remembers);
      return named(name, forgets ? anyLayer(frozenFront(layer)) : layer, at);
    }
  }
};

/** A layer over the whole record whose residual, one tensor, is kept under a name. */
const keptAs = <T>(name: string, layer: ReturnType<typeof recompute<Tree<T>, Tree<T>, T, T, Tree<T>>>): AnyLayer<T> => {
  const residualOf = (r: Tree<T>): T => (r as Readonly<Record<string, T>>)[name]!;
  return {
    ...layer,
    forward: (p, x) => {
      const [y, residual] = layer.forward(p, x);
      return [y, { [name]: residual }];
    },
    backward: (p, r, dy) => layer.backward(p, residualOf(r), dy),
    gradient: (p, r, dy) => layer.gradient(p, residualOf(r), dy),
    residual: (x) => ({ [name]: layer.residual(x) }),
  };
};

/** The model from its leaves. Errors: layers that do not fit each other. */
export const assembleModel = <T extends Spec>(
  k: Kernels<T>,
  { steps, input, inputType, constants = {} }: Architecture,
  leaves: readonly Built<T>[],
): Result<Model<T>> => {
  const built = Object.fromEntries(leaves.map((leaf) => [leaf.name, leaf]));
  const owned = leaves.filter(({ params }) => hasLeaves(params));
  const model: Model<T> = {
    layer: (mode) => assemble({ k, built, mode, dropped: droppedBranches(steps, mode) }, steps, true),
    params: {
      ...mapTree<HostTensor, T>(constants, k.fromHost),
      ...Object.fromEntries(owned.map(({ at, params }) => [at, params])),
    },
  };
  const dtype = inputType === 'i32' ? 'i32' : k.float;
  return pipe(
    model.layer(evaluate).output({ dtype, shape: [1, ...input], slot: 'x', scope: 'x' }),
    E.map(() => model),
  );
};

/**
 * Puts weights and methods into an architecture. Checks every shape once, here, so that the hot path need not.
 * `trains`: whether the weights of a norm or an embedding train; by default none does.
 * Errors: missing or misshapen weights, whatever {@link adapt} refuses, layers that do not fit each other.
 */
export const buildModel = <T extends Spec>(
  k: Kernels<T>,
  architecture: Architecture,
  weights: Weights,
  treatmentOf: (site: Site) => Treatment,
  trains: (path: string) => boolean = () => false,
): Result<Model<T>> =>
  pipe(
    leafSteps(architecture.steps),
    E.traverseArray((step) => buildLeaf(k, step, weights, treatmentOf, trains)),
    E.chain((leaves) => assembleModel(k, architecture, leaves)),
  );

/**
 * A model before it has weights: its adaptable places, how to draw fresh weights, and how to build it from modules.
 * Models are generic over methods: they ask for the module of each place and put the modules together.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { chain } from '../core/chain.ts';
import type { Kernels } from '../core/fused.ts';
import { type AnyLayer, anyLayer, frozenFront } from '../core/layer.ts';
import { type Rng, splitRng, uniforms } from '../core/rng.ts';
import { hasLeaves, type Tree } from '../core/tree.ts';
import { adapt, type Treatment } from '../methods/adapt.ts';
import { type Module, type Site, weightShape } from '../methods/operation.ts';
import { fail, type Result } from '../spec/errors.ts';
import { type HostTensor, type Shape, type Spec, sizeOf } from '../spec/tensor.ts';

/** Named host tensors: `layers.0.weight`, `layers.0.bias`. */
export type Weights = Readonly<Record<string, HostTensor>>;

/** What the forward pass is for: dropout acts in training alone, with a random state for each step. */
export type Mode = { readonly kind: 'evaluate' } | { readonly kind: 'train'; readonly rng: Rng };
export const evaluate: Mode = { kind: 'evaluate' };

/** A model over a backend. The layer depends on the mode, the parameters do not. */
export interface Model<T> {
  readonly layer: (mode: Mode) => AnyLayer<T>;
  readonly params: Tree<T>;
}

/** One step of a model: a place that has weights and is adapted, or a fixed layer. */
export type Step =
  | { readonly kind: 'site'; readonly site: Site; readonly bias: boolean }
  | {
      readonly kind: 'fixed';
      readonly name: string;
      readonly make: <T extends Spec>(k: Kernels<T>, mode: Mode) => AnyLayer<T> | null;
    };

export interface Architecture {
  readonly name: string;
  /** One example, without the batch axis. */
  readonly input: Shape;
  readonly steps: readonly Step[];
  /** The path of the output head, which `all-linear` leaves out. */
  readonly head: string;
}

export const sitesOf = (architecture: Architecture): readonly Site[] =>
  architecture.steps.flatMap((step) => (step.kind === 'site' ? [step.site] : []));

/** Kaiming-uniform weights and biases, U(−1/√fan_in, 1/√fan_in), as PyTorch's linear and convolution begin. */
export const initialWeights = (architecture: Architecture, rng: Rng): Weights => {
  const draw = (name: string, shape: Shape, fanIn: number): readonly [string, HostTensor] => {
    const bound = 1 / Math.sqrt(fanIn);
    const [u] = uniforms(splitRng(rng, name), sizeOf(shape));
    return [name, { dtype: 'f32', shape, data: Float32Array.from(u, (x) => (2 * x - 1) * bound) }];
  };
  return Object.fromEntries(
    architecture.steps.flatMap((step) => {
      if (step.kind === 'fixed') return [];
      const { path, operation } = step.site;
      const shape = weightShape(operation);
      const fanIn = sizeOf(shape.slice(1));
      const weight = draw(`${path}.weight`, shape, fanIn);
      return step.bias ? [weight, draw(`${path}.bias`, [operation.config.out], fanIn)] : [weight];
    }),
  );
};

const moduleAt = <T extends Spec>(
  k: Kernels<T>,
  { site, bias }: Step & { kind: 'site' },
  weights: Weights,
  treatment: Treatment,
): Result<Module<T>> => {
  const weight = weights[`${site.path}.weight`];
  const offset = bias ? weights[`${site.path}.bias`] : undefined;
  if (weight === undefined) return fail('ConfigError', `a tensor ${site.path}.weight`, 'none', 'weights');
  if (bias && offset === undefined) return fail('ConfigError', `a tensor ${site.path}.bias`, 'none', 'weights');
  return adapt(k, site, { weight, ...(offset && { bias: offset }) }, treatment);
};

/**
 * Puts weights and methods into an architecture. Checks every shape once, here, so that the hot path need not.
 * Errors: missing or misshapen weights, whatever {@link adapt} refuses, layers that do not fit each other.
 */
export const buildModel = <T extends Spec>(
  k: Kernels<T>,
  architecture: Architecture,
  weights: Weights,
  treatmentOf: (site: Site) => Treatment,
): Result<Model<T>> =>
  pipe(
    architecture.steps,
    E.traverseArray(
      (step): Result<readonly [Step, Module<T> | null]> =>
        step.kind === 'fixed'
          ? E.right([step, null])
          : pipe(
              moduleAt(k, step, weights, treatmentOf(step.site)),
              E.map((module) => [step, module] as const),
            ),
    ),
    E.map((built) => assemble(k, built)),
    E.chain((model) =>
      pipe(
        model.layer(evaluate).output({ dtype: k.float, shape: [1, ...architecture.input], slot: 'x', scope: 'x' }),
        E.map(() => model),
      ),
    ),
  );

/** How many of the first steps train nothing; all but the last at the most. */
const frontLength = <T>(built: readonly (readonly [Step, Module<T> | null])[]): number => {
  const first = built.findIndex(([, module]) => module !== null && hasLeaves(module.layer.trainable(module.params)));
  return first < 0 ? 0 : first;
};

const assemble = <T extends Spec>(k: Kernels<T>, built: readonly (readonly [Step, Module<T> | null])[]): Model<T> => ({
  layer: (mode) =>
    chain(
      k,
      built.flatMap(([step, module], i): readonly (readonly [string, AnyLayer<T>])[] => {
        const layer = step.kind === 'site' ? (module?.layer ?? null) : step.make(k, mode);
        const name = step.kind === 'site' ? step.site.path : step.name;
        if (layer === null) return [];
        return [[name, i < frontLength(built) ? anyLayer(frozenFront(layer)) : layer]];
      }),
    ),
  params: Object.fromEntries(
    built.flatMap(([step, module]) =>
      step.kind === 'site' && module !== null ? [[step.site.path, module.params]] : [],
    ),
  ),
});

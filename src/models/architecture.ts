/**
 * A model before it has weights: a tree of steps. The leaves are places that have weights and layers that have none; the
 * branches say how they are put together. Models are generic over methods: a place does not know how it is trained.
 */
import type { Kernels } from '../core/fused.ts';
import type { AnyLayer } from '../core/layer.ts';
import { permutation, type Rng, splitRng, uniforms } from '../core/rng.ts';
import type { Tree } from '../core/tree.ts';
import { type Site, weightShape } from '../methods/operation.ts';
import type { DocumentStarts } from '../spec/documents.ts';
import { type HostTensor, type Shape, type Spec, sizeOf } from '../spec/tensor.ts';

/** Named host tensors: `layers.0.weight`, `layers.0.bias`. */
export type Weights = Readonly<Record<string, HostTensor>>;

/** What the forward pass is for. `starts`: where documents start, if rows of tokens hold several. */
export type Mode =
  | { readonly kind: 'evaluate'; readonly starts?: DocumentStarts | undefined }
  /** Dropout acts, and the backward pass leaves branches out, with a random state for each step. */
  | {
      readonly kind: 'train';
      readonly rng: Rng;
      readonly dropBackward?: number;
      readonly starts?: DocumentStarts | undefined;
    }
  /**
   * The tokens that follow `position` others, one sequence after the other: attention reads the keys and values in
   * `past`, a residual of the pass before, and only the logits of the last token are given.
   */
  | { readonly kind: 'decode'; readonly position: number; readonly past: Tree<Spec> | null };

export const evaluate: Mode = { kind: 'evaluate' };

/** A place that a method adapts: a linear map or a convolution, with weights `PATH.weight` and `PATH.bias`. */
export interface SiteStep {
  readonly kind: 'site';
  readonly site: Site;
  readonly bias: boolean;
}

/** A place whose weights train in full or not at all: a norm, an embedding. */
export interface PlainStep {
  readonly kind: 'plain';
  readonly path: string;
  /** Whose weights it reads, where they are another place's: a head tied to the embedding. */
  readonly tiedTo?: string;
  /** `weight`, `bias`, with the shapes that they must have. */
  readonly shapes: Readonly<Record<string, Shape>>;
  /** What fresh weights are: all 1, or uniform with this bound. */
  readonly fresh: 'ones' | { readonly bound: number };
  readonly make: <T extends Spec>(k: Kernels<T>, trains: boolean, mode: Mode) => AnyLayer<T>;
}

/** A layer without weights; null where the mode has no use for it. */
export interface FixedStep {
  readonly kind: 'fixed';
  readonly name: string;
  /** The constants that are its parameters, by their name in the architecture. */
  readonly reads?: string;
  /** Its residual is what decoding takes on from pass to pass. */
  readonly remembers?: boolean;
  readonly make: <T extends Spec>(k: Kernels<T>, mode: Mode) => AnyLayer<T> | null;
}

export type LeafStep = SiteStep | PlainStep | FixedStep;

export type Step =
  | LeafStep
  /** x + f(x). */
  | { readonly kind: 'residual'; readonly steps: readonly Step[] }
  /** One input, two outputs. */
  | { readonly kind: 'fork'; readonly first: readonly Step[]; readonly second: readonly Step[] }
  /** Keeps its input alone, and computes the rest again for the backward pass. */
  | { readonly kind: 'recompute'; readonly name: string; readonly steps: readonly Step[] };

export interface Architecture {
  readonly name: string;
  /** One example, without the batch axis. */
  readonly input: Shape;
  /** Numbers, or row numbers of an embedding. */
  readonly inputType: 'float' | 'i32';
  readonly steps: readonly Step[];
  /** Tensors that the architecture brings along, in groups: tables of angles. */
  readonly constants?: Readonly<Record<string, Weights>>;
  /** The path of the output head, which `all-linear` leaves out. */
  readonly head: string;
}

/** The leaves, in the order in which they compute. */
export const leafSteps = (steps: readonly Step[]): readonly LeafStep[] =>
  steps.flatMap((step): readonly LeafStep[] => {
    if (step.kind === 'residual' || step.kind === 'recompute') return leafSteps(step.steps);
    return step.kind === 'fork' ? [...leafSteps(step.first), ...leafSteps(step.second)] : [step];
  });

/** The branches beside a skip connection, in the order in which they compute. */
const branches = (steps: readonly Step[]): readonly Step[] =>
  steps.flatMap((step): readonly Step[] => {
    if (step.kind === 'residual') return [step, ...branches(step.steps)];
    if (step.kind === 'recompute') return branches(step.steps);
    return step.kind === 'fork' ? [...branches(step.first), ...branches(step.second)] : [];
  });

/**
 * The branches that a backward pass leaves out: of n, the first ⌊p·n⌋ of a permutation drawn for this pass, so that the
 * share, and with it the memory, is the same in every step. p is the mode's `dropBackward`.
 */
export const droppedBranches = (steps: readonly Step[], mode: Mode): ReadonlySet<Step> => {
  if (mode.kind !== 'train' || !mode.dropBackward) return new Set();
  const all = branches(steps);
  const [order] = permutation(splitRng(mode.rng, 'dropBackward'), all.length);
  return new Set(Array.from(order.subarray(0, Math.floor(mode.dropBackward * all.length)), (i) => all[i] as Step));
};

/** What a leaf is called: its path in the checkpoint, or its own name where it has no tensors there. */
export const nameOf = (step: LeafStep): string => {
  if (step.kind === 'site') return step.site.path;
  return step.kind === 'plain' ? step.path : step.name;
};

export const sitesOf = ({ steps }: Architecture): readonly Site[] =>
  leafSteps(steps).flatMap((step) => (step.kind === 'site' ? [step.site] : []));

/** The tensors that a leaf takes from the weights, by their names there, with the shapes that they must have. */
export const tensorsOf = (step: LeafStep): readonly (readonly [name: string, shape: Shape])[] => {
  if (step.kind === 'fixed' || (step.kind === 'plain' && step.tiedTo !== undefined)) return [];
  if (step.kind === 'plain') return Object.entries(step.shapes).map(([name, shape]) => [`${step.path}.${name}`, shape]);
  const { path, operation } = step.site;
  const weight = [`${path}.weight`, weightShape(operation)] as const;
  return step.bias ? [weight, [`${path}.bias`, [operation.config.out]]] : [weight];
};

/** What fresh numbers of a leaf are bounded by: 1/√fan-in for a site, as PyTorch's linear and convolution begin. */
const boundOf = (step: LeafStep): number | null => {
  if (step.kind === 'site') return 1 / Math.sqrt(sizeOf(weightShape(step.site.operation).slice(1)));
  return step.kind === 'plain' && step.fresh !== 'ones' ? step.fresh.bound : null;
};

/** Fresh weights: uniform numbers (Kaiming-uniform for linear maps and convolutions) and ones. */
export const initialWeights = ({ steps }: Architecture, rng: Rng): Weights => {
  const draw = (name: string, shape: Shape, bound: number | null): HostTensor => {
    if (bound === null) return { dtype: 'f32', shape, data: new Float32Array(sizeOf(shape)).fill(1) };
    const [u] = uniforms(splitRng(rng, name), sizeOf(shape));
    return { dtype: 'f32', shape, data: Float32Array.from(u, (x) => (2 * x - 1) * bound) };
  };
  return Object.fromEntries(
    leafSteps(steps).flatMap((step) =>
      tensorsOf(step).map(([name, shape]) => [name, draw(name, shape, boundOf(step))] as const),
    ),
  );
};

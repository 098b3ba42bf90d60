/**
 * The convergence bound along a run, measured (`proofs/Descent.v`, `descent_segment`). For a step from θ to θ + d, by whatever
 * optimizer, and the loss L of the step's own batch with gradient g:
 *
 *   L(θ + d) ≤ L(θ) + ⟨g(θ), d⟩ + β/2·‖d‖²   if   ⟨g(θ + s·d) − g(θ), d⟩ ≤ β·s·‖d‖² for all s of [0, 1]
 *
 * so −⟨g, d⟩ ≤ L(θ) − L(θ + d) + β/2·‖d‖². With SGD, d = −η·g, this bounds ‖g‖². The same theorem for −L is the bound from below,
 * L(θ + d) ≥ L(θ) + ⟨g(θ), d⟩ + α/2·‖d‖², with α ≤ that quotient: a gradient that is too small breaks it, as one that is too large
 * breaks the other. α and β are sampled, at a few s: the smallest and largest sample, and beyond them the largest difference
 * between neighbours. Between samples they are estimates. The theorem asks for a gradient at every point of the segment: where a
 * ReLU or a maximum turns on it, the theorem does not apply, and what is left is the measurement.
 */
import { leaves, overlay, type Tree, withLeaves } from '../core/tree.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import { type HostBatch, toDevice } from './host-batch.ts';
import { batchGradient, type Objective } from './step.ts';

/** What trains, on the host. */
export type HostTree = Tree<HostTensor>;

export interface StepMeasure {
  /** Steps done before it. */
  readonly step: number;
  /** L(θ) and L(θ + d), on the step's batch. */
  readonly loss: number;
  readonly after: number;
  /** ‖g(θ)‖² over what trains. */
  readonly squaredGradient: number;
  /** −⟨g(θ), d⟩: how far the tangent falls. */
  readonly descent: number;
  /** ‖d‖² */
  readonly squaredMove: number;
  /** 0 for a step that does not move. */
  readonly beta: number;
  /** Whether L(θ) − descent + α/2·‖d‖² ≤ L(θ + d) ≤ L(θ) − descent + β/2·‖d‖², up to the rounding of f64. */
  readonly holds: boolean;
}

/** The points s = 1/8, 2/8, … 1 at which β is sampled. */
const SAMPLES = 8;

/** More than f64 loses in sums of these sizes: fewer than 2¹² roundings in a row, each of 2⁻⁵³. */
const ROUNDING = 2 ** -40;

const numbersOf = (tree: HostTree): readonly number[] => leaves(tree).flatMap(({ data }) => Array.from(data, Number));

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0);

/** θ + s·d in f64, in the shape of what trains. */
const pointOf = (from: HostTree, d: readonly number[], s: number): HostTree => {
  let at = 0;
  return withLeaves(
    from,
    leaves(from).map(({ shape, data }): HostTensor => {
      const values = Float64Array.from(Array.from(data, Number), (x) => x + s * (d[at++] ?? 0));
      return { dtype: 'f64', shape, data: values };
    }),
  );
};

/** The loss of a batch, and its gradient in what trains, at a point. */
const evaluateAt = async <T extends Spec, R>(
  objective: Objective<T, R>,
  step: number,
  batch: readonly HostBatch[],
  point: HostTree,
): Promise<{ readonly loss: number; readonly gradient: readonly number[] }> => {
  const { kernels: k, model } = objective;
  const [loss, gradient] = k.scope(() => {
    const trained = withLeaves(point, leaves(point).map(k.fromHost));
    const params = overlay(model.params, trained);
    const micro = batch.map((b) => toDevice(k, b));
    return batchGradient(objective, { params, step }, micro);
  });
  const read = await Promise.all([loss, ...leaves(gradient)].map(k.toHost));
  k.donate([loss, gradient]);
  const [value, ...parts] = read.map(({ data }) => Array.from(data, Number));
  return { loss: value?.[0] ?? Number.NaN, gradient: parts.flat() };
};

/**
 * One step of a run, from `before` to `after`, measured on the step's batch. The objective should compute in f64: what is
 * compared are small differences.
 */
export const measureStep = async <T extends Spec, R>(
  objective: Objective<T, R>,
  step: number,
  batch: readonly HostBatch[],
  before: HostTree,
  after: HostTree,
): Promise<StepMeasure> => {
  const [from, to] = [numbersOf(before), numbersOf(after)];
  const d = to.map((x, i) => x - (from[i] ?? 0));
  const squaredMove = dot(d, d);
  const at = (s: number) => evaluateAt(objective, step, batch, pointOf(before, d, s));
  const here = await at(0);
  const slope = dot(here.gradient, d);
  const samples: number[] = [];
  let last = here.loss;
  for (let i = 1; i <= SAMPLES && squaredMove > 0; i++) {
    const { loss, gradient } = await at(i / SAMPLES);
    samples.push((dot(gradient, d) - slope) / ((i / SAMPLES) * squaredMove));
    last = loss;
  }
  const jumps = samples.slice(1).map((sample, i) => Math.abs(sample - (samples[i] ?? 0)));
  const beta = squaredMove > 0 ? Math.max(...samples) + Math.max(...jumps) : 0;
  const alpha = squaredMove > 0 ? Math.min(...samples) - Math.max(...jumps) : 0;
  const tangent = here.loss + slope;
  const [lower, upper] = [(alpha / 2) * squaredMove, (beta / 2) * squaredMove];
  const rounding = ROUNDING * (Math.abs(here.loss) + Math.abs(slope) + Math.abs(lower) + Math.abs(upper));
  return {
    step,
    loss: here.loss,
    after: last,
    squaredGradient: dot(here.gradient, here.gradient),
    descent: -slope,
    squaredMove,
    beta,
    holds: tangent + lower - rounding <= last && last <= tangent + upper + rounding,
  };
};

/**
 * What bounds ‖g‖² at a step: ‖g‖²/descent times L(θ) − L(θ + d) + β/2·‖d‖²; with SGD the factor is 1/η. Null for a step that does
 * not go down the tangent.
 */
export const gradientBound = (m: StepMeasure): number | null =>
  m.descent > 0 ? ((m.loss - m.after + (m.beta / 2) * m.squaredMove) * m.squaredGradient) / m.descent : null;

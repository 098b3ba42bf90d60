/**
 * Layers with weights, from their formulas: the one that trains and the frozen one differ only in which gradients they
 * give and, where the input gradient does not read it, in what they keep.
 */
import type { Layer } from '../core/layer.ts';
import { type None, none, type SlotTree } from '../core/tree.ts';
import type { Result } from '../spec/errors.ts';

export interface Formulas<T, P, R> {
  readonly forward: (p: P, x: T) => readonly [y: T, residual: R];
  readonly inputGradient: (p: P, residual: R, dy: T) => T;
  /** The gradient of all parameters. */
  readonly gradient: (p: P, residual: R, dy: T) => P;
  readonly output: (x: SlotTree) => Result<SlotTree>;
  readonly residual: (x: SlotTree) => SlotTree;
}

/** All parameters train. */
export const trained = <T, P, R>(f: Formulas<T, P, R>): Layer<P, P, T, T, R> => ({
  forward: f.forward,
  backward: (p, residual, dy) => [f.gradient(p, residual, dy), f.inputGradient(p, residual, dy)],
  gradient: f.gradient,
  trainable: (p) => p,
  output: f.output,
  residual: f.residual,
});

/** Nothing trains; what the input gradient reads is kept. */
export const frozen = <T, P, R>(f: Omit<Formulas<T, P, R>, 'gradient'>): Layer<P, None, T, T, R> => ({
  forward: f.forward,
  backward: (p, residual, dy) => [none, f.inputGradient(p, residual, dy)],
  gradient: () => none,
  trainable: () => none,
  output: f.output,
  residual: f.residual,
});

/** The same formulas where the input gradient reads no residual: nothing is kept. */
export const keepingNothing = <T, P, R>(
  f: Formulas<T, P, R>,
  inputGradient: (p: P, dy: T) => T,
): Omit<Formulas<T, P, None>, 'gradient'> => ({
  forward: (p, x) => [f.forward(p, x)[0], none],
  inputGradient: (p, _, dy) => inputGradient(p, dy),
  output: f.output,
  residual: () => none,
});

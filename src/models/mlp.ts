/** A multilayer perceptron: linear maps with an activation between them, and dropout if asked for. */
import type { Architecture, Step } from './architecture.ts';
import { type ActivationName, activation, dropoutStep, site } from './steps.ts';

export interface MlpConfig {
  /** Features of the input, of each hidden layer, of the output. */
  readonly widths: readonly number[];
  readonly activation: ActivationName;
  /** Probability with which a hidden unit is dropped in training; default 0. */
  readonly dropout?: number;
}

/** Linear maps are at `layers.0`, `layers.1`, …; the last one is the head. */
export const mlp = ({ widths, activation: name, dropout: rate = 0 }: MlpConfig): Architecture => {
  const last = widths.length - 2;
  const steps = widths.slice(1).flatMap((out, i): readonly Step[] => {
    const map = site(`layers.${i}`, { kind: 'linear', config: { in: widths[i] ?? 0, out } });
    return i === last
      ? [map]
      : [map, activation(name, `activations.${i}`), ...(rate > 0 ? [dropoutStep(rate, `dropouts.${i}`)] : [])];
  });
  return { name: 'mlp', input: widths.slice(0, 1), inputType: 'float', steps, head: `layers.${last}` };
};

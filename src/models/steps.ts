/** The steps that models are put together from. */
import type { Kernels } from '../core/fused.ts';
import { type AnyLayer, anyLayer } from '../core/layer.ts';
import { splitRng } from '../core/rng.ts';
import { gelu, relu, silu, tanh } from '../layers/activations.ts';
import { dropout } from '../layers/dropout.ts';
import type { Operation } from '../methods/operation.ts';
import type { Spec } from '../spec/tensor.ts';
import type { Step } from './architecture.ts';

export type ActivationName = 'relu' | 'gelu' | 'silu' | 'tanh';

/** A place that has weights and is adapted. */
export const site = (path: string, operation: Operation, bias = true): Step => ({
  kind: 'site',
  site: { path, operation },
  bias,
});

/** The activation layers by name. */
export const activations: { readonly [A in ActivationName]: <T extends Spec>(k: Kernels<T>) => AnyLayer<T> } = {
  relu: (k) => anyLayer(relu(k)),
  gelu: (k) => anyLayer(gelu(k)),
  silu: (k) => anyLayer(silu(k)),
  tanh: (k) => anyLayer(tanh(k)),
};

/** The activation of a name, as a step of a model. */
export const activation = (name: ActivationName, at: string): Step => ({
  kind: 'fixed',
  name: at,
  make: (k) => activations[name](k),
});

/** Dropout in training, nothing in evaluation. */
export const dropoutStep = (rate: number, at: string): Step => ({
  kind: 'fixed',
  name: at,
  make: (k, mode) => (mode.kind === 'train' ? anyLayer(dropout(k, { rate, rng: splitRng(mode.rng, at) })) : null),
});

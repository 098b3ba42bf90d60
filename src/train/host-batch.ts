/** Micro-batches in host memory, as data loaders make them, and on a backend. */
import type { Kernels } from '../core/fused.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import type { MicroBatch } from './step.ts';

export interface HostBatch {
  readonly inputs: HostTensor;
  readonly targets: HostTensor;
  /** Targets that count. */
  readonly count: number;
}

export const toDevice = <T extends Spec>(k: Kernels<T>, { inputs, targets, count }: HostBatch): MicroBatch<T> => ({
  inputs: k.fromHost(inputs),
  targets: k.fromHost(targets),
  count,
});

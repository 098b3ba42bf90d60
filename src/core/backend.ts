/** A backend: its kernels, and what it says of itself. */
import type { Spec } from '../spec/tensor.ts';
import type { Kernels } from './fused.ts';

/** Exact: the reference's bits. Bounded: within `spec/tolerance` of the f64 value. */
export type ConformanceClass = 'exact' | 'bounded';

export interface Backend<T extends Spec> {
  readonly name: string;
  readonly conformance: ConformanceClass;
  readonly threads: number;
  readonly kernels: Kernels<T>;
  /**
   * Does multiplications and additions that stay in registers, on one thread, and returns how many: the peak that
   * products are measured against. Not of every backend.
   */
  readonly peakWork?: () => number;
  /** Ends workers, frees devices. Using the backend afterwards is an error. */
  readonly dispose: () => Promise<void>;
}

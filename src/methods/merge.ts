/**
 * Merging PaCA into its weight, and taking it back exactly.
 *
 * Laws: a merged f32 forward has the bits of the unmerged one (both compute with the same W̃); unmerging restores the
 * weight bit for bit, because the overwritten columns were saved: it never subtracts.
 */
import { pacaWeight } from '../core/derived/paca-linear.ts';
import type { Kernels } from '../core/fused.ts';
import type { Shape, Spec } from '../spec/tensor.ts';
import { type ColumnView, columnView, type Operation } from './operation.ts';
import { activeConnections, type PacaAdapterConfig, type PacaParams } from './paca.ts';

/** The columns that a merge overwrote, in the column view of the weight. */
export interface SavedColumns<T> {
  /** Sorted and distinct, over all merged adapters. */
  readonly columns: Int32Array;
  readonly values: T;
}

export interface Merged<T> {
  /** The weight with the active adapters in it, in the storage type of the base (rounded to it if it is 16 bit). */
  readonly weight: T;
  readonly saved: SavedColumns<T>;
}

const asView = <T extends Spec>(k: Kernels<T>, weight: T, view: ColumnView): T => k.reshape(weight, view.shape);

const indexTensor = <T extends Spec>(k: Kernels<T>, indices: Int32Array): T =>
  k.fromHost({ dtype: 'i32', shape: [indices.length], data: indices });

const union = (sets: readonly Int32Array[]): Int32Array => Int32Array.from(new Set(sets.flatMap((s) => [...s]))).sort();

/** Adds the active adapters to the weight, which is not in NF4 (cast it first). `indices`: the host copies of each adapter's. */
export const mergePaca = <T extends Spec>(
  k: Kernels<T>,
  operation: Operation,
  params: PacaParams<T>,
  configs: readonly PacaAdapterConfig[],
  indices: readonly Int32Array[],
): Merged<T> =>
  k.scope(() => {
    const view = columnView(operation);
    const base = asView(k, params.weight, view);
    const connections = activeConnections(params.adapters, configs).map((c) => ({
      ...c,
      delta: k.reshape(c.delta, slices(view, c.indices.shape[0] ?? 0)),
    }));
    const columns = union(indices.filter((_, i) => configs[i]?.active));
    const merged = k.cast(pacaWeight(k, base, connections, view.axis), params.weight.dtype);
    const values = k.gather(base, indexTensor(k, columns), view.axis);
    return { weight: k.reshape(merged, params.weight.shape), saved: { columns, values } };
  });

const slices = ({ shape, axis }: ColumnView, count: number): Shape => shape.map((d, i) => (i === axis ? count : d));

/** The weight as it was before the merge. */
export const unmergePaca = <T extends Spec>(k: Kernels<T>, operation: Operation, { weight, saved }: Merged<T>): T =>
  k.scope(() => {
    if (saved.columns.length === 0) return k.cast(weight, weight.dtype);
    const view = columnView(operation);
    const isSaved = Float32Array.from({ length: view.columns }, (_, j) => (saved.columns.includes(j) ? 1 : 0));
    const position = Int32Array.from({ length: view.columns }, (_, j) => Math.max(saved.columns.indexOf(j), 0));
    const maskShape = view.shape.map((d, i) => (i === view.axis ? d : 1));
    const mask = k.fromHost({ dtype: 'f32', shape: maskShape, data: isSaved });
    const everywhere = k.gather(saved.values, indexTensor(k, position), view.axis);
    const restored = k.where(mask, k.cast(everywhere, k.float), k.cast(asView(k, weight, view), k.float));
    return k.reshape(k.cast(restored, weight.dtype), weight.shape);
  });

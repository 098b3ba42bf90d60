/**
 * How likely a language model finds given tokens: the log-probabilities that choices are compared by, and that a
 * perplexity is made of.
 */
import { asColumn, flatten, widthOf } from '../core/derived/shapes.ts';
import type { Kernels } from '../core/fused.ts';
import type { Tree } from '../core/tree.ts';
import type { Model } from '../models/model.ts';
import type { Spec } from '../spec/tensor.ts';
import { type HostBatch, toDevice } from './host-batch.ts';

/** log p of each target, 0 for one that is no class: logits `[…, classes]`, targets as many as rows; `[rows]`. */
const logLikelihoods = <T extends Spec>(k: Kernels<T>, logits: T, targets: T): T =>
  k.scope(() => {
    const rows = k.reshape(logits, [-1, widthOf(logits)]);
    const shifted = k.sub(rows, asColumn(k, k.maxLast(rows)));
    const target = k.oneHot(flatten(k, targets), widthOf(rows));
    const chosen = k.sumLast(k.where(target, shifted, 0));
    return k.where(k.maxLast(target), k.sub(chosen, k.log(k.sumLast(k.exp(shifted)))), 0);
  });

/**
 * Σ log p of the targets of each row of a batch (inputs `[rows, tokens]`), and of those of batches whose inputs are the same up to the
 * last target; the model runs once. Targets of −100 count nothing. Sums run in order, in f64. `[batches][rows]`.
 */
export const rowLogLikelihoods = async <T extends Spec>(
  k: Kernels<T>,
  model: Model<T>,
  params: Tree<T>,
  batches: readonly [HostBatch, ...HostBatch[]],
): Promise<readonly (readonly number[])[]> => {
  const [first] = batches;
  const [rows = 0, tokens = 0] = first.inputs.shape;
  const values = k.scope(() => {
    const { inputs, starts } = toDevice(k, first);
    const [logits] = model.layer({ kind: 'evaluate', starts }).forward(params, inputs);
    return batches.map(({ targets }) => logLikelihoods(k, logits, k.fromHost(targets)));
  });
  const hosts = await Promise.all(values.map((value) => k.toHost(value)));
  k.donate(values);
  return hosts.map(({ data }) => {
    const numbers = Array.from(data, Number);
    return Array.from({ length: rows }, (_, row) =>
      numbers.slice(row * tokens, (row + 1) * tokens).reduce((sum, x) => sum + x, 0),
    );
  });
};

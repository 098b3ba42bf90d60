/**
 * How far one model's distribution of the next token lies from another's, in nats:
 *
 *   KL(p ‖ q) = Σᵢ pᵢ (log pᵢ − log qᵢ),   p = softmax(a), q = softmax(b)
 *
 * (Kullback and Leibler 1951.) In f64, whatever the logits are in: the logarithms of models that differ little nearly cancel.
 *
 * Laws, up to rounding: it is not negative; it is 0 for logits that differ by a constant.
 */
import type { Kernels } from '../core/fused.ts';
import type { Tree } from '../core/tree.ts';
import type { Model } from '../models/model.ts';
import { elementary64 } from '../spec/elementary/index.ts';
import type { Spec } from '../spec/tensor.ts';
import { type HostBatch, toDevice } from './host-batch.ts';

/** log Σ exp xᵢ. */
const logSumExp = (x: Float64Array): number => {
  const most = x.reduce((a, b) => Math.max(a, b));
  return most + elementary64.log(x.reduce((sum, value) => sum + elementary64.exp(value - most), 0));
};

/** KL(softmax a ‖ softmax b), of logits of as many classes. */
export const divergenceOfLogits = (a: Float64Array, b: Float64Array): number => {
  const [ofA, ofB] = [logSumExp(a), logSumExp(b)];
  return a.reduce((sum, value, i) => {
    const logP = value - ofA;
    return sum + elementary64.exp(logP) * (logP - (b[i]! - ofB));
  }, 0);
};

/** A model with its weights. */
export interface Weighted<T extends Spec> {
  readonly model: Model<T>;
  readonly params: Tree<T>;
}

/** In f64. */
const logitsOf = async <T extends Spec>(
  k: Kernels<T>,
  { model, params }: Weighted<T>,
  batch: HostBatch,
): Promise<Float64Array> => {
  const logits = k.scope(() => {
    const { inputs, starts } = toDevice(k, batch);
    return model.layer({ kind: 'evaluate', starts }).forward(params, inputs)[0];
  });
  const { data } = await k.toHost(logits);
  k.donate(logits);
  return new Float64Array(data as Float32Array | Float64Array);
};

/** Mean of KL(p ‖ q) over the places whose target counts, added in their order. The models have the same classes. */
export const meanDivergence = async <T extends Spec>(
  k: Kernels<T>,
  p: Weighted<T>,
  q: Weighted<T>,
  batches: Iterable<HostBatch>,
): Promise<number> => {
  let [total, count] = [0, 0];
  for (const batch of batches) {
    const [a, b] = [await logitsOf(k, p, batch), await logitsOf(k, q, batch)];
    const { data: targets } = batch.targets;
    const classes = a.length / targets.length;
    for (let i = 0; i < targets.length; i++) {
      if (Number(targets[i]) < 0) continue;
      const [from, to] = [i * classes, (i + 1) * classes];
      total += divergenceOfLogits(a.subarray(from, to), b.subarray(from, to));
    }
    count += batch.count;
  }
  return total / count;
};

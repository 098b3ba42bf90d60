/** What a model is worth on held-out data: mean loss and accuracy. Nothing is kept and nothing changes. */
import type { Kernels } from '../core/fused.ts';
import type { Tree } from '../core/tree.ts';
import type { Loss } from '../layers/losses.ts';
import type { Model } from '../models/model.ts';
import type { Spec } from '../spec/tensor.ts';
import { type HostBatch, toDevice } from './host-batch.ts';

export interface Evaluation {
  /** Mean over all targets. */
  readonly loss: number;
  /** Share of the targets that the largest logit names. */
  readonly accuracy: number;
}

/** Mean loss and accuracy of a classifier over batches, added in their order in f64. */
export const evaluateClassifier = async <T extends Spec, R>(
  k: Kernels<T>,
  model: Model<T>,
  params: Tree<T>,
  loss: Loss<T, R>,
  batches: Iterable<HostBatch>,
): Promise<Evaluation> => {
  let [total, correct, count] = [0, 0, 0];
  for (const batch of batches) {
    const [value, guess] = k.scope(() => {
      const { inputs, targets, starts } = toDevice(k, batch);
      const [logits] = model.layer({ kind: 'evaluate', starts }).forward(params, inputs);
      const [sum] = loss.forward({ targets, denominator: 1 }, logits);
      return [sum, k.argmaxLast(logits)];
    });
    total += Number((await k.toHost(value)).data[0]);
    const guesses = (await k.toHost(guess)).data;
    for (let i = 0; i < batch.targets.data.length; i++) if (guesses[i] === batch.targets.data[i]) correct += 1;
    count += batch.count;
    k.donate([value, guess]);
  }
  return { loss: total / count, accuracy: correct / count };
};

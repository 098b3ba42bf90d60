/** Mean loss and accuracy: what a direct computation gives, whatever the batches, with nothing kept. */
import { describe, expect, it } from 'vitest';
import { referenceF64 } from '../../backends/reference/backend.ts';
import { evaluateClassifier } from '../../src/train/evaluate.ts';
import type { HostBatch } from '../../src/train/host-batch.ts';
import { batchOf, hostTree, paca, problemOf, tinyMlp } from './tiny.ts';

const CLASSES = 3;
const WIDTH = 7;
const all = batchOf('held out', 13);
const k = referenceF64().kernels;
const { model, loss } = problemOf(k, tinyMlp, paca);

/** Examples from `from` to `to`. */
const part = (from: number, to: number): HostBatch => ({
  inputs: {
    dtype: 'f32',
    shape: [to - from, WIDTH],
    data: (all.inputs.data as Float32Array).slice(from * WIDTH, to * WIDTH),
  },
  targets: { dtype: 'i32', shape: [to - from], data: (all.targets.data as Int32Array).slice(from, to) },
  count: to - from,
});

const evaluateOn = (...batches: readonly HostBatch[]) => evaluateClassifier(k, model, model.params, loss, batches);

/** −log softmax(row)[label], and whether the label has the largest logit. */
const judge = (row: readonly number[], label: number) => {
  const total = row.reduce((sum, x) => sum + Math.exp(x), 0);
  return { loss: Math.log(total) - row[label]!, hit: row.indexOf(Math.max(...row)) === label };
};

const judged = async () => {
  const [logits] = model.layer({ kind: 'evaluate' }).forward(model.params, k.fromHost(all.inputs));
  const values = [...((await k.toHost(logits)).data as Float64Array)];
  return Array.from(all.targets.data as Int32Array, (label, i) =>
    judge(values.slice(i * CLASSES, (i + 1) * CLASSES), label),
  );
};

describe('evaluateClassifier', () => {
  it('is the mean over all examples, with a smaller last batch too', async () => {
    const each = await judged();
    const meanLoss = each.reduce((sum, { loss: one }) => sum + one, 0) / each.length;
    const hits = each.filter(({ hit }) => hit).length;
    expect(hits).toBeGreaterThan(0);
    expect(hits).toBeLessThan(each.length);
    for (const batches of [[part(0, 13)], [part(0, 5), part(5, 10), part(10, 13)], [part(0, 12), part(12, 13)]]) {
      const { loss: got, accuracy } = await evaluateOn(...batches);
      expect(got).toBeCloseTo(meanLoss, 12);
      expect(accuracy).toBe(hits / 13);
    }
  });

  it('adds the sums of the batches in their order, in f64', async () => {
    const parts = [part(0, 5), part(5, 10), part(10, 13)];
    const layer = model.layer({ kind: 'evaluate' });
    let total = 0;
    for (const { inputs, targets } of parts) {
      const [logits] = layer.forward(model.params, k.fromHost(inputs));
      const [sum] = loss.forward({ targets: k.fromHost(targets), denominator: 1 }, logits);
      total += Number((await k.toHost(sum)).data[0]);
    }
    expect((await evaluateOn(...parts)).loss).toBe(total / 13);
  });

  it('does not count targets that are ignored', async () => {
    const each = await judged();
    const targets = Int32Array.from(all.targets.data as Int32Array, (t, i) => (i % 2 === 0 ? -100 : t));
    const masked: HostBatch = { ...all, targets: { dtype: 'i32', shape: [13], data: targets }, count: 6 };
    const counted = each.filter((_, i) => i % 2 === 1);
    const { loss: got, accuracy } = await evaluateOn(masked);
    expect(got).toBeCloseTo(counted.reduce((sum, { loss: one }) => sum + one, 0) / 6, 12);
    expect(accuracy).toBe(counted.filter(({ hit }) => hit).length / 6);
  });

  it('draws no dropout, changes nothing and keeps nothing', async () => {
    const params = await hostTree(k, model.params);
    const { live } = k.memory();
    expect(await evaluateOn(part(0, 9), part(9, 13))).toEqual(await evaluateOn(part(0, 9), part(9, 13)));
    expect(k.memory().live).toBe(live);
    expect(await hostTree(k, model.params)).toEqual(params);
  });
});

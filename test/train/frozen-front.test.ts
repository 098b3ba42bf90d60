/** Nothing is kept in front of the first place that trains, and the gradients behind it are the same. */
import { expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { chain } from '../../src/core/chain.ts';
import { andThen, anyLayer, frozenFront } from '../../src/core/layer.ts';
import { hasLeaves } from '../../src/core/tree.ts';
import { tanh } from '../../src/layers/activations.ts';
import { frozenLinear, linear } from '../../src/layers/linear.ts';
import type { Treatment } from '../../src/methods/adapt.ts';
import type { Site } from '../../src/methods/operation.ts';
import { cnn } from '../../src/models/cnn.ts';
import { residualOf } from '../../src/train/account.ts';
import { toDevice } from '../../src/train/host-batch.ts';
import { initialState, trainStep } from '../../src/train/step.ts';
import { batchOf, hostTree, paca, problemOf } from './tiny.ts';

const k = referenceF32().kernels;
const architecture = cnn({ size: 8, channels: [2, 3], classes: 3 });
const withoutFirst = (site: Site): Treatment => (site.path === 'conv1' ? { method: 'frozen' } : paca(site));

it('a convolutional network with a frozen first layer keeps nothing of its front', () => {
  const [model] = residualOf(problemOf(k, architecture, withoutFirst), {
    dtype: 'f32',
    shape: [4, 1, 8, 8],
  }) as unknown as readonly [Readonly<Record<string, unknown>>];
  for (const name of ['conv1', 'relu1', 'pool1']) expect(hasLeaves(model[name]), name).toBe(false);
  for (const name of ['depthwise', 'relu2', 'head']) expect(hasLeaves(model[name]), name).toBe(true);
});

it('trains behind it all the same', () => {
  const problem = problemOf(k, architecture, withoutFirst);
  const batch = [toDevice(k, batchOf('front', 4, architecture))];
  expect(() => trainStep(problem, initialState(problem), batch)).not.toThrow();
});

it('gives the gradients that the front would let through, bit for bit', async () => {
  const front = anyLayer(andThen(k, frozenLinear(k, { in: 5, out: 4 }), tanh(k)));
  const head = anyLayer(linear(k, { in: 4, out: 2 }));
  const weight = (out: number, width: number) =>
    k.fromHost({
      dtype: 'f32',
      shape: [out, width],
      data: Float32Array.from({ length: out * width }, (_, i) => i / 7 - 1),
    });
  const params = { front: [{ weight: weight(4, 5) }, {}], head: { weight: weight(2, 4) } };
  const [x, dy] = [weight(3, 5), weight(3, 2)];
  const gradient = async (first: typeof front) => {
    const layer = chain(k, [
      ['front', first],
      ['head', head],
    ]);
    return hostTree(k, layer.gradient(params, layer.forward(params, x)[1], dy));
  };
  expect(await gradient(anyLayer(frozenFront(front)))).toEqual(await gradient(front));
});

it('has no backward pass of its own', () => {
  const layer = frozenFront(frozenLinear(k, { in: 5, out: 4 }));
  expect(() => layer.backward({ weight: k.full([4, 5], 1) }, {}, k.full([1, 4], 1))).toThrow(/frozen front/);
});

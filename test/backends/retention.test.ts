/**
 * Real memory: after a forward pass, the bytes that the process holds are those that the residual accounts for. It proves
 * that no closure captures the input. It needs Node: a garbage collector that can be called, and its count of array buffers.
 */
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import { type AnyLayer, andThen, anyLayer, recompute } from '../../src/core/layer.ts';
import { leaves, type Tree } from '../../src/core/tree.ts';
import { tanh } from '../../src/layers/activations.ts';
import { convolution } from '../../src/layers/conv2d.ts';
import { linear } from '../../src/layers/linear.ts';
import { pacaConv2d, pacaLinear } from '../../src/methods/paca.ts';
import { bytesOf, inputSlot, type Shape } from '../../src/spec/tensor.ts';
import { ints } from '../support/tensors.ts';

const isNode = !('Deno' in globalThis) && process.release.name === 'node';

const collector = (): (() => void) => {
  setFlagsFromString('--expose-gc');
  return runInNewContext('gc') as () => void;
};

const KIB = 1024;
/** What a test runner may allocate meanwhile. The inputs are a hundred times larger. */
const SLACK = 96 * KIB;

/** Bytes of array buffers alive, after the collector has found nothing more to free. */
const aliveBytes = async (collect: () => void): Promise<number> => {
  let least = Number.POSITIVE_INFINITY;
  for (let quiet = 0; quiet < 3; ) {
    collect();
    await new Promise((done) => setTimeout(done, 5));
    const now = process.memoryUsage().arrayBuffers;
    quiet = now < least ? 0 : quiet + 1;
    least = Math.min(least, now);
  }
  return least;
};

const k = referenceF32().kernels;
const zeros = (...shape: number[]): ReferenceTensor => k.full(shape, 0.5);
const columns = (...indices: number[]): ReferenceTensor => k.fromHost(ints([indices.length], indices));

const TRAINS = { scale: 1, active: true, trains: true };
const [N, IN, OUT, RANK] = [16384, 160, 3, 2];

interface Case {
  readonly layer: AnyLayer<ReferenceTensor>;
  readonly params: Tree<ReferenceTensor>;
  readonly x: Shape;
}

const pacaCase: Case = {
  layer: anyLayer(pacaLinear(k, { in: IN, out: OUT }, [{ rank: RANK, ...TRAINS }])),
  params: { weight: zeros(OUT, IN), adapters: [{ indices: columns(3, 7), delta: zeros(OUT, RANK) }] },
  x: [N, IN],
};

const cases: Readonly<Record<string, Case>> = {
  'paca linear': pacaCase,
  'paca linear, then tanh': {
    layer: anyLayer(andThen(k, pacaCase.layer, anyLayer(tanh(k)))),
    params: [pacaCase.params, {}],
    x: pacaCase.x,
  },
  'paca conv2d': {
    layer: anyLayer(
      pacaConv2d(k, convolution({ in: 32, out: 2, height: 128, width: 128, kernel: [1, 1] }), [{ rank: 1, ...TRAINS }]),
    ),
    params: { weight: zeros(2, 32, 1, 1), adapters: [{ indices: columns(5), delta: zeros(2, 1, 1, 1) }] },
    x: [4, 32, 128, 128],
  },
  'paca that does not train': {
    layer: anyLayer(pacaLinear(k, { in: IN, out: OUT }, [{ rank: RANK, ...TRAINS, trains: false }])),
    params: pacaCase.params,
    x: pacaCase.x,
  },
  'full linear, which keeps its whole input': {
    layer: anyLayer(linear(k, { in: IN, out: OUT })),
    params: { weight: zeros(OUT, IN) },
    x: [N, IN],
  },
  'recompute, which keeps its whole input': {
    layer: anyLayer(recompute(k, pacaCase.layer)),
    params: pacaCase.params,
    x: pacaCase.x,
  },
};

/** Everything but the residual is let go, x too. */
const keepResidual = ({ layer, params, x }: Case): unknown => layer.forward(params, k.full(x, 1))[1];

const accounted = ({ layer, x }: Case): number => {
  const slots = new Map(leaves(layer.residual(inputSlot('x', { dtype: 'f32', shape: x }))).map((s) => [s.slot, s]));
  return [...slots.values()].reduce((sum, slot) => sum + bytesOf(slot), 0);
};

describe('array buffers alive after forward are the residual (skipped outside Node)', () => {
  // Deno neither lets its collector be called nor counts array buffers.
  it.skipIf(!isNode).each(Object.entries(cases))('%s', async (_, c) => {
    const collect = collector();
    const expected = accounted(c);
    const input = bytesOf({ dtype: 'f32', shape: c.x });
    expect(input).toBeGreaterThan(50 * SLACK);

    const before = await aliveBytes(collect);
    const residual = keepResidual(c);
    const after = await aliveBytes(collect);

    expect(Math.abs(after - before - expected)).toBeLessThan(SLACK);
    expect(residual).toBeDefined();
  });
});

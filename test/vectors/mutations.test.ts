/** The suite is dense: whatever is made wrong in one operation, derived or primitive, fails a case in both classes. */
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import { derive, type FusedKernels, type Kernels } from '../../src/core/fused.ts';
import type { Ops } from '../../src/core/ops.ts';
import { classes, failedCases, verify, withKernels, withOps } from './judged.ts';

type Operation = (...args: readonly unknown[]) => unknown;

/** What an operation gives, with the sign of its first tensor turned. */
const turned = (k: Kernels<ReferenceTensor>, result: unknown): unknown =>
  Array.isArray(result) ? [turned(k, result[0]), ...result.slice(1)] : k.neg(result as ReferenceTensor);

const withSignTurned =
  (group: string, name: string) =>
  (k: Kernels<ReferenceTensor>): FusedKernels<ReferenceTensor> => {
    const own = (k as unknown as Readonly<Record<string, Readonly<Record<string, Operation>>>>)[group]![name]!;
    return { [group]: { [name]: (...args: readonly unknown[]) => turned(k, own(...args)) } };
  };

const operations = Object.entries(derive(referenceF32().kernels)).flatMap(([group, members]) =>
  Object.keys(members).map((name) => [group, name] as const),
);

describe('every fused operation', () => {
  it.each(operations)('%s.%s fails with its sign turned', async (group, name) => {
    for (const conformance of classes) {
      const { failures } = await verify(withKernels(withSignTurned(group, name), conformance));
      expect(failures.some(({ reason }) => reason.includes('times its bound'))).toBe(true);
    }
  });
});

type Change = (o: Ops<ReferenceTensor>) => Partial<Ops<ReferenceTensor>>;

const stretched =
  (name: keyof Ops<ReferenceTensor>): Change =>
  (o) => ({
    [name]: (...args: readonly unknown[]) => o.mul((o[name] as Operation)(...args) as ReferenceTensor, 1 + 2 ** -8),
  });

const numeric = [
  ...(['add', 'sub', 'mul', 'div', 'max', 'neg', 'sqrt', 'exp', 'log', 'tanh', 'erf'] as const),
  ...(['full', 'sumLast', 'sumFirst', 'maxLast', 'matmul', 'scatterAdd', 'unfold', 'fold'] as const),
].map((name): [string, Change] => [`${name}, by 2⁻⁸`, stretched(name)]);

describe('every primitive', () => {
  it.each<[string, Change]>([
    ...numeric,
    ['greater, negated', (o) => ({ greater: (a, b) => o.sub(1, o.greater(a, b)) })],
    ['where, crossed', (o) => ({ where: (mask, a, b) => o.where(mask, b, a) })],
    ['packMask, negated', (o) => ({ packMask: (mask) => o.packMask(o.sub(1, mask)) })],
    ['unpackMask, negated', (o) => ({ unpackMask: (bits, shape) => o.sub(1, o.unpackMask(bits, shape)) })],
    ['argmaxLast, of the smallest', (o) => ({ argmaxLast: (x) => o.argmaxLast(o.neg(x)) })],
    ['oneHot, negated', (o) => ({ oneHot: (indices, depth) => o.sub(1, o.oneHot(indices, depth)) })],
    [
      'transpose, not at all',
      (o) => ({
        transpose: (x, order) =>
          o.reshape(
            x,
            order.map((i) => x.shape[i]!),
          ),
      }),
    ],
    [
      'gather, always the first',
      (o) => ({
        gather: (x, { shape: [r = 0] }, axis) =>
          o.gather(x, o.fromHost({ dtype: 'i32', shape: [r], data: new Int32Array(r) }), axis),
      }),
    ],
    ['unfold, with 1 outside', (o) => ({ unfold: (x, window) => o.unfold(x, window, 1) })],
    [
      'fromHost, through bf16',
      (o) => ({
        fromHost: (t) => (t.dtype === 'f32' ? o.cast(o.cast(o.fromHost(t), 'bf16'), 'f32') : o.fromHost(t)),
      }),
    ],
  ])('fails: %s', async (_, change) => {
    for (const conformance of classes) {
      const failed = failedCases(await verify(withOps(change, conformance)));
      expect(failed.filter((id) => id !== 'digest')).not.toEqual([]);
    }
  });
});

describe('a wrong backend', () => {
  it.each<[string, (k: Kernels<ReferenceTensor>) => FusedKernels<ReferenceTensor>, string]>([
    [
      'the sign of ∂δ',
      (k) => ({
        pacaLinear: { deltaGradient: (dy, x, s) => k.neg(k.pacaLinear.deltaGradient(dy, x, s)) },
      }),
      'paca/linear',
    ],
    [
      'the scale of W̃',
      (k) => ({
        pacaLinear: {
          forward: (x, w, b, c) =>
            k.pacaLinear.forward(
              x,
              w,
              b,
              c.map((one) => ({ ...one, scale: one.scale * 2 })),
            ),
        },
      }),
      'paca/linear',
    ],
    [
      'the sign of a GELU gradient',
      (k) => ({ gelu: { backward: (x, dy) => k.neg(k.gelu.backward(x, dy)) } }),
      'layers/gelu',
    ],
    [
      "AdamW's bias correction",
      (k) => ({
        adamw: {
          update: (g, m, p, t, c) => k.adamw.update(g, m, p, t, { ...c, correction1: 1, correction2: 1 }),
        },
      }),
      'optimizers/adamw',
    ],
    [
      'NaN in place of a probability',
      (k) => ({
        crossEntropy: {
          forward: (y, t, d) => [k.full([], Number.NaN), k.crossEntropy.forward(y, t, d)[1]],
        },
      }),
      'losses/cross-entropy',
    ],
    ['a result of another shape', (k) => ({ silu: { forward: (x) => k.reshape(x, [-1]) } }), 'layers/silu'],
    ['a result of another type', (k) => ({ silu: { forward: (x) => k.cast(x, 'bf16') } }), 'layers/silu'],
    ['a missing result', () => ({ silu: { forward: () => undefined as never } }), 'layers/silu'],
    [
      'an exception',
      () => ({
        silu: {
          forward: () => {
            throw new Error('not implemented');
          },
        },
      }),
      'layers/silu',
    ],
    [
      'a relative error of 10⁻⁴',
      (k) => ({ silu: { forward: (x) => k.mul(k.silu.forward(x), 1.0001) } }),
      'layers/silu',
    ],
  ])('fails by %s, in both classes', async (_, change, id) => {
    for (const conformance of ['exact', 'bounded'] as const) {
      const report = await verify(withKernels(change, conformance));
      expect(failedCases(report)).toContain(id);
      expect(report.failed).toBeGreaterThan(0);
    }
  });
});

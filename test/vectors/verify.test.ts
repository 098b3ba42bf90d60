/** The judge is judged: whatever is wrong with a suite or a backend must show. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import type { FusedKernels, Kernels } from '../../src/core/fused.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { rejections, vectorCases } from '../../src/vectors/cases/index.ts';
import { verifySuite } from '../../src/vectors/verify.ts';
import { pairwise, reversed } from '../support/summation-orders.ts';
import { classes, failedCases, verify, withKernels, withOps } from './judged.ts';
import { reading, suiteFile, suiteFiles, tensorsOf } from './suite.ts';

const files = suiteFiles();
const CASE = 'paca/linear-bias-scale';

/** The suite with one file changed. */
const withFile = (name: string, bytes: Uint8Array | null): ReadonlyMap<string, Uint8Array> => {
  const changed = new Map(files);
  if (bytes === null) changed.delete(name);
  else changed.set(name, bytes);
  return changed;
};

/** The suite with one tensor of {@link CASE} changed, or without it. */
const withTensor = (name: string, change: (t: HostTensor) => HostTensor | null): ReadonlyMap<string, Uint8Array> => {
  const { [name]: old, ...others } = tensorsOf(suiteFile(`${CASE}.safetensors`));
  const changed = change(old!);
  return withFile(`${CASE}.safetensors`, encodeSafetensors(changed ? { ...others, [name]: changed } : others));
};

/** The suite with the first element of one tensor of {@link CASE} changed. */
const withElement = (name: string, change: (x: number) => number): ReadonlyMap<string, Uint8Array> =>
  withTensor(name, (t) => {
    const data = (t.data as Float64Array).slice();
    data[0] = change(data[0]!);
    return { ...t, data } as HostTensor;
  });

/** x with its last bit flipped. */
const lastBitFlipped = (x: number): number => {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0]! ^= 1;
  return new Float32Array(bits.buffer)[0]!;
};

/** The suite with another manifest. */
const withManifest = (change: (manifest: { cases: { id: string }[] }) => unknown): ReadonlyMap<string, Uint8Array> => {
  const manifest = JSON.parse(new TextDecoder().decode(suiteFile('manifest.json')));
  return withFile('manifest.json', new TextEncoder().encode(JSON.stringify(change(manifest) ?? manifest)));
};

describe('verifySuite', () => {
  it('passes the reference, in both classes, with the committed digest', async () => {
    const exact = await verify();
    expect(exact).toMatchObject({ failed: 0, skipped: 0, failures: [], version: 1 });
    expect(exact.passed).toBe(vectorCases.length + rejections.length);
    expect(exact.worst.fraction).toBeGreaterThan(0);
    expect(exact.worst.fraction).toBeLessThan(1);
    const bounded = await verify({ ...referenceF32(), conformance: 'bounded' });
    expect(bounded).toMatchObject({ failed: 0, digest: exact.digest });
  });

  it('sees one bit of one element', async () => {
    const report = await verify(referenceF32(), withElement('exact/y', lastBitFlipped));
    expect(report.failures).toEqual([{ case: CASE, reason: expect.stringContaining("'y' element 0: expected") }]);
  });

  it.each(classes)('sees a value that is wrong, a NaN, and a bound of 0 (%s)', async (conformance) => {
    const changes: readonly [string, (x: number) => number][] = [
      ['value/y', (x) => x + 1],
      ['value/y', () => Number.NaN],
      ['bound/y', () => 0],
      ['bound/y', () => Number.NaN],
    ];
    for (const [name, change] of changes) {
      const report = await verify({ ...referenceF32(), conformance }, withElement(name, change));
      expect(failedCases(report)).toEqual([CASE]);
    }
  });

  it.each(classes)('sees tensors that the file lacks or holds in another shape (%s)', async (conformance) => {
    const flat = (t: HostTensor): HostTensor => ({ ...t, shape: [t.data.length] });
    for (const name of ['exact/y', 'value/y', 'bound/y', 'input/x']) {
      for (const change of [() => null, flat]) {
        const report = await verify({ ...referenceF32(), conformance }, withTensor(name, change));
        expect(failedCases(report)).toContain(CASE);
      }
    }
  });

  it('sees files that are missing or cut', async () => {
    const name = `${CASE}.safetensors`;
    expect(failedCases(await verify(referenceF32(), withFile(name, null)))).toContain(CASE);
    expect(failedCases(await verify(referenceF32(), withFile(name, suiteFile(name).subarray(0, 300))))).toContain(CASE);
  });

  it('sees cases that the manifest or the engine lacks', async () => {
    const without = withManifest((m) => ({ ...m, cases: m.cases.filter(({ id }) => id !== CASE) }));
    expect(failedCases(await verify(referenceF32(), without))).toContain(CASE);
    const surplus = withManifest((m) => ({ ...m, cases: [...m.cases, { ...m.cases[0], id: 'layers/unknown' }] }));
    expect(failedCases(await verify(referenceF32(), surplus))).toContain('layers/unknown');
  });

  it('sees a residual of another size', async () => {
    const other = withManifest((m) => ({
      ...m,
      cases: m.cases.map((c) => (c.id === CASE ? { ...c, residualBytes: 1 } : c)),
    }));
    expect(failedCases(await verify(referenceF32(), other))).toEqual([CASE]);
  });

  it.each([
    ['not JSON', '{'],
    ['another format', '{"format":"other"}'],
    ['a version that it does not know', JSON.stringify({ format: 'paca-vectors', version: 2 })],
  ])('refuses a manifest that is %s', async (_, text) => {
    const result = await verifySuite(
      referenceF32(),
      reading(withFile('manifest.json', new TextEncoder().encode(text))),
    );
    expect(E.isLeft(result) && result.left.where).toContain('manifest.json');
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

describe('a backend of another order', () => {
  it.each([
    ['reversed', reversed],
    ['pairwise', pairwise],
  ] as const)('is bounded but not exact: %s', async (_, order) => {
    expect(await verify(withOps(order, 'bounded'))).toMatchObject({ failed: 0, failures: [] });
    expect(failedCases(await verify(withOps(order, 'exact')))).toEqual(
      expect.arrayContaining(['layers/linear', 'paca/linear', 'layers/rms-norm', 'digest']),
    );
  });

  it('is refused where it computes in f64', async () => {
    const refused = await verifySuite(referenceF64(), reading(suiteFiles()));
    expect(E.isLeft(refused) && refused.left).toMatchObject({ tag: 'BackendError', came: 'one in f64' });
  });
});

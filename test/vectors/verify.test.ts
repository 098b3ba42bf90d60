/** The judge is judged: whatever is wrong with a suite or a backend must show. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import type { Backend } from '../../src/core/backend.ts';
import { type FusedKernels, type Kernels, kernels } from '../../src/core/fused.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { rejections, vectorCases } from '../../src/vectors/cases/index.ts';
import { type Report, verifySuite } from '../../src/vectors/verify.ts';
import { reading, suiteFile, suiteFiles, tensorsOf } from './suite.ts';

const files = suiteFiles();
const CASE = 'paca/linear-bias-scale';

const verify = async (
  backend: Backend<ReferenceTensor> = referenceF32(),
  suite: ReadonlyMap<string, Uint8Array> = files,
): Promise<Report> => orThrow(await verifySuite(backend, reading(suite)));

/** The suite with one file changed. */
const withFile = (name: string, bytes: Uint8Array | null): ReadonlyMap<string, Uint8Array> => {
  const changed = new Map(files);
  if (bytes === null) changed.delete(name);
  else changed.set(name, bytes);
  return changed;
};

/** The suite with the first element of one tensor of {@link CASE} changed. */
const withElement = (name: string, change: (x: number) => number): ReadonlyMap<string, Uint8Array> => {
  const tensors = { ...tensorsOf(suiteFile(`${CASE}.safetensors`)) };
  const data = (tensors[name]!.data as Float64Array).slice();
  data[0] = change(data[0]!);
  tensors[name] = { ...tensors[name]!, data } as HostTensor;
  return withFile(`${CASE}.safetensors`, encodeSafetensors(tensors));
};

/** The suite with another manifest. */
const withManifest = (change: (manifest: { cases: { id: string }[] }) => unknown): ReadonlyMap<string, Uint8Array> => {
  const manifest = JSON.parse(new TextDecoder().decode(suiteFile('manifest.json')));
  return withFile('manifest.json', new TextEncoder().encode(JSON.stringify(change(manifest) ?? manifest)));
};

/** The reference with some of its kernels replaced. */
const faulty = (
  change: (k: Kernels<ReferenceTensor>) => FusedKernels<ReferenceTensor>,
  conformance: 'exact' | 'bounded' = 'exact',
): Backend<ReferenceTensor> => {
  const backend = referenceF32();
  return { ...backend, conformance, kernels: kernels(backend.kernels, change(backend.kernels)) };
};

const failedCases = ({ failures }: Report): readonly string[] => [...new Set(failures.map((f) => f.case))];

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
    const next = (x: number): number => Math.fround(x * (1 + 2 ** -23));
    expect(failedCases(await verify(referenceF32(), withElement('exact/y', next)))).toEqual([CASE]);
  });

  it('sees a value outside its bound, and a NaN', async () => {
    const bounded = { ...referenceF32(), conformance: 'bounded' as const };
    expect(
      failedCases(
        await verify(
          bounded,
          withElement('value/y', (x) => x + 1),
        ),
      ),
    ).toEqual([CASE]);
    expect(
      failedCases(
        await verify(
          bounded,
          withElement('value/y', () => Number.NaN),
        ),
      ),
    ).toEqual([CASE]);
    expect(
      failedCases(
        await verify(
          bounded,
          withElement('bound/y', () => 0),
        ),
      ),
    ).toEqual([CASE]);
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
  ])('fails by %s, in both classes', async (_, change, id) => {
    for (const conformance of ['exact', 'bounded'] as const) {
      const report = await verify(faulty(change, conformance));
      expect(failedCases(report)).toContain(id);
      expect(report.failed).toBeGreaterThan(0);
    }
  });
});

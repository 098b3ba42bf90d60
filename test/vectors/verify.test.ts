/** The judge is judged: whatever is wrong with a suite or a backend must show. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { rejections, vectorCases } from '../../src/vectors/cases/index.ts';
import type { Manifest, ManifestCase } from '../../src/vectors/manifest.ts';
import { verifySuite } from '../../src/vectors/verify.ts';
import { pairwise, reversed } from '../support/summation-orders.ts';
import { classes, failedCases, verify, withOps } from './judged.ts';
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

type Tensors = Readonly<Record<string, HostTensor>>;

/** The suite with other tensors in the file of a case. */
const withTensors = (change: (tensors: Tensors) => Tensors, id = CASE): ReadonlyMap<string, Uint8Array> => {
  const name = `${id}.safetensors`;
  return withFile(name, encodeSafetensors(change(tensorsOf(suiteFile(name)))));
};

/** The suite with one tensor changed, or left out. */
const withTensor = (
  name: string,
  change: (t: HostTensor) => HostTensor | null,
  id = CASE,
): ReadonlyMap<string, Uint8Array> =>
  withTensors(({ [name]: old, ...others }) => {
    const changed = change(old!);
    return changed ? { ...others, [name]: changed } : others;
  }, id);

/** The suite with the first element of one tensor changed. */
const withElement = (name: string, change: (x: number) => number, id?: string): ReadonlyMap<string, Uint8Array> => {
  const changed = (t: HostTensor): HostTensor => {
    const data = (t.data as Float64Array).slice();
    data[0] = change(data[0]!);
    return { ...t, data } as HostTensor;
  };
  return withTensor(name, changed, id);
};

/** x with its last bit flipped. */
const lastBitFlipped = (x: number): number => {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0]! ^= 1;
  return new Float32Array(bits.buffer)[0]!;
};

/** The suite with another manifest. */
const withManifest = (
  change: (manifest: Pick<Manifest, 'cases' | 'rejections'>) => unknown,
): ReadonlyMap<string, Uint8Array> => {
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

  it.each(classes)('sees a result of another type or shape (%s)', async (conformance) => {
    const flat = (t: HostTensor): HostTensor => ({ ...t, shape: [t.data.length] });
    const suites = [
      withTensor('exact/y', (t) => ({ dtype: 'f64', shape: t.shape, data: Float64Array.from(t.data, Number) })),
      withTensors((all) => ({
        ...all,
        ...Object.fromEntries(['exact/y', 'value/y', 'bound/y'].map((name) => [name, flat(all[name]!)])),
      })),
    ];
    for (const suite of suites) {
      expect(failedCases(await verify({ ...referenceF32(), conformance }, suite))).toContain(CASE);
    }
  });

  it('draws the line at the bound', async () => {
    const { 'exact/y': exact, 'bound/y': bound } = tensorsOf(suiteFile(`${CASE}.safetensors`));
    const away = (fraction: number): ReadonlyMap<string, Uint8Array> =>
      withElement('value/y', () => Number(exact!.data[0]) + fraction * Number(bound!.data[0]));
    const bounded = { ...referenceF32(), conformance: 'bounded' as const };
    expect(await verify(bounded, away(-0.99))).toMatchObject({ failed: 0, worst: { case: CASE } });
    for (const fraction of [1.01, -1.01]) expect(failedCases(await verify(bounded, away(fraction)))).toEqual([CASE]);
  });

  it.each(classes)('sees a wrong index, which no bound excuses (%s)', async (conformance) => {
    const id = 'selection/weight-norm';
    const report = await verify(
      { ...referenceF32(), conformance },
      withElement('exact/indices', (i) => i + 1, id),
    );
    expect(failedCases(report)).toEqual([id]);
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

  it('sees outputs that the manifest or the engine lacks', async () => {
    const withOutputs = (change: (outputs: ManifestCase['outputs']) => unknown): ReadonlyMap<string, Uint8Array> =>
      withManifest((m) => ({
        ...m,
        cases: m.cases.map((c) => (c.id === CASE ? { ...c, outputs: change(c.outputs) } : c)),
      }));
    const bounded = { ...referenceF32(), conformance: 'bounded' as const };
    expect(
      failedCases(
        await verify(
          bounded,
          withOutputs(({ dx: _, ...others }) => others),
        ),
      ),
    ).toEqual([CASE]);
    expect(
      failedCases(
        await verify(
          bounded,
          withOutputs(({ y, ...o }) => ({ y, ...o, other: y })),
        ),
      ),
    ).toEqual([CASE]);
  });

  it('sees rejections of another kind, and such as it does not know', async () => {
    const withRejection = (change: Partial<Manifest['rejections'][number]>): ReadonlyMap<string, Uint8Array> =>
      withManifest(({ rejections: [first, ...others], ...m }) => ({
        ...m,
        rejections: [first, { ...first, ...change }, ...others],
      }));
    expect(failedCases(await verify(referenceF32(), withRejection({ expected: 'FileError' })))).toEqual([
      'rejections/repeated-index',
    ]);
    const unknown = 'rejections/unknown';
    expect(failedCases(await verify(referenceF32(), withRejection({ id: unknown })))).toEqual([unknown]);
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

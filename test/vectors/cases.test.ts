/** Every case is a test: bits of the f32 reference, values of the f64 one, and how far the two lie apart. */
import { createHash } from 'node:crypto';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import { bytesPerElement } from '../../src/spec/dtype.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { rejections, vectorCases } from '../../src/vectors/cases/index.ts';
import { generateSuite } from '../../src/vectors/generate.ts';
import { parseManifest } from '../../src/vectors/manifest.ts';
import { runCase } from '../../src/vectors/run.ts';
import { largestFraction } from '../../src/vectors/verify.ts';
import { suiteFile, suiteFiles, tensorsOf } from './suite.ts';

/** Index of the first element that differs, or −1. */
const firstDifference = (a: HostTensor, b: HostTensor): number => {
  const longer = Math.max(a.data.length, b.data.length);
  for (let i = 0; i < longer; i++) if (!Object.is(a.data[i], b.data[i])) return i;
  return -1;
};

const numbers = (t: HostTensor): readonly number[] => Array.from(t.data as Float64Array);

const manifest = orThrow(parseManifest(new TextDecoder().decode(suiteFile('manifest.json')), 'manifest.json'));

const withoutData = (tensors: readonly (readonly [string, HostTensor])[]): unknown =>
  Object.fromEntries(tensors.map(([name, { dtype, shape }]) => [name, { dtype, shape }]));

describe.each(vectorCases.map((c) => [c.id, c] as const))('%s', (id, c) => {
  const tensors = tensorsOf(suiteFile(`${id}.safetensors`));
  const names = (prefix: string): readonly string[] =>
    Object.keys(tensors).flatMap((name) => (name.startsWith(`${prefix}/`) ? [name.slice(prefix.length + 1)] : []));

  it('has the committed bits in f32 and the committed values in f64', async () => {
    const f32 = await runCase(referenceF32().kernels, c, c.inputs);
    const f64 = await runCase(referenceF64().kernels, c, c.inputs);
    expect(Object.keys(f32).sort()).toEqual([...names('exact')].sort());
    for (const name of names('exact')) {
      expect(firstDifference(f32[name]!, tensors[`exact/${name}`]!), `exact ${name}`).toBe(-1);
    }
    for (const name of names('value')) {
      expect(firstDifference(f64[name]!, tensors[`value/${name}`]!), `value ${name}`).toBe(-1);
    }
  });

  it('is in the manifest as it is here and in its file', () => {
    const entry = manifest.cases.find((one) => one.id === id)!;
    expect(entry).toMatchObject({ note: c.note, settings: c.settings, file: `${id}.safetensors` });
    expect(entry.inputs).toEqual(withoutData(Object.entries(c.inputs)));
    expect(entry.outputs).toEqual(withoutData(names('exact').map((name) => [name, tensors[`exact/${name}`]!])));
    expect(entry.residualBytes).toBe(c.residualBytes?.(referenceF32().kernels));
    for (const name of names('input')) {
      expect(firstDifference(tensors[`input/${name}`]!, c.inputs[name]!), `input ${name}`).toBe(-1);
    }
  });

  it('lies within bounds that are finite and mean something', () => {
    for (const name of names('value')) {
      const [exact, value, bound] = ['exact', 'value', 'bound'].map((prefix) => tensors[`${prefix}/${name}`]!);
      expect(largestFraction(exact!, value!, bound!), name).toBeLessThan(1);
      // Over a training run errors grow by a factor a step; everything else is one formula deep.
      const limit = id.startsWith('training/') ? 0.01 : 1e-3;
      const values = numbers(value!);
      const loosest = Math.max(...numbers(bound!).map((b, i) => b / (1 + Math.abs(values[i]!))));
      expect(loosest, name).toBeLessThan(limit);
    }
  });
});

it.each(rejections.map((r) => [r.id, r] as const))('%s', (id, { expected, note, settings, run }) => {
  for (const backend of [referenceF32(), referenceF64()]) {
    const result = run(backend.kernels);
    expect(E.isLeft(result) && result.left).toMatchObject({ tag: expected, expected: /./, came: /./, where: /./ });
  }
  expect(manifest.rejections).toContainEqual({ id, note, settings, expected });
});

describe('the suite', () => {
  it('is what generating it gives, byte for byte', async () => {
    const generated = await generateSuite({ f32: referenceF32().kernels, f64: referenceF64().kernels });
    const committed = suiteFiles();
    expect([...generated.keys()].sort()).toEqual([...committed.keys()].sort());
    for (const [name, bytes] of generated) expect(Buffer.compare(bytes, committed.get(name)!), name).toBe(0);
  });

  it('names no case twice, here and in the manifest', () => {
    const ids = [...vectorCases, ...rejections].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect([...manifest.cases, ...manifest.rejections].map(({ id }) => id)).toEqual(ids);
  });

  it('has the digest of its exact tensors, in the order of the manifest', () => {
    const hash = createHash('sha256');
    for (const { file, outputs } of manifest.cases) {
      const tensors = tensorsOf(suiteFile(file));
      for (const name of Object.keys(outputs)) hash.update(tensors[`exact/${name}`]!.data as Float32Array);
    }
    expect(manifest.digest).toBe(hash.digest('hex'));
  });

  it('counts the residual of a PaCA linear map as n·r numbers of f32', () => {
    const realistic = vectorCases.find(({ id }) => id === 'paca/linear-realistic')!;
    const [n, r] = [32, 8];
    expect(realistic.residualBytes?.(referenceF32().kernels)).toBe(n * r * bytesPerElement('f32'));
  });
});

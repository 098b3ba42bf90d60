/** Every case is a test: bits of the f32 reference, values of the f64 one, and how far the two lie apart. */
import { describe, expect, it } from 'vitest';
import { referenceF32, referenceF64 } from '../../backends/reference/backend.ts';
import { bytesPerElement } from '../../src/spec/dtype.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { vectorCases } from '../../src/vectors/cases/index.ts';
import { generateSuite } from '../../src/vectors/generate.ts';
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

  it('lies within bounds that are finite and mean something', () => {
    for (const name of names('value')) {
      const [exact, value, bound] = ['exact', 'value', 'bound'].map((prefix) => tensors[`${prefix}/${name}`]!);
      expect(largestFraction(exact!, value!, bound!), name).toBeLessThan(1);
      const limit = id.startsWith('training/') ? 0.05 : 1e-3;
      const values = numbers(value!);
      const loosest = Math.max(...numbers(bound!).map((b, i) => b / (1 + Math.abs(values[i]!))));
      expect(loosest, name).toBeLessThan(limit);
    }
  });
});

describe('the suite', () => {
  it('is what generating it gives, byte for byte', async () => {
    const generated = await generateSuite({ f32: referenceF32().kernels, f64: referenceF64().kernels });
    const committed = suiteFiles();
    expect([...generated.keys()].sort()).toEqual([...committed.keys()].sort());
    for (const [name, bytes] of generated) expect(Buffer.compare(bytes, committed.get(name)!), name).toBe(0);
  });

  it('names no case twice', () => {
    expect(new Set(vectorCases.map(({ id }) => id)).size).toBe(vectorCases.length);
  });

  it('counts the residual of a PaCA linear map as n·r numbers of f32', () => {
    const realistic = vectorCases.find(({ id }) => id === 'paca/linear-realistic')!;
    const [n, r] = [32, 8];
    expect(realistic.residualBytes?.(referenceF32().kernels)).toBe(n * r * bytesPerElement('f32'));
  });
});

/** Attention and rotary positions in WebAssembly: the reference's bits for all shapes and cuts, in linear memory. */
import { describe, expect, it } from 'vitest';
import { resolveBackend } from '../../backends/resolve.ts';
import type { AttentionConfig } from '../../src/core/derived/attention.ts';
import type { DocumentStarts } from '../../src/spec/documents.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { agree, agreeOnDefect, fc, floats, mix, seed } from './wasm-kit.ts';

interface Sizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly groups: number;
  readonly ofGroup: number;
  readonly width: number;
}

type Mask = Pick<AttentionConfig, 'causal' | 'window' | 'starts'>;

const attend = (
  { batch, queries, keys, groups, ofGroup, width }: Sizes,
  mask: Mask,
  scale: number,
  s: number,
): Promise<void> => {
  const ofQuery = [batch, queries, groups * ofGroup, width];
  const ofKey = [batch, keys, groups, width];
  const inputs = [ofQuery, ofKey, ofKey, ofQuery].map((shape, i) => floats(s + i, shape, [0, 0]));
  return agree(inputs, (k, q, key, v, dy) => [
    k.attention.forward(q!, key!, v!, { ...mask, scale }),
    ...k.attention.backward(q!, key!, v!, dy!, { ...mask, scale }),
  ]);
};

/** On either side of vectors, lanes and blocks of queries. */
const tokens = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 2, arbitrary: fc.constantFrom(31, 33, 63, 64, 65, 129, 200) },
);

const sizes: fc.Arbitrary<Sizes> = fc
  .record({
    batch: fc.constantFrom(1, 1, 2),
    queries: tokens,
    more: fc.constantFrom(0, 0, 1, 5, 70),
    groups: fc.constantFrom(1, 2),
    ofGroup: fc.constantFrom(1, 2, 3),
    width: fc.constantFrom(1, 2, 3, 8, 16, 17, 32),
  })
  .map(({ more, ...rest }) => ({ ...rest, keys: rest.queries + more }));

const window = fc.oneof(fc.constant(null), fc.integer({ min: 1, max: 100 }));
/** Documents for the last `queries` places of `keys`, from draws that say how far the next one is. */
const documents = ({ batch, queries, keys }: Sizes, draws: readonly number[]): DocumentStarts => {
  const data = Int32Array.from({ length: batch * queries }, (_, i) => {
    const place = keys - queries + (i % queries);
    const length = draws[Math.floor(i / queries) % draws.length]!;
    return place - (place % length);
  });
  return { dtype: 'i32', shape: [batch, queries], data };
};

const scale = fc.constantFrom(1, 0.25, 0.3, -0.5, 4);

describe('attention', () => {
  it('causal, forward and backward', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, window, scale, seed, (size, w, c, s) => attend(size, { causal: true, window: w }, c, s)),
      { numRuns: 120 },
    );
  });

  it('causal, within documents', async () => {
    const lengths = fc.array(fc.constantFrom(1, 2, 7, 16, 31, 50), { minLength: 1, maxLength: 2 });
    await fc.assert(
      fc.asyncProperty(sizes, window, lengths, scale, seed, (size, w, draws, c, s) =>
        attend(size, { causal: true, window: w, starts: documents(size, draws) }, c, s),
      ),
      { numRuns: 120 },
    );
  });

  it.each<[string, readonly number[], readonly number[]]>([
    ['starts of other rows', [2, 2], [0, 0, 0, 0]],
    ['a start behind its token', [1, 3], [0, 2, 2]],
    ['a start before that of the token before', [1, 3], [0, 1, 0]],
    ['a start before the row', [1, 3], [-1, 0, 0]],
  ])('refuses %s, as the reference does', (_, shape, values) => {
    const x = floats(1, [1, 3, 2, 2]);
    const starts: DocumentStarts = { dtype: 'i32', shape, data: Int32Array.from(values) };
    agreeOnDefect([x], (o, a) => o.attention.forward(a!, a!, a!, { causal: true, window: null, scale: 1, starts }));
  });

  it('everywhere, with fewer keys than queries too', async () => {
    await fc.assert(
      fc.asyncProperty(sizes, tokens, scale, seed, (size, keys, c, s) =>
        attend({ ...size, keys }, { causal: false, window: null }, c, s),
      ),
      { numRuns: 60 },
    );
  });

  it.each<[string, Partial<Sizes>]>([
    ['no sequences', { batch: 0 }],
    ['no queries', { queries: 0 }],
    ['no width', { width: 0 }],
    ['no keys', { queries: 3, keys: 0 }],
  ])('of %s', async (_, empty) => {
    const size = { batch: 2, queries: 5, keys: 5, groups: 2, ofGroup: 2, width: 4, ...empty };
    await attend(size, { causal: false, window: null }, 1, 3);
  });

  it('refuses what does not fit, as the reference does', () => {
    const [q, k] = [floats(1, [1, 3, 3, 2]), floats(2, [1, 3, 2, 2])];
    const config = { causal: false, window: null, scale: 1 };
    agreeOnDefect([q, k], (o, a, b) => o.attention.forward(a!, b!, b!, config));
  });
});

describe('attention in linear memory', () => {
  it.each([false, true])(
    'needs room that grows with the keys and not with their square (documents: %s)',
    async (several) => {
      const { kernels: k, dispose } = orThrow(await resolveBackend('wasm', { threads: 2 }));
      const peakOf = (length: number): number => {
        const shape = [1, length, 2, 4];
        const [q, key, v, dy] = [0, 1, 2, 3].map((i) => k.fromHost(floats(i, shape, [0, 0])));
        const starts = documents({ batch: 1, queries: length, keys: length, groups: 2, ofGroup: 1, width: 4 }, [50]);
        const config = { causal: true, window: null, scale: 0.5, starts: several ? starts : undefined };
        k.resetPeak();
        const before = k.memory().live;
        k.scope(() => void k.attention.forward(q!, key!, v!, config));
        k.scope(() => void k.attention.backward(q!, key!, v!, dy!, config));
        const grown = k.memory().peak - before;
        k.donate([q, key, v, dy]);
        return grown;
      };
      const [short, long] = [peakOf(512), peakOf(4096)];
      expect(long / short).toBeLessThan(8.5);
      expect(long).toBeLessThan(4096 * 4096);
      await dispose();
    },
  );

  it('has the same bits on any number of threads', async () => {
    const run = async (threads: number): Promise<readonly (readonly number[])[]> => {
      const { kernels: k, dispose } = orThrow(await resolveBackend('wasm', { threads }));
      const of = (i: number, heads: number) => k.fromHost(floats(i, [2, 150, heads, 16], [0, 0]));
      const [q, key, v, dy] = [of(0, 4), of(1, 2), of(2, 2), of(3, 4)];
      const config = { causal: true, window: 90, scale: 0.25 };
      const results = [k.attention.forward(q, key, v, config), ...k.attention.backward(q, key, v, dy, config)];
      const read = await Promise.all(results.map(async (t) => Array.from((await k.toHost(t)).data, Number)));
      await dispose();
      return read;
    };
    const alone = await run(1);
    expect(await run(2)).toEqual(alone);
    expect(await run(3)).toEqual(alone);
  });
});

describe('rope', () => {
  it('forward and back', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.tuple(fc.integer({ min: 0, max: 2 }), tokens, fc.constantFrom(1, 2, 3), fc.integer({ min: 1, max: 20 })),
        fc.constantFrom(0, 3),
        seed,
        mix,
        ([batch, count, heads, half], more, s, m) => {
          const table = [count + more, half];
          const inputs = [
            floats(s, [batch, count, heads, 2 * half], m),
            floats(s + 1, table, m),
            floats(s + 2, table, m),
          ];
          return agree(inputs, (k, x, cos, sin) => [k.rope.forward(x!, cos!, sin!), k.rope.backward(x!, cos!, sin!)]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('at places that are given', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(6), { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 9 }),
        seed,
        (at, half, s) => {
          const inputs = [floats(s, [1, at.length, 2, 2 * half]), floats(s + 1, [64, half]), floats(s + 2, [64, half])];
          const places = { dtype: 'i32', shape: [1, at.length], data: Int32Array.from(at) } as const;
          return agree(inputs, (k, x, cos, sin) => [
            k.rope.forward(x!, cos!, sin!, places),
            k.rope.backward(x!, cos!, sin!, places),
          ]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it.each([[[0, 1]], [[0, 1, 2, 7]], [[0, -1, 2, 3]]])('refuses the places %j, as the reference does', (at) => {
    const places = { dtype: 'i32', shape: [1, at.length], data: Int32Array.from(at) } as const;
    agreeOnDefect([floats(1, [1, 4, 2, 4]), floats(2, [7, 2])], (k, x, t) => k.rope.forward(x!, t!, t!, places));
  });

  it('refuses tables that are too short, as the reference does', () =>
    agreeOnDefect([floats(1, [1, 3, 2, 4]), floats(2, [2, 2])], (k, x, t) => k.rope.forward(x!, t!, t!)));
});

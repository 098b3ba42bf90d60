/**
 * Packing: every trained pair survives, once, in whatever rows; targets are shifted and never cross documents.
 */
import { describe, expect, it } from 'vitest';
import { type Packing, planRows, type Row, type TokenBatch, tokenBatch, tokenBatches } from '../../src/data/packing.ts';
import type { TokenSequence } from '../../src/data/sequences.ts';
import { checkStarts } from '../../src/spec/documents.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { checkTargets } from '../../src/train/host-batch.ts';
import { fc } from '../support/fast-check.ts';

const padding = 999;
const sequence = (ids: readonly number[], trains: readonly number[]): TokenSequence => ({
  ids: Int32Array.from(ids),
  trains: Uint8Array.from(trains),
});

/** Sequences of tokens that occur once in the set: (token 100·k + i is the i-th of sequence k), so that pairs have names. */
const sets: fc.Arbitrary<readonly TokenSequence[]> = fc
  .array(fc.array(fc.nat(1), { minLength: 1, maxLength: 12 }), { minLength: 1, maxLength: 8 })
  .map((all) =>
    all.map((marks, k) =>
      sequence(
        marks.map((_, i) => 100 * k + i),
        marks.map((mark, i) => (i === 0 ? 0 : mark)),
      ),
    ),
  );

const packings: fc.Arbitrary<Packing> = fc.oneof(
  fc.integer({ min: 12, max: 40 }).map((length) => ({ pack: true, length }) as const),
  fc.constantFrom(1, 8).map((padToMultipleOf) => ({ pack: false, padToMultipleOf }) as const),
);

/** Context (the document up to here) → target, as text. */
const pairsOf = (all: readonly TokenSequence[]): string[] =>
  all.flatMap(({ ids, trains }) =>
    Array.from(ids.slice(1), (id, i) => (trains[i + 1] === 1 ? [`${ids.slice(0, i + 1).join()} → ${id}`] : [])).flat(),
  );

/** The same pairs, read off the batches: a document is the run of tokens of one hundred. */
const pairsIn = ({ inputs, targets }: TokenBatch): string[] => {
  const [, length = 0] = inputs.shape;
  return Array.from(targets.data, (target, p) => {
    if (target === -100) return [];
    const row = [...inputs.data.slice(p - (p % length), p + 1)];
    const document = Math.floor((inputs.data[p] as number) / 100);
    return [`${row.filter((id) => Math.floor(id / 100) === document).join()} → ${target}`];
  }).flat();
};

const sorted = (items: readonly string[]): string[] => [...items].sort();
const rowsOf = (rows: readonly Row[]): number[][] => rows.map((row) => [...row]);

describe('tokenBatches', () => {
  it('hold the trained pairs of the sequences, each once, and count them', () => {
    fc.assert(
      fc.property(sets, packings, fc.integer({ min: 1, max: 4 }), (all, packing, rowsPerBatch) => {
        const batches = orThrow(tokenBatches(all, rowsPerBatch, packing, padding));
        expect(sorted(batches.flatMap(pairsIn))).toEqual(sorted(pairsOf(all)));
        for (const { targets, count } of batches) expect(targets.data.filter((t) => t !== -100).length).toBe(count);
        const trained = all.reduce((n, { trains }) => n + trains.filter((t) => t === 1).length, 0);
        expect(batches.reduce((n, { count }) => n + count, 0)).toBe(trained);
      }),
      { numRuns: 300 },
    );
  });

  it('have their shapes, and pass the check of the trainer', () => {
    fc.assert(
      fc.property(sets, packings, fc.integer({ min: 1, max: 4 }), (all, packing, rowsPerBatch) => {
        const batches = orThrow(tokenBatches(all, rowsPerBatch, packing, padding));
        const rows = orThrow(planRows(all, packing));
        expect(batches.map(({ inputs }) => inputs.shape[0]).reduce((n = 0, r = 0) => n + r)).toBe(rows.length);
        for (const batch of batches) {
          const [count = 0, length = 0] = batch.inputs.shape;
          expect([batch.inputs.data.length, batch.targets.data.length]).toEqual([count * length, count * length]);
          expect(batch.targets.shape).toEqual([count * length]);
          expect(checkTargets(batch, 1000, 'batch')).toMatchObject({ right: null });
        }
      }),
    );
  });

  it('hold every token in order, then padding', () => {
    fc.assert(
      fc.property(sets, packings, (all, packing) => {
        const batches = orThrow(tokenBatches(all, 1, packing, padding));
        const kept = batches.flatMap(({ inputs }) => [...inputs.data].filter((id) => id !== padding));
        expect(kept).toEqual(all.flatMap(({ ids }) => [...ids]));
        for (const { inputs } of batches) {
          const first = inputs.data.indexOf(padding);
          if (first >= 0) expect(inputs.data.slice(first).every((id) => id === padding)).toBe(true);
        }
      }),
    );
  });

  it('by hand, packed', () => {
    const all = [sequence([1, 2, 3], [0, 0, 1]), sequence([4, 5], [0, 1]), sequence([6, 7], [0, 1])];
    const [batch, ...others] = orThrow(tokenBatches(all, 2, { pack: true, length: 6 }, 0));
    expect(others).toEqual([]);
    expect(batch).toEqual({
      inputs: { dtype: 'i32', shape: [2, 6], data: Int32Array.of(1, 2, 3, 4, 5, 0, 6, 7, 0, 0, 0, 0) },
      targets: {
        dtype: 'i32',
        shape: [12],
        data: Int32Array.of(-100, 3, -100, 5, -100, -100, 7, -100, -100, -100, -100, -100),
      },
      count: 3,
      starts: { dtype: 'i32', shape: [2, 6], data: Int32Array.of(0, 0, 0, 3, 3, 5, 0, 0, 2, 2, 2, 2) },
    });
    const [across] = orThrow(tokenBatches(all, 2, { pack: true, length: 6, across: true }, 0));
    const { starts: _, ...rest } = batch!;
    expect(across).toEqual(rest);
  });

  it('say where each token’s sequence starts, where rows hold several', () => {
    fc.assert(
      fc.property(sets, packings, (all, packing) => {
        for (const { inputs, starts } of orThrow(tokenBatches(all, 2, packing, padding))) {
          expect(starts !== undefined).toBe(packing.pack);
          if (starts === undefined) continue;
          const [rows = 0, length = 0] = inputs.shape;
          checkStarts(starts, rows, length, length);
          const documentOf = (p: number): number => Math.floor((inputs.data[p] as number) / 100);
          starts.data.forEach((start, p) => {
            const first = p - (p % length) + start;
            expect(documentOf(first)).toBe(documentOf(p));
            if (start > 0) expect(documentOf(first - 1)).not.toBe(documentOf(p));
          });
        }
      }),
    );
  });

  it('by hand, a row each, of the length that each batch needs', () => {
    const all = [3, 9, 2].map((n, k) =>
      sequence(
        Array.from({ length: n }, (_, i) => 100 * k + i),
        [0, ...new Array(n - 1).fill(1)],
      ),
    );
    const lengths = (padToMultipleOf: number): readonly (readonly number[])[] =>
      orThrow(tokenBatches(all, 2, { pack: false, padToMultipleOf }, 0)).map(({ inputs }) => inputs.shape);
    expect(lengths(1)).toEqual([
      [2, 9],
      [1, 2],
    ]);
    expect(lengths(8)).toEqual([
      [2, 16],
      [1, 8],
    ]);
  });
});

describe('planRows', () => {
  it('packs greedily in order: no sequence is cut or moved, and none would have fitted the row before', () => {
    fc.assert(
      fc.property(sets, fc.integer({ min: 12, max: 40 }), (all, length) => {
        const rows = rowsOf(orThrow(planRows(all, { pack: true, length })));
        expect(rows.flat()).toEqual(all.map((_, i) => i));
        const size = (row: readonly number[]): number => row.reduce((n, i) => n + (all[i]?.ids.length ?? 0), 0);
        rows.forEach((row, r) => {
          expect(size(row)).toBeLessThanOrEqual(length);
          const next = rows[r + 1]?.slice(0, 1);
          if (next !== undefined) expect(size(row) + size(next)).toBeGreaterThan(length);
        });
      }),
    );
  });

  it('gives each sequence a row without packing', () => {
    const all = [sequence([1], [0]), sequence([2, 3], [0, 1])];
    expect(rowsOf(orThrow(planRows(all, { pack: false, padToMultipleOf: 8 })))).toEqual([[0], [1]]);
  });
});

describe('wrong input', () => {
  const all = [sequence([1, 2, 3], [0, 1, 1]), sequence([4, 5, 6, 7], [0, 1, 1, 1])];
  const packed: Packing = { pack: true, length: 5 };
  const row = (...i: number[]): Row => Int32Array.from(i);

  it.each<[string, Packing, string, string]>([
    ['length 0', { pack: true, length: 0 }, 'ConfigError', 'length'],
    ['half a token', { pack: true, length: 4.5 }, 'ConfigError', 'length'],
    ['a multiple of 0', { pack: false, padToMultipleOf: 0 }, 'ConfigError', 'padToMultipleOf'],
    ['a multiple of nothing', { pack: false, padToMultipleOf: Number.NaN }, 'ConfigError', 'padToMultipleOf'],
    ['a sequence that no row holds', { pack: true, length: 3 }, 'DataError', 'sequences[1]'],
  ])('planRows refuses %s', (_, packing, tag, where) => {
    expect(planRows(all, packing)).toMatchObject({ left: { tag, where } });
  });

  it('planRows and tokenBatches refuse an empty set', () => {
    expect(planRows([], packed)).toMatchObject({ left: { tag: 'DataError', where: 'sequences' } });
    expect(tokenBatches([], 1, packed, 0)).toMatchObject({ left: { tag: 'DataError', where: 'sequences' } });
  });

  it.each<[string, readonly Row[], number, string, string]>([
    ['a padding below 0', [row(0)], -1, 'ConfigError', 'padding'],
    ['a padding that is no i32', [row(0)], 2 ** 31, 'ConfigError', 'padding'],
    ['half a padding', [row(0)], 0.5, 'ConfigError', 'padding'],
    ['a sequence that is not there', [row(0), row(2)], 0, 'IndexError', 'rows'],
    ['no rows', [], 0, 'IndexError', 'rows'],
    ['a row that is too long', [row(0), row(0, 1)], 0, 'DataError', 'rows'],
  ])('tokenBatch refuses %s', (_, rows, pad, tag, where) => {
    expect(tokenBatch(all, rows, packed, pad)).toMatchObject({ left: { tag, where } });
  });

  it.each([0, -1, 1.5])('tokenBatches refuse %d rows a batch', (rows) => {
    expect(tokenBatches(all, rows, packed, 0)).toMatchObject({ left: { tag: 'ConfigError', where: 'rowsPerBatch' } });
  });
});

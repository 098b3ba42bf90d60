/** The memory of the WebAssembly backend: the reference's contract, and the blocks below it. */
import { describe, expect, it } from 'vitest';
import { createMemory as createReferenceMemory } from '../../backends/reference/memory.ts';
import { blockLength, createAllocator, LINE } from '../../backends/wasm/allocator.ts';
import { createMemory, type Memory, PAGE } from '../../backends/wasm/memory.ts';
import { newMemory } from '../../backends/wasm/module.ts';
import type { MemoryUse } from '../../src/core/ops.ts';
import type { Shape, Spec } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';

const MIB = 1024 * 1024;
const memoryOf = (limit: number): Memory => createMemory(newMemory(limit), PAGE, limit);

interface Taken {
  readonly start: number;
  readonly bytes: number;
}

/** Takes (a size) and gives back (a place in the list of what is taken), as drawn. */
const steps = fc.array(fc.tuple(fc.boolean(), fc.nat(2000)), { maxLength: 200 });

describe('blocks', () => {
  it('that are taken at once never overlap, lie in range and on lines', () => {
    fc.assert(
      fc.property(steps, (drawn) => {
        const allocator = createAllocator(LINE, LINE + 16384);
        const taken: Taken[] = [];
        for (const [isTake, n] of drawn) {
          if (!isTake && taken.length > 0) {
            const [gone] = taken.splice(n % taken.length, 1);
            allocator.giveBack(gone!.start, gone!.bytes);
            continue;
          }
          const start = allocator.take(n);
          if (start === null) continue;
          expect(start % LINE).toBe(0);
          expect(start).toBeGreaterThanOrEqual(LINE);
          expect(start + n).toBeLessThanOrEqual(LINE + 16384);
          const end = start + blockLength(n);
          for (const other of taken) {
            expect(end <= other.start || other.start + blockLength(other.bytes) <= start).toBe(true);
          }
          taken.push({ start, bytes: n });
        }
      }),
    );
  });

  it('join again: when all came back, everything fits as one block', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(500), { minLength: 1, maxLength: 20 }), fc.nat(), (sizes, seed) => {
        const allocator = createAllocator(0, 16384);
        const taken = sizes.map((bytes) => ({ start: allocator.take(bytes)!, bytes }));
        const order = taken.map((t, i) => ({ t, key: Math.imul(i + seed, 2654435761) >>> 0 }));
        order.sort((a, b) => a.key - b.key);
        for (const { t } of order) allocator.giveBack(t.start, t.bytes);
        expect(allocator.take(16384)).toBe(0);
      }),
    );
  });

  it('go on beyond the old end when the range is extended', () => {
    const allocator = createAllocator(0, 128);
    expect(allocator.take(64)).toBe(0);
    expect(allocator.take(192)).toBeNull();
    allocator.extend(256);
    expect(allocator.take(192)).toBe(64);
  });
});

/** What both memories have in common. */
interface Common<T extends Spec> {
  readonly create: (dtype: 'f32', shape: Shape) => T;
  readonly view: (x: T, shape: Shape) => T;
  readonly scope: <A>(body: () => A) => A;
  readonly donate: (tree: unknown) => void;
  readonly use: () => MemoryUse;
  readonly resetPeak: () => void;
}

/** What a program of nested scopes, views and donations counts, and what its misuses say. */
const story = <T extends Spec>(m: Common<T>): readonly unknown[] => {
  const told: unknown[] = [];
  const tell = (): void => void told.push({ ...m.use() });
  const attempt = (f: () => unknown): void => {
    try {
      f();
      told.push('fine');
    } catch (error) {
      told.push((error as Error).message);
    }
  };
  const outside = m.create('f32', [3]);
  tell();
  const [kept, leaked] = m.scope(() => {
    const lost = m.create('f32', [100]);
    const inner = m.scope(() => ({ a: m.create('f32', [5]), b: [m.view(outside, [1, 3])] }));
    tell();
    return [inner, () => lost];
  }) as readonly [{ a: T; b: readonly T[] }, () => T];
  tell();
  attempt(() => m.view(leaked(), [100]));
  m.donate(kept);
  tell();
  attempt(() => m.view(kept.a, [5]));
  attempt(() => m.donate([kept.a]));
  attempt(() => m.view(outside, [3]));
  m.resetPeak();
  tell();
  attempt(() =>
    m.scope(() => {
      m.create('f32', [7]);
      throw new Error('from the body');
    }),
  );
  tell();
  m.create('f32', [0]);
  tell();
  return told;
};

describe('tensors', () => {
  it('are counted, released and refused as in the reference', () => {
    expect(story(memoryOf(4 * MIB))).toEqual(story(createReferenceMemory()));
  });

  it('keep their content while the memory grows', () => {
    const memory = memoryOf(64 * MIB);
    const first = memory.create('f32', [1000]);
    new Float32Array(memory.bytes().buffer, first.pointer, 1000).fill(7);
    const size = memory.bytes().length;
    const second = memory.create('f32', [8 * MIB]);
    expect(memory.bytes().length).toBeGreaterThan(size);
    new Float32Array(memory.bytes().buffer, second.pointer, 8 * MIB).fill(1);
    expect([...new Set(new Float32Array(memory.bytes().buffer, first.pointer, 1000))]).toEqual([7]);
  });

  it('have room up to the limit, and beyond it an error that says so', () => {
    const memory = memoryOf(8 * MIB);
    const most = 8 * MIB - PAGE;
    const all = memory.create('u8', [most]);
    const attempt = (bytes: number) => () => memory.create('u8', [bytes]);
    expect(attempt(3 * MIB)).toThrow(/BackendError in .*at most 7\.9 MiB.*u8\[3145728\], 3\.0 MiB.* 7\.9 MiB in use/);
    memory.donate(all);
    expect(attempt(most)).not.toThrow();
    expect(memory.use().live).toBe(most);
  });

  it('give their bytes back: ten thousand steps take no more room than one', () => {
    const limit = 2 * MIB;
    const memory = memoryOf(limit);
    let state = memory.create('f32', [10_000]);
    for (let step = 0; step < 10_000; step++) {
      const next = memory.scope(() => {
        const activations = [1000, 1 + (step % 977), 50_000, 64].map((n) => memory.create('f32', [n]));
        memory.view(activations[2]!, [50, 1000]);
        return memory.create('f32', [10_000]);
      });
      memory.donate(state);
      state = next;
    }
    expect(memory.use().live).toBe(40_000);
  });
});

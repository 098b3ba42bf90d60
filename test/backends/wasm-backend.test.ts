/** The WebAssembly backend as a whole: the golden vectors, its threads, and what it says when something is missing. */
import { readFile } from 'node:fs/promises';
import { join as joinPath } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as E from 'fp-ts/lib/Either.js';
import { afterEach, describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { inspectBackends, resolveBackend } from '../../backends/resolve.ts';
import { type WasmBackend, type WasmOptions, wasmBackend } from '../../backends/wasm/backend.ts';
import { features, load, newMemory } from '../../backends/wasm/module.ts';
import { cutRange } from '../../backends/wasm/parallel.ts';
import type { Crew, Hire } from '../../backends/wasm/pool.ts';
import { CONTROL_BYTES, controlOf, join, publish, stop, takeCalls } from '../../backends/wasm/worker.ts';
import { hireInNode } from '../../backends/wasm/workers-node.ts';
import { orThrow, type Result } from '../../src/spec/errors.ts';
import { type Report, verifySuite } from '../../src/vectors/verify.ts';
import { fc } from '../support/fast-check.ts';

const suite = fileURLToPath(new URL('../../vectors/v1', import.meta.url));
const read = async (name: string): Promise<Result<Uint8Array>> => E.right(await readFile(joinPath(suite, name)));

const opened: WasmBackend[] = [];
const open = async (options: Partial<WasmOptions>): Promise<WasmBackend> => {
  const backend = orThrow(await wasmBackend({ threads: 1, hire: hireInNode, ...options }));
  opened.push(backend);
  return backend;
};

afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.dispose()));
});

const summary = ({ passed, failed, skipped, failures }: Report) => ({ passed, failed, skipped, failures });

describe('the golden vectors', () => {
  it('have the same digest as on the reference, on one thread and on several', async () => {
    const expected = orThrow(await verifySuite(referenceF32(), read));
    for (const threads of [1, 2, 3]) {
      const report = orThrow(await verifySuite(await open({ threads }), read));
      expect(summary(report)).toEqual(summary(expected));
      expect(report.digest).toBe(expected.digest);
      expect([report.conformance, report.threads]).toEqual(['exact', threads]);
    }
  });

  it('lie within their bounds with fused multiply-add, where the engine has it', async () => {
    if (!features().relaxedSimd) {
      const backend = await wasmBackend({ threads: 1, hire: hireInNode, relaxed: true });
      expect(backend).toMatchObject({ left: { tag: 'BackendError', came: 'an engine without relaxed SIMD' } });
      return;
    }
    const report = orThrow(await verifySuite(await open({ relaxed: true }), read));
    expect(report).toMatchObject({ backend: 'wasm-relaxed', conformance: 'bounded', failed: 0, skipped: 0 });
  });
});

/** Workers that never take a call. */
const idle: Hire = async () => ({ failure: () => null, end: async () => {} });

/** 2 × the identity of 300 rows, times itself: enough work to be shared. */
const square = async ({ kernels: k }: WasmBackend): Promise<boolean> => {
  const size = 300;
  const diagonal = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 2 : 0));
  const a = k.fromHost({ dtype: 'f32', shape: [size, size], data: diagonal });
  const [product, exponentials] = [k.matmul(a, a, 'nn'), k.exp(a)];
  const [p, e] = await Promise.all([k.toHost(product), k.toHost(exponentials)]);
  return p.data.every((x, i) => x === 2 * diagonal[i]!) && e.data.every((x, i) => (diagonal[i] === 0) === (x === 1));
};

describe('threads', () => {
  it('share work, again and again', async () => {
    const backend = await open({ threads: 3 });
    for (let i = 0; i < 50; i++) expect(await square(backend)).toBe(true);
  });

  it('may all be late but one: whoever calls does what nobody takes', async () => {
    expect(await square(await open({ threads: 4, hire: idle }))).toBe(true);
  });

  it('that end are told of, not waited for', async () => {
    let failure: string | null = null;
    const crew: Crew = { failure: () => failure, end: async () => {} };
    const { kernels: k } = await open({ threads: 2, hire: async () => crew });
    const a = k.full([200, 200], 1);
    k.matmul(a, a, 'nn');
    failure = 'a worker ended: for a test';
    expect(() => k.matmul(a, a, 'nn')).toThrow('a worker ended: for a test');
  });

  it('that do not start make no backend', async () => {
    const broken: Hire = (setups) => hireInNode(setups.map((s) => ({ ...s, module: {} as WebAssembly.Module })));
    const backend = await wasmBackend({ threads: 2, hire: broken });
    expect(backend).toMatchObject({ left: { tag: 'BackendError', where: 'the wasm backend' } });
    expect(E.isLeft(backend) && backend.left.came).toMatch(/worker of the wasm backend ended: TypeError/);
  });

  it('are refused after dispose', async () => {
    for (const threads of [1, 2]) {
      const backend = await open({ threads });
      await backend.dispose();
      const { kernels: k } = backend;
      expect(() => k.matmul(k.full([9, 9], 1), k.full([9, 9], 1), 'nn')).toThrow('disposed of');
    }
  });

  it('are 1 to 64', async () => {
    for (const threads of [0, -1, 1.5, 65, Number.NaN]) {
      expect(await wasmBackend({ threads, hire: hireInNode })).toMatchObject({
        left: { tag: 'BackendError', expected: '1 to 64 threads', came: String(threads) },
      });
    }
  });
});

describe('fork and join', () => {
  const withKernels = (...kernels: readonly ((...args: readonly number[]) => void)[]) =>
    controlOf(newMemory(1 << 17), 0, kernels);

  it('does every call once, with its arguments and the packing space', () => {
    const seen: (readonly number[])[] = [];
    const control = withKernels(
      () => expect.fail('the wrong kernel'),
      (...args) => void seen.push(args),
    );
    const calls = Array.from({ length: 255 }, (_, i) => [i, i / 3, Number.NaN]);
    publish(control, 1, calls);
    takeCalls(control, 4096);
    expect(join(control, calls.length, false, 100)).toBe('done');
    expect(seen).toEqual(calls.map((args) => [...args, 4096]));
    takeCalls(control, 4096);
    expect(seen.length).toBe(255);
  });

  it('says when a kernel throws, and when a thread does not come back', () => {
    const control = withKernels(() => {
      throw new Error('a trap');
    });
    publish(control, 0, [[1], [2]]);
    takeCalls(control, 0);
    expect(join(control, 2, true, 100)).toBe('failed');
    publish(control, 0, [[1], [2]]); // nobody takes the calls
    expect(join(control, 2, false, 20)).toBe('lost');
  });

  it('takes no call after a stop', () => {
    const control = withKernels(() => expect.fail('called'));
    publish(control, 0, [[1]]);
    stop(control);
    takeCalls(control, 0);
  });

  it('keeps its words within its bytes', () => {
    expect(CONTROL_BYTES % 8).toBe(0);
    const { words, numbers } = withKernels();
    expect([words.byteLength, numbers.byteLength]).toEqual([CONTROL_BYTES, CONTROL_BYTES]);
  });
});

describe('a range', () => {
  it('is cut into at most so many parts that follow each other, each but the last a multiple of the unit', () => {
    const natural = fc.nat(1000);
    const several = fc.integer({ min: 1, max: 20 });
    fc.assert(
      fc.property(natural, natural, several, several, (begin, length, parts, unit) => {
        const cuts = cutRange(begin, begin + length, parts, unit);
        expect(cuts.length).toBeLessThanOrEqual(parts);
        expect(cuts.reduce((at, [from, to]) => (from === at && to > from ? to : Number.NaN), begin)).toBe(
          begin + length,
        );
        for (const [from, to] of cuts.slice(0, -1)) expect((to - from) % unit).toBe(0);
      }),
    );
  });
});

describe('resolving', () => {
  it('gives the threads that are asked for', async () => {
    const backend = orThrow(await resolveBackend('wasm', { threads: 2 }));
    expect(backend).toMatchObject({
      name: 'wasm',
      conformance: 'exact',
      threads: 2,
      why: 'WebAssembly SIMD, 2 threads',
    });
    await backend.dispose();
    expect(await resolveBackend('wasm', { threads: 0 })).toMatchObject({ left: { tag: 'ConfigError' } });
  });

  it('reports wasm among the backends', async () => {
    const reports = await inspectBackends();
    const wasm = reports.find(({ name }) => name === 'wasm');
    expect(wasm?.available).toBe(true);
    expect(wasm?.why).toMatch(/^WebAssembly SIMD, \d threads?$/);
    const { simd, relaxedSimd } = features();
    expect(wasm).toMatchObject({ simd, relaxedSimd });
    expect(reports.find(({ name }) => name === 'wasm-relaxed')?.available).toBe(relaxedSimd);
  });
});

describe('memory', () => {
  it('that runs out is an error with the need and the limit', async () => {
    const { kernels: k } = await open({ limit: 32 << 20 });
    expect(() => k.full([16 << 20], 0)).toThrow(
      /at most \d+\.\d MiB of WebAssembly memory, got f32\[16777216\], 64\.0 MiB/,
    );
    expect(k.memory().live).toBe(0);
    expect(() => k.full([1 << 20], 0)).not.toThrow();
  });

  it('is counted to the byte, whatever the kernels need besides', async () => {
    const { kernels: k } = await open({ threads: 2 });
    const [a, b] = [k.full([3, 5], 1), k.full([5, 7], 1)];
    expect(k.memory().live).toBe((15 + 35) * 4);
    k.donate(k.scope(() => k.linear.forward(k.matmul(a, b, 'nn'), k.full([2, 7], 1), null)));
    expect(k.memory().live).toBe((15 + 35) * 4);
  });

  it('holds the constants of the kernels below the tensors', () => {
    const { memory, exports } = load();
    const constants = new Uint8Array(memory.buffer).findLastIndex((byte) => byte !== 0);
    expect(constants).toBeGreaterThan(1024);
    expect(constants).toBeLessThan(60_000);
    expect(exports.scratchBytes()).toBeGreaterThan(0);
  });
});

/** The WebAssembly backend against the golden vectors, and over whole training runs: the reference's bits. */
import * as E from 'fp-ts/lib/Either.js';
import { afterAll, describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { type AnyBackend, resolveBackend } from '../../backends/resolve.ts';
import { wasmBackend } from '../../backends/wasm/backend.ts';
import type { Backend, ConformanceClass } from '../../src/core/backend.ts';
import { mlp } from '../../src/models/mlp.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { Spec } from '../../src/spec/tensor.ts';
import { toDevice } from '../../src/train/host-batch.ts';
import { initialState, trainStep } from '../../src/train/step.ts';
import { verifySuite } from '../../src/vectors/verify.ts';
import { batchOf, full, paca, problemOf, snapshot } from '../train/tiny.ts';
import { reading, suiteFiles } from '../vectors/suite.ts';

const files = suiteFiles();

const open = async (threads: number): Promise<AnyBackend> => orThrow(await resolveBackend('wasm', { threads }));

const backends = await Promise.all([1, 2, 3].map(open));
afterAll(async () => {
  for (const { dispose } of backends) await dispose();
});

describe.each(backends.map((b) => [b.threads, b] as const))('wasm with %d threads', (threads, backend) => {
  it('passes every exact case, with the digest of the reference', async () => {
    const report = orThrow(await verifySuite(backend, reading(files)));
    const reference = orThrow(await verifySuite(referenceF32(), reading(files)));
    expect(report).toMatchObject({ backend: 'wasm', threads, conformance: 'exact', failed: 0, failures: [] });
    expect(report.digest).toBe(reference.digest);
  });

  it.each([
    ['full', full],
    ['paca', paca],
  ] as const)('trains to the bits of the reference (%s)', async (_, treatment) => {
    const architecture = mlp({ widths: [67, 33, 19, 3], activation: 'gelu', dropout: 0.1 });
    const run = async <T extends Spec>({ kernels: k }: Backend<T>): Promise<unknown> => {
      const problem = problemOf(k, architecture, treatment);
      let state = initialState(problem);
      for (let step = 0; step < 5; step++) {
        const batch = [batchOf(`wide ${step}`, 65, architecture), batchOf(`narrow ${step}`, 3, architecture)];
        [state] = k.scope(() =>
          trainStep(
            problem,
            state,
            batch.map((b) => toDevice(k, b)),
            { donate: true },
          ),
        );
      }
      return snapshot(k, state);
    };
    expect(await run(backend)).toEqual(await run(referenceF32()));
  });

  it('keeps no memory over many steps', () => {
    const k = backend.kernels;
    const problem = problemOf(k);
    const live: number[] = [];
    let state = initialState(problem);
    const batch = batchOf('same', 5);
    for (let step = 0; step < 500; step++) {
      state = k.scope(() => trainStep(problem, state, [toDevice(k, batch)], { donate: true })[0]);
      live.push(k.memory().live);
    }
    expect(new Set(live).size).toBe(1);
  });
});

describe('wasm-relaxed', () => {
  it('is bounded where the engine has it, and says what is missing where not', async () => {
    const backend = await resolveBackend('wasm-relaxed', { threads: 1 });
    if (E.isLeft(backend)) {
      expect(backend.left).toMatchObject({ tag: 'BackendError', came: 'an engine without relaxed SIMD' });
      return;
    }
    const bounded: ConformanceClass = 'bounded';
    expect(backend.right.conformance).toBe(bounded);
    const report = orThrow(await verifySuite(backend.right, reading(files)));
    expect(report).toMatchObject({ failed: 0, failures: [] });
    expect(report.worst.fraction).toBeLessThan(1);
    await backend.right.dispose();
  });
});

describe('the wasm backend refuses', () => {
  it.each([0, 1.5, 65, Number.NaN])('%d threads', async (threads) => {
    const refused = await wasmBackend({ threads, hire: () => Promise.reject(new Error('not to be called')) });
    expect(E.isLeft(refused) && refused.left).toMatchObject({ tag: 'BackendError', where: 'threads' });
  });

  it('to start without its workers, and says why', async () => {
    const refused = await wasmBackend({ threads: 2, hire: () => Promise.reject(new Error('no room')) });
    expect(E.isLeft(refused) && refused.left.came).toContain('no room');
  });
});

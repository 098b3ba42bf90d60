/** Memory that is full is an error of one line, whichever command meets it: not a stack trace. */
import { expect, it } from 'vitest';
import { closing, openBackend, orFullMemory } from '../../src/cli/backend.ts';
import { defect, fail, orThrow } from '../../src/spec/errors.ts';
import { start } from './program.ts';

it('is told in one line, with exit code 2', async () => {
  const { code, stdout, stderr } = await start(['bench', 'step', '--batch-size', '100000000', '--steps', '1']).ended;
  expect(stderr).toMatch(/^paca: BackendError in memory: expected .*, got .+\n$/); // in the engine's own words
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});

it('is told of the memory of WebAssembly too', async () => {
  const backend = orThrow(await openBackend({ backend: 'wasm', threads: 1 }, 16 * 1024 * 1024));
  const filled = await orFullMemory(() =>
    closing(backend, async () => fail('DataError', '', String(backend.kernels.full([2 ** 24], 0)), '')),
  );
  const expected = expect.stringMatching(/^at most .* MiB of WebAssembly memory$/);
  expect(filled).toMatchObject({ left: { tag: 'BackendError', expected, where: 'the memory of the wasm backend' } });
});

it('is a value where commands are run; a defect, or an error of another kind, stays thrown', async () => {
  const full = fail('BackendError', 'tensors of at most 1 MiB', '2 MiB', 'memory');
  expect(await orFullMemory(async () => orThrow(full))).toEqual(full);
  const long = await orFullMemory(async () => fail('DataError', '', String(new Float32Array(2 ** 40)), ''));
  expect(long).toMatchObject({
    left: { tag: 'BackendError', came: expect.stringMatching(/1099511627776|allocation/) },
  });
  await expect(orFullMemory(async () => defect('impossible'))).rejects.toThrow('impossible');
  await expect(orFullMemory(async () => fail('DataError', (1).toFixed(101), '', ''))).rejects.toThrow(RangeError);
});

it('leaves no backend open', async () => {
  const closed: string[] = [];
  const backend = (name: string) => ({ dispose: async () => void closed.push(name) });
  expect(await closing(backend('done'), () => 3)).toBe(3);
  await expect(closing(backend('thrown'), () => defect('impossible'))).rejects.toThrow('impossible');
  await expect(closing(backend('rejected'), () => Promise.reject(new Error('no')))).rejects.toThrow('no');
  expect(closed).toEqual(['done', 'thrown', 'rejected']);
});

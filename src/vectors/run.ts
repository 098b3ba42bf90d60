/** Running a case on a backend, and reading what it gave. */
import type { Kernels } from '../core/fused.ts';
import { defect } from '../spec/errors.ts';
import type { HostTensor, Spec } from '../spec/tensor.ts';
import type { Tensors, VectorCase } from './case.ts';

/** The outputs of a case on a backend, on the host, by name. */
export const runCase = async <T extends Spec>(
  k: Kernels<T>,
  { run }: VectorCase,
  inputs: Tensors<HostTensor>,
): Promise<Tensors<HostTensor>> => {
  const onDevice = Object.fromEntries(Object.entries(inputs).map(([name, t]) => [name, k.fromHost(t)]));
  const outputs = run(k, onDevice, inputs);
  const read = await Promise.all(Object.entries(outputs).map(async ([name, t]) => [name, await k.toHost(t)] as const));
  return Object.fromEntries(read);
};

/** An f32 or i32 result: what exact cases consist of. */
export const exactBytes = (t: HostTensor): Uint8Array =>
  t.dtype === 'f32' || t.dtype === 'i32'
    ? new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength)
    : defect(`an exact result is f32 or i32, not ${t.dtype}`);

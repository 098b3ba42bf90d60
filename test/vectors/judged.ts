/** Backends that are wrong in one place, and what the suite says of them. */
import { type ReferenceTensor, referenceF32 } from '../../backends/reference/backend.ts';
import type { Backend, ConformanceClass } from '../../src/core/backend.ts';
import { type FusedKernels, type Kernels, kernels } from '../../src/core/fused.ts';
import type { Ops } from '../../src/core/ops.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { type Report, verifySuite } from '../../src/vectors/verify.ts';
import { reading, suiteFiles } from './suite.ts';

const files = suiteFiles();

export const classes: readonly ConformanceClass[] = ['exact', 'bounded'];

export const verify = async (
  backend: Backend<ReferenceTensor> = referenceF32(),
  suite: ReadonlyMap<string, Uint8Array> = files,
): Promise<Report> => orThrow(await verifySuite(backend, reading(suite)));

export const failedCases = ({ failures }: Report): readonly string[] => [...new Set(failures.map((f) => f.case))];

/** The reference with some of its fused kernels replaced. */
export const withKernels = (
  change: (k: Kernels<ReferenceTensor>) => FusedKernels<ReferenceTensor>,
  conformance: ConformanceClass,
): Backend<ReferenceTensor> => {
  const backend = referenceF32();
  return { ...backend, conformance, kernels: kernels(backend.kernels, change(backend.kernels)) };
};

/** The reference with some of its primitives replaced. */
export const withOps = (
  change: (o: Ops<ReferenceTensor>) => Partial<Ops<ReferenceTensor>>,
  conformance: ConformanceClass,
): Backend<ReferenceTensor> => {
  const backend = referenceF32();
  return { ...backend, conformance, kernels: kernels({ ...backend.kernels, ...change(backend.kernels) }) };
};

/**
 * The reference backend: the meaning of `Ops`, in plain loops. Declared slow; it stays readable. Over f32 it has the
 * bits that every exact backend must have; over f64 it is the oracle.
 */
import type { Backend, ConformanceClass } from '../../src/core/backend.ts';
import { kernels } from '../../src/core/fused.ts';
import type { Ops } from '../../src/core/ops.ts';
import { type Arithmetic, f32Arithmetic, f64Arithmetic } from './arithmetic.ts';
import { conversion } from './conversion.ts';
import { elementwise } from './elementwise.ts';
import { indexing } from './indexing.ts';
import { createMemory, floatsOf, type ReferenceTensor } from './memory.ts';
import { matmul } from './products.ts';
import { reductions } from './reductions.ts';
import { windows } from './windows.ts';

export type { ReferenceTensor } from './memory.ts';

const referenceOps = (arithmetic: Arithmetic): Ops<ReferenceTensor> => {
  const { float, functions } = arithmetic;
  const memory = createMemory();
  const { unary, binary, where } = elementwise(arithmetic, memory);
  return {
    float,
    scope: memory.scope,
    donate: memory.donate,
    memory: memory.use,
    resetPeak: memory.resetPeak,
    full: (shape, value) => {
      const result = memory.create(float, shape);
      floatsOf(result).fill(value);
      return result;
    },
    add: binary((a, b) => a + b),
    sub: binary((a, b) => a - b),
    mul: binary((a, b) => a * b),
    div: binary((a, b) => a / b),
    max: binary(Math.max),
    greater: binary((a, b) => (a > b ? 1 : 0)),
    where,
    neg: unary((x) => -x),
    sqrt: unary(Math.sqrt),
    exp: unary(functions.exp),
    log: unary(functions.log),
    tanh: unary(functions.tanh),
    erf: unary(functions.erf),
    ...conversion(arithmetic, memory),
    ...indexing(arithmetic, memory),
    ...reductions(arithmetic, memory),
    ...windows(arithmetic, memory),
    matmul: matmul(arithmetic, memory),
  };
};

const reference =
  (arithmetic: Arithmetic, name: string, conformance: ConformanceClass) => (): Backend<ReferenceTensor> => ({
    name,
    conformance,
    threads: 1,
    kernels: kernels(referenceOps(arithmetic)),
    dispose: async () => {},
  });

/** The specification: f32, every rounding in its declared place. */
export const referenceF32: () => Backend<ReferenceTensor> = reference(f32Arithmetic, 'reference', 'exact');

/** The oracle: the same formulas over f64. */
export const referenceF64: () => Backend<ReferenceTensor> = reference(f64Arithmetic, 'reference-f64', 'bounded');

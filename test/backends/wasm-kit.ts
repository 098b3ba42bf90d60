/** For the tests of the WebAssembly kernels: awkward numbers, and the comparison with the reference, to the bit. */
import { expect } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { conversion } from '../../backends/wasm/conversion.ts';
import { elementwise } from '../../backends/wasm/elementwise.ts';
import type { Exports } from '../../backends/wasm/exports.ts';
import { fusedActivations } from '../../backends/wasm/fused-activations.ts';
import { fusedAdamw } from '../../backends/wasm/fused-adamw.ts';
import { fusedAttention } from '../../backends/wasm/fused-attention.ts';
import { fusedLosses } from '../../backends/wasm/fused-losses.ts';
import { fusedNorms } from '../../backends/wasm/fused-norms.ts';
import { indexing } from '../../backends/wasm/indexing.ts';
import { createMemory, type Memory, type WasmTensor } from '../../backends/wasm/memory.ts';
import { load, MOST_BYTES, RESERVED_BYTES } from '../../backends/wasm/module.ts';
import type { Pool } from '../../backends/wasm/pool.ts';
import { reductions } from '../../backends/wasm/reductions.ts';
import { windows } from '../../backends/wasm/windows.ts';
import { type Kernels, kernels } from '../../src/core/fused.ts';
import { sameTensor } from '../../src/core/laws.ts';
import type { Ops } from '../../src/core/ops.ts';
import { leavesIn } from '../../src/core/tree.ts';
import { bytesOf, type HostTensor, type HostTensorOf, type Shape, type Spec, sizeOf } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';

const module = load();

/** The kernels as the module exports them, and its memory. */
export const exports: Exports = module.exports;
const clean = createMemory(module.memory, RESERVED_BYTES, MOST_BYTES);

/** A memory whose new tensors hold rubbish, as memory that was used before does. */
export const memory: Memory = {
  ...clean,
  create: (dtype, shape) => {
    const x = clean.create(dtype, shape);
    clean.bytes().fill(0xcd, x.pointer, x.pointer + bytesOf(x));
    return x;
  },
};

/** Every kernel with its range cut into three parts, the last part first: what several threads would do. */
const inParts = (whole: Exports): Exports =>
  Object.fromEntries(
    Object.entries(whole).map(([name, kernel]) => [
      name,
      (begin: number, end: number, ...rest: readonly number[]) => {
        const cuts = [begin, begin + Math.floor((end - begin) / 3), begin + Math.ceil((end - begin) * 0.7), end];
        for (let i = 2; i >= 0; i--) (kernel as (...args: readonly number[]) => void)(cuts[i]!, cuts[i + 1]!, ...rest);
      },
    ]),
  ) as unknown as Exports;

const scratch = clean.create('u8', [module.exports.scratchBytes()]).pointer;

/** A pool that cuts every kernel into so many calls and does the last first, on this thread. */
const poolOf = (parts: number): Pool => ({
  threads: parts,
  parts: () => parts,
  run: (kernel, calls) => {
    const run = module.exports[kernel] as (...args: readonly number[]) => void;
    for (const args of calls.toReversed()) run(...args, scratch);
  },
  dispose: async () => {},
});

const kernelsOver = (kernelExports: Exports, pool: Pool): Kernels<WasmTensor> => {
  const ops = {
    float: 'f32',
    scope: memory.scope,
    donate: memory.donate,
    memory: memory.use,
    resetPeak: memory.resetPeak,
    ...elementwise(kernelExports, memory),
    ...reductions(kernelExports, memory),
    ...indexing(kernelExports, memory),
    ...windows(kernelExports, memory),
    ...conversion(kernelExports, memory),
  } as unknown as Ops<WasmTensor>; // all but the products, which have tests of their own
  return kernels(ops, {
    ...fusedActivations(kernelExports, memory),
    ...fusedAttention(kernelExports, memory, pool),
    ...fusedNorms(kernelExports, memory),
    ...fusedLosses(kernelExports, memory, ops),
    adamw: fusedAdamw(kernelExports, memory),
  });
};

const wasm = kernelsOver(exports, poolOf(1));
const wasmInParts = kernelsOver({ ...inParts(exports), roomBytes: exports.roomBytes }, poolOf(3));
const reference = referenceF32().kernels;

// -------------------------------------------------------------------------------------------------------- numbers

const bits = new DataView(new ArrayBuffer(4));

/** The f32 number with these bits. */
export const f32OfBits = (pattern: number): number => {
  bits.setUint32(0, pattern);
  return bits.getFloat32(0);
};

/** ±0, the smallest and largest numbers, ±∞, NaN, and where roundings and casts turn. */
export const special: readonly number[] = [
  0,
  -0,
  1,
  -1,
  0.5,
  1e-45,
  -1e-45,
  1.1754943508222875e-38,
  -1.1754943508222875e-38,
  1.1754942106924411e-38,
  3.4028234663852886e38,
  -3.4028234663852886e38,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
  2147483648,
  -2147483648,
  2147483520,
  4294967296,
  1e20,
  -1e20,
  255,
  256,
  -1.5,
  65504,
  65519.99,
  65520,
  6e-8,
  2.9e-8,
].map(Math.fround);

/** Numbers of 0 … 2^32 − 1 from a seed: a xorshift generator. */
const randoms = (seed: number): (() => number) => {
  let state = (seed ^ 0x9e3779b9) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
};

/** How many of 256 numbers are special, and how many are any pattern of bits; the others lie within ±4. */
type Mix = readonly [special: number, patterns: number];
const plain: Mix = [0, 0];
const mixed: Mix = [24, 24];
/** So few special numbers that sums over some rows stay finite. */
const rare: Mix = [1, 0];

export const floats = (seed: number, shape: Shape, [specials, patterns]: Mix = mixed): HostTensorOf<'f32'> => {
  const next = randoms(seed);
  const draw = (): number => {
    const kind = next() % 256;
    if (kind < specials) return special[next() % special.length]!;
    return kind < specials + patterns ? f32OfBits(next()) : next() / 2 ** 29 - 4;
  };
  return { dtype: 'f32', shape, data: Float32Array.from({ length: sizeOf(shape) }, draw) };
};

/** Whole numbers of `from` … `to` − 1. */
export const integers = (seed: number, shape: Shape, from: number, to: number): HostTensorOf<'i32'> => {
  const next = randoms(seed);
  const data = Int32Array.from({ length: sizeOf(shape) }, () => from + (next() % Math.max(to - from, 1)));
  return { dtype: 'i32', shape, data };
};

// --------------------------------------------------------------------------------------------------------- shapes

export const seed: fc.Arbitrary<number> = fc.nat(1 << 20);

export const mix: fc.Arbitrary<Mix> = fc.constantFrom(plain, mixed, rare);

/** A length on either side of where kernels turn: vectors of 4, blocks of 16, words of 32, and beyond. */
export const length: fc.Arbitrary<number> = fc.oneof(
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 40 }) },
  { weight: 3, arbitrary: fc.constantFrom(63, 64, 65, 255, 256, 257) },
  { weight: 1, arbitrary: fc.constant(0) },
);

export const shortLength: fc.Arbitrary<number> = fc.integer({ min: 1, max: 7 });

/** `[…, k]`: rows of such a length. */
export const rows: fc.Arbitrary<Shape> = fc
  .tuple(fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 2 }), length)
  .map(([leading, k]) => [...leading, k]);

// ----------------------------------------------------------------------------------------------------- comparison

const shown = ({ dtype, shape, data }: HostTensor): string =>
  `${dtype}[${shape}] ${Array.from(data as Float64Array, (x) => (Object.is(x, -0) ? '-0' : String(x))).join(' ')}`;

/** What is computed: from the inputs, in their order, a tensor or a tree of tensors. */
type Computation = <T extends Spec>(k: Kernels<T>, ...inputs: readonly T[]) => unknown;

const results = async <T extends Spec>(
  k: Kernels<T>,
  compute: Computation,
  inputs: readonly HostTensor[],
): Promise<readonly HostTensor[]> =>
  Promise.all(
    // Reading back copies at once, so that nothing has to outlive the scope.
    k.scope(() => leavesIn(compute(k, ...inputs.map(k.fromHost))).map((leaf) => k.toHost(leaf as T))),
  );

/** Fails unless WebAssembly gives the reference's types, shapes and bits, in one go and in parts. */
export const agree = async (inputs: readonly HostTensor[], compute: Computation): Promise<void> => {
  const expected = await results(reference, compute, inputs);
  for (const k of [wasm, wasmInParts]) {
    const actual = await results(k, compute, inputs);
    expect(actual.length).toBe(expected.length);
    expected.forEach((tensor, i) => {
      if (!sameTensor(tensor, actual[i]!)) expect(shown(actual[i]!)).toBe(shown(tensor));
    });
  }
};

/** Fails unless both throw, and say the same. */
export const agreeOnDefect = (inputs: readonly HostTensor[], compute: Computation): void => {
  const message = <T extends Spec>(k: Kernels<T>): string => {
    try {
      compute(k, ...inputs.map(k.fromHost));
    } catch (error) {
      return (error as Error).message;
    }
    return 'no defect';
  };
  expect(message(reference)).not.toBe('no defect');
  expect(message(wasm)).toBe(message(reference));
};

export { fc };

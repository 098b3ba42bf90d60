/**
 * The compiled kernels: which builds this engine can run, and their instances over a memory.
 *
 * `baseline` has the reference's bits. `relaxed` fuses multiplication and addition, in one rounding or two as the
 * processor likes: bounded, not exact.
 */
import type { Exports } from './exports.ts';
import { base64 as baseline } from './generated/baseline.ts';
import { base64 as relaxed } from './generated/relaxed.ts';
import { PAGE } from './memory.ts';

export type Variant = 'baseline' | 'relaxed';

const sources: { readonly [V in Variant]: string } = { baseline, relaxed };

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

/** The first bytes of every module: magic number, version. */
const HEAD = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

/** A module with one function without parameters that returns a vector. */
const returningVector = (...body: readonly number[]): Uint8Array<ArrayBuffer> =>
  Uint8Array.from([
    ...[...HEAD, 0x01, 0x05, 0x01, 0x60, 0x00, 0x01, 0x7b],
    ...[0x03, 0x02, 0x01, 0x00],
    ...[0x0a, body.length + 4, 0x01, body.length + 2, 0x00, ...body, 0x0b],
  ]);

/** `i32.const 0`, `i8x16.splat` */
const ZEROS = [0x41, 0x00, 0xfd, 0x0f];
const RELAXED_MADD = [0xfd, 0x85, 0x02];

/** What this engine's WebAssembly has of what the kernels use. */
export interface Features {
  readonly simd: boolean;
  readonly relaxedSimd: boolean;
  /** Shared memory and atomics. */
  readonly sharedMemory: boolean;
}

export const features = (): Features => ({
  simd: WebAssembly.validate(returningVector(...ZEROS)),
  relaxedSimd: WebAssembly.validate(returningVector(...ZEROS, ...ZEROS, ...ZEROS, ...RELAXED_MADD)),
  sharedMemory: WebAssembly.validate(Uint8Array.from([...HEAD, 0x05, 0x04, 0x01, 0x03, 0x01, 0x01])),
});

/** The last page stays out of use, so that the address after the last element is a number of 32 bits too. */
export const MOST_BYTES: number = 65535 * PAGE;

/** What lies below the tensors: address 0, which stands for "none", and the constants of the kernels. */
export const RESERVED_BYTES: number = PAGE;

/** A memory that can grow to `limit` bytes. Only what is written takes room. */
export const newMemory = (limit: number): WebAssembly.Memory =>
  new WebAssembly.Memory({ initial: 1, maximum: Math.ceil(limit / PAGE), shared: true });

const compile = (variant: Variant): WebAssembly.Module => new WebAssembly.Module(bytesOf(sources[variant]));

const instantiate = (module: WebAssembly.Module, memory: WebAssembly.Memory): Exports =>
  new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;

export interface Loaded {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  readonly exports: Exports;
}

/** The kernels over a new memory. Throws where the engine lacks what they need, see {@link features}. */
export const load = (variant: Variant = 'baseline', limit: number = MOST_BYTES): Loaded => {
  const module = compile(variant);
  const memory = newMemory(limit);
  return { module, memory, exports: instantiate(module, memory) };
};

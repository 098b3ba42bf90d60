/** The kernels: all that the module exports. */
export * from './activations';
export * from './adamw';
export * from './conversion';
export * from './elementwise';
export { gemm, scratchBytes } from './gemm';
export * from './indexing';
export * from './losses';
export * from './norms';
export { peakMultiplyAdd } from './peak';
export * from './reductions';
export * from './windows';

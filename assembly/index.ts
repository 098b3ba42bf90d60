/** The kernels: all that the module exports. */
export * from './activations';
export * from './adamw';
export { attention, attentionBackward, roomBytes } from './attention';
export * from './conversion';
export * from './elementwise';
export { gemm, scratchBytes } from './gemm';
export * from './indexing';
export * from './losses';
export { widenNf4 } from './nf4';
export * from './norms';
export { peakMultiplyAdd } from './peak';
export * from './reductions';
export * from './rope';
export * from './windows';

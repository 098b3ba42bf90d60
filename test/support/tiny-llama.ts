/** A language model of the LLaMA family that takes a moment: two blocks, grouped heads, no two sizes alike. */
import type { LlamaConfig } from '../../src/models/llama/config.ts';

export const tinyLlama = (changes: Partial<LlamaConfig>): LlamaConfig => ({
  vocabulary: 23,
  width: 12,
  layers: 2,
  heads: 4,
  groups: 2,
  headWidth: 6,
  feedForward: 17,
  epsilon: 1e-3,
  theta: 100,
  scaling: { kind: 'none' },
  positions: 64,
  tied: true,
  inputBias: false,
  outputBias: false,
  headNorm: false,
  windows: [null, null],
  ...changes,
});

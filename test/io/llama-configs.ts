/** The settings of two fixtures, by hand: test/fixtures/llama/NAME/config.json. */
import type { LlamaConfig } from '../../src/models/llama/config.ts';

export const llama2: LlamaConfig = {
  vocabulary: 37,
  width: 24,
  layers: 2,
  heads: 3,
  groups: 3,
  headWidth: 8,
  feedForward: 29,
  epsilon: 0.001,
  theta: 10000,
  scaling: { kind: 'none' },
  positions: 512,
  tied: false,
  inputBias: false,
  outputBias: false,
  headNorm: false,
  windows: [null, null],
};

export const llama3: LlamaConfig = {
  ...llama2,
  heads: 4,
  groups: 2,
  headWidth: 16,
  theta: 500000,
  scaling: { kind: 'llama3', factor: 8, lowFrequency: 1, highFrequency: 4, originalPositions: 64 },
  tied: true,
};

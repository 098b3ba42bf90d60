import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { commonConfigKeys, parseLlamaConfig } from '../../src/io/llama-config.ts';
import { tinyLlama } from '../support/tiny-llama.ts';

const biases = { inputBias: true, outputBias: true };
const cases = {
  'a head tied to the embedding': [tinyLlama({ tied: true }), { model_type: 'llama' }],
  'a head of its own': [tinyLlama({ tied: false, width: 16, theta: 5e5 }), { model_type: 'llama' }],
  'Llama with biases': [tinyLlama(biases), { model_type: 'llama', attention_bias: true }],
  Qwen3: [tinyLlama({ headNorm: true, groups: 4 }), { model_type: 'qwen3' }],
} as const;

describe('the common keys of config.json', () => {
  it.each(Object.entries(cases))('are read back as they were: %s', (_, [config, ofFamily]) => {
    expect(parseLlamaConfig({ ...commonConfigKeys(config), ...ofFamily }, 'config.json')).toEqual(E.right(config));
  });
});

/** What each layer says of an input that it does not take: an error that names what was expected and what came. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { andThen, fork } from '../../src/core/layer.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import type { SlotTree } from '../../src/core/tree.ts';
import { gelu, relu, silu, tanh } from '../../src/layers/activations.ts';
import { conv2d, convolution, frozenConv2d } from '../../src/layers/conv2d.ts';
import { dropout } from '../../src/layers/dropout.ts';
import { embedding, frozenEmbedding } from '../../src/layers/embedding.ts';
import { layerNorm } from '../../src/layers/layer-norm.ts';
import { frozenLinear, linear } from '../../src/layers/linear.ts';
import { crossEntropy, meanSquaredError } from '../../src/layers/losses.ts';
import { averagePool, maxPool, pooling } from '../../src/layers/pooling.ts';
import { flatten } from '../../src/layers/reshape.ts';
import { rmsNorm } from '../../src/layers/rms-norm.ts';
import { pacaConv2d, pacaLinear } from '../../src/methods/paca.ts';
import { type Result, showError } from '../../src/spec/errors.ts';
import { inputSlot, type Spec, spec } from '../../src/spec/tensor.ts';
import { f32 as k } from '../support/tensors.ts';

interface Takes {
  readonly output: (x: SlotTree) => Result<SlotTree>;
}

const answer = ({ output }: Takes, ...inputs: readonly Spec[]): string => {
  const slots = inputs.map((s, i) => inputSlot(`x${i}`, s));
  const result = output(slots.length === 1 ? slots[0]! : slots);
  return E.isLeft(result) ? showError(result.left) : 'accepted';
};

const image = { height: 6, width: 5 };
const conv = convolution({ in: 4, out: 2, kernel: [3, 3], ...image });
const norm = { width: 5, epsilon: 1e-5 };
const pool = pooling(2, 6, 5);
const floats = (...shape: readonly number[]): Spec => spec('f32', ...shape);
const rng = rngFromSeed(1);

describe('refusals', () => {
  it.each<[string, Takes, Spec, string]>([
    [
      'linear, width',
      linear(k, { in: 5, out: 3 }),
      floats(2, 4),
      'linear: expected a float tensor [..., 5], got f32[2, 4]',
    ],
    [
      'frozen linear, width',
      frozenLinear(k, { in: 5, out: 3 }),
      floats(4),
      'linear: expected a float tensor [..., 5], got f32[4]',
    ],
    [
      'linear, type',
      linear(k, { in: 5, out: 3 }),
      spec('i32', 2, 5),
      'linear: expected a float tensor [..., 5], got i32[2, 5]',
    ],
    ['linear, scalar', linear(k, { in: 1, out: 3 }), floats(), 'linear: expected a float tensor [..., 1], got f32[]'],
    [
      'paca linear',
      pacaLinear(k, { in: 5, out: 3 }, []),
      floats(2, 3),
      'linear: expected a float tensor [..., 5], got f32[2, 3]',
    ],
    [
      'conv2d, channels',
      conv2d(k, conv),
      floats(1, 3, 6, 5),
      'conv2d: expected a float tensor [n, 4, h, w], got f32[1, 3, 6, 5]',
    ],
    [
      'conv2d, axes',
      frozenConv2d(k, conv),
      floats(4, 6, 5),
      'conv2d: expected a float tensor [n, 4, h, w], got f32[4, 6, 5]',
    ],
    ['conv2d, size', conv2d(k, conv), floats(1, 4, 5, 6), 'conv2d: expected images of 6×5, got f32[1, 4, 5, 6]'],
    ['paca conv2d', pacaConv2d(k, conv, []), floats(1, 4, 5, 6), 'conv2d: expected images of 6×5, got f32[1, 4, 5, 6]'],
    ['layer norm', layerNorm(k, norm), floats(2, 4), 'layerNorm: expected a float tensor [..., 5], got f32[2, 4]'],
    ['rms norm', rmsNorm(k, norm), floats(2, 4), 'rmsNorm: expected a float tensor [..., 5], got f32[2, 4]'],
    ['relu', relu(k), spec('i32', 2), 'relu: expected a float tensor, got i32[2]'],
    ['gelu', gelu(k), spec('bf16', 2), 'gelu: expected a float tensor, got bf16[2]'],
    ['silu', silu(k), spec('i32', 2), 'silu: expected a float tensor, got i32[2]'],
    ['tanh', tanh(k), spec('u8', 2), 'tanh: expected a float tensor, got u8[2]'],
    ['dropout, type', dropout(k, { rate: 0.5, rng }), spec('i32', 2), 'dropout: expected a float tensor, got i32[2]'],
    [
      'embedding',
      embedding(k, { rows: 3, width: 2 }),
      floats(2),
      'embedding: expected an i32 tensor of row numbers, got f32[2]',
    ],
    [
      'frozen embedding',
      frozenEmbedding(k, { rows: 3, width: 2 }),
      floats(2),
      'embedding: expected an i32 tensor of row numbers, got f32[2]',
    ],
    ['flatten', flatten(k, [2, 3]), floats(4, 3, 2), 'flatten: expected a float tensor [n, 2, 3], got f32[4, 3, 2]'],
    [
      'max pool, size',
      maxPool(k, pool),
      floats(1, 3, 5, 6),
      'maxPool: expected images of 6×5 that hold the window, got f32[1, 3, 5, 6]',
    ],
    [
      'average pool, axes',
      averagePool(k, pool),
      floats(6, 5),
      'averagePool: expected a float tensor [n, c, h, w], got f32[6, 5]',
    ],
    [
      'cross-entropy, axes',
      crossEntropy(k),
      floats(4),
      'crossEntropy: expected float logits [..., classes], got f32[4]',
    ],
    [
      'cross-entropy, type',
      crossEntropy(k),
      spec('i32', 2, 3),
      'crossEntropy: expected float logits [..., classes], got i32[2, 3]',
    ],
    ['squared error', meanSquaredError(k), spec('i32', 2), 'meanSquaredError: expected a float tensor, got i32[2]'],
  ])('%s', (_, layer, x, message) => {
    expect(answer(layer, x)).toBe(`ShapeError in ${message}`);
  });

  it('a tuple where one tensor is expected', () => {
    expect(answer(linear(k, { in: 5, out: 3 }), floats(2, 5), floats(2, 5))).toBe(
      'ShapeError in linear: expected a float tensor [..., 5], got a tuple of tensors',
    );
  });

  it('configurations that fit no input', () => {
    expect(answer(conv2d(k, { ...conv, groups: 3 }), floats(1, 4, 6, 5))).toBe(
      'ShapeError in conv2d: expected groups that divide 4 and 2 channels, got 3 groups',
    );
    expect(answer(conv2d(k, { ...conv, kernel: [7, 3] }), floats(1, 4, 6, 5))).toBe(
      'ShapeError in conv2d: expected a kernel within the padded image 6×5, got 7,3',
    );
    expect(answer(maxPool(k, { ...pool, padding: [0, 2] }), floats(1, 4, 6, 5))).toBe(
      'ShapeError in maxPool: expected padding of at most half the window, got 0, 2',
    );
    for (const rate of [1, -0.1, Number.NaN]) {
      expect(answer(dropout(k, { rate, rng }), floats(2))).toBe(
        `ConfigError in dropout.rate: expected a rate in [0, 1), got ${rate}`,
      );
    }
  });

  it('come through the combinators from whichever layer refuses', () => {
    const [wide, narrow] = [linear(k, { in: 5, out: 3 }), linear(k, { in: 4, out: 3 })];
    expect(answer(andThen(k, wide, narrow), floats(2, 5))).toMatch(
      /linear: expected a float tensor \[\.\.\., 4\], got f32\[2, 3\]/,
    );
    expect(answer(andThen(k, narrow, wide), floats(2, 5))).toMatch(/\[\.\.\., 4\], got f32\[2, 5\]/);
    expect(answer(fork(k, wide, narrow), floats(2, 5))).toMatch(/\[\.\.\., 4\], got f32\[2, 5\]/);
    expect(answer(fork(k, wide, wide), floats(2, 5))).toBe('accepted');
  });
});

/** The parts of the LLaMA step by TensorFlow.js, each forward with what it keeps, and backward. Rows are tokens. */
import * as tf from '@tensorflow/tfjs-core';
import { LLAMA, ropeAngles, TOKENS } from './llama-work.js';
import { tensor } from './tfjs-training.js';

const { batch, heads, headWidth, width } = LLAMA;

/** [y, kept]. */
export const norm = (x, weight) => {
  const inverse = tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), LLAMA.epsilon));
  const unit = tf.mul(x, inverse);
  return [tf.mul(unit, weight), { unit, inverse }];
};

export const normBack = ({ unit, inverse }, weight, dy) => {
  const dUnit = tf.mul(dy, weight);
  const along = tf.mean(tf.mul(unit, dUnit), -1, true);
  return tf.mul(tf.sub(dUnit, tf.mul(unit, along)), inverse);
};

/** silu(gate)·up. */
export const swiglu = (gate, up) => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up);

export const swigluBack = (gate, up, dy) => {
  const sigmoid = tf.sigmoid(gate);
  const silu = tf.mul(gate, sigmoid);
  const slope = tf.add(sigmoid, tf.mul(silu, tf.sub(1, sigmoid)));
  return [tf.mul(tf.mul(dy, up), slope), tf.mul(dy, silu)];
};

/** cos and sin for every token of the batch, head and feature, [tokens · heads, head width]. */
const anglesFor = ({ shape, data }) =>
  tf.tidy(() => {
    const half = tf.reshape(tf.tensor(data, shape), [1, LLAMA.tokens, 1, headWidth / 2]);
    return tf.reshape(tf.tile(half, [batch, 1, heads, 2]), [TOKENS * heads, headWidth]);
  });

/** The matrix whose product with x = [a, b] is [−b, a]. */
const quarterTurn = () => {
  const half = headWidth / 2;
  const data = new Float32Array(headWidth * headWidth);
  for (let i = 0; i < half; i++) {
    data[(i + half) * headWidth + i] = -1;
    data[i * headWidth + i + half] = 1;
  }
  return tensor({ shape: [headWidth, headWidth], data });
};

/** RoPE, forward and backward; a product turns faster than slices and `tf.concat`, which are copied in JavaScript. */
export const makeRope = () => {
  const { cos, sin } = ropeAngles();
  const tables = { cos: anglesFor(cos), sin: anglesFor(sin), turn: quarterTurn() };
  const turned = (x, join) => {
    const rows = tf.reshape(x, [TOKENS * heads, headWidth]);
    const y = join(tf.mul(rows, tables.cos), tf.mul(tf.matMul(rows, tables.turn), tables.sin));
    return tf.reshape(y, [TOKENS, width]);
  };
  return { forward: (x) => turned(x, tf.add), back: (dy) => turned(dy, tf.sub) };
};

/** [tokens of the batch, width] → [batch · heads, tokens, head width]. */
const byHead = (x) =>
  tf.reshape(tf.transpose(tf.reshape(x, [batch, LLAMA.tokens, heads, headWidth]), [0, 2, 1, 3]), [
    batch * heads,
    LLAMA.tokens,
    headWidth,
  ]);

const fromHeads = (x) =>
  tf.reshape(tf.transpose(tf.reshape(x, [batch, heads, LLAMA.tokens, headWidth]), [0, 2, 1, 3]), [TOKENS, width]);

const swapped = (x) => tf.transpose(x, [0, 2, 1]);

const SCALE = headWidth ** -0.5;

/** 0 where a query sees a key, else as good as −∞. */
export const causalMask = () => {
  const { tokens } = LLAMA;
  const data = Float32Array.from({ length: tokens ** 2 }, (_, i) => (i % tokens <= Math.floor(i / tokens) ? 0 : -1e30));
  return tensor({ shape: [tokens, tokens], data });
};

export const attention = (q, k, v, mask) => {
  const [queries, keys, values] = [byHead(tf.mul(q, SCALE)), byHead(k), byHead(v)];
  const p = tf.softmax(tf.add(tf.matMul(queries, swapped(keys)), mask));
  return [fromHeads(tf.matMul(p, values)), { queries, keys, values, p }];
};

export const attentionBack = ({ queries, keys, values, p }, dy) => {
  const d = byHead(dy);
  const dp = tf.matMul(d, swapped(values));
  const weighted = tf.mul(p, dp);
  const ds = tf.sub(weighted, tf.mul(p, tf.sum(weighted, -1, true)));
  return [
    tf.mul(fromHeads(tf.matMul(ds, keys)), SCALE),
    fromHeads(tf.matMul(swapped(ds), queries)),
    fromHeads(tf.matMul(swapped(p), d)),
  ];
};

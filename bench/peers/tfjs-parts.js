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

/** RoPE, forward and backward; it turns by a product, since slices and `tf.concat` copy in JavaScript. */
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

/** x, [tokens of the batch, width], by sequence and head: [tokens, head width] each. In two stages, for a slice copies all of x. */
const byHead = (x) =>
  tf.unstack(tf.reshape(x, [batch, LLAMA.tokens, width])).flatMap((sequence) => {
    const split = tf.reshape(sequence, [LLAMA.tokens, heads, headWidth]);
    return tf.unstack(tf.transpose(split, [1, 0, 2]));
  });

const fromHeads = (xs) => {
  const stacked = tf.reshape(tf.stack(xs), [batch, heads, LLAMA.tokens, headWidth]);
  return tf.reshape(tf.transpose(stacked, [0, 2, 1, 3]), [TOKENS, width]);
};

const SCALE = headWidth ** -0.5;

/** 0 where a query sees a key, else as good as −∞. */
export const causalMask = () => {
  const { tokens } = LLAMA;
  const data = Float32Array.from({ length: tokens ** 2 }, (_, i) => (i % tokens <= Math.floor(i / tokens) ? 0 : -1e30));
  return tensor({ shape: [tokens, tokens], data });
};

/** Head by head, because the backend computes products of rank 3 in a scalar loop, several times slower. */
export const attention = (q, k, v, mask) => {
  const [queries, keys, values] = [byHead(tf.mul(q, SCALE)), byHead(k), byHead(v)];
  const shares = queries.map((query, i) => tf.softmax(tf.add(tf.matMul(query, tf.transpose(keys[i])), mask)));
  const y = fromHeads(shares.map((p, i) => tf.matMul(p, values[i])));
  return [y, { queries, keys, values, shares }];
};

const headBack = (query, key, value, p, d) => {
  const dp = tf.matMul(d, tf.transpose(value));
  const weighted = tf.mul(p, dp);
  const ds = tf.sub(weighted, tf.mul(p, tf.sum(weighted, -1, true)));
  return [tf.matMul(ds, key), tf.matMul(tf.transpose(ds), query), tf.matMul(tf.transpose(p), d)];
};

export const attentionBack = ({ queries, keys, values, shares }, dy) => {
  const all = byHead(dy).map((d, i) => headBack(queries[i], keys[i], values[i], shares[i], d));
  const [dq, dk, dv] = [0, 1, 2].map((part) => fromHeads(all.map((one) => one[part])));
  return [tf.mul(dq, SCALE), dk, dv];
};

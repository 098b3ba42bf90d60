/**
 * The LLaMA step that every program of this folder does: 4 layers of 256 features and 4 heads, 4 sequences of 128 tokens,
 * mean cross-entropy over all of them, Adam as in `work.js`. Weights have Hugging Face's names and come from the fixed
 * sequence. LoRA and PaCA adapt the linear maps of the layers; embedding, norms and head are frozen then.
 */
import { RANK, uniform } from './work.js';

/** @typedef {import('./work.js').Numbers} Numbers */

export const LLAMA = {
  vocabulary: 512,
  width: 256,
  layers: 4,
  heads: 4,
  headWidth: 64,
  feedForward: 704,
  epsilon: 1e-5,
  theta: 10000,
  batch: 4,
  tokens: 128,
};

/** Rows of a batch: its tokens. */
export const TOKENS = LLAMA.batch * LLAMA.tokens;

export const EMBEDDING = 'model.embed_tokens.weight';
export const LAST_NORM = 'model.norm.weight';
export const HEAD = 'lm_head.weight';

/** The names of a layer's weights. @param {number} i */
export const layerNames = (i) => {
  /** @param {string} name */
  const own = (name) => `model.layers.${i}.${name}.weight`;
  return {
    attentionNorm: own('input_layernorm'),
    q: own('self_attn.q_proj'),
    k: own('self_attn.k_proj'),
    v: own('self_attn.v_proj'),
    o: own('self_attn.o_proj'),
    feedForwardNorm: own('post_attention_layernorm'),
    gate: own('mlp.gate_proj'),
    up: own('mlp.up_proj'),
    down: own('mlp.down_proj'),
  };
};

const { vocabulary, width, feedForward } = LLAMA;

/** Shapes [out, in] of the linear maps of a layer. @param {number} i @returns {Readonly<Record<string, readonly number[]>>} */
const mapShapes = (i) => {
  const { q, k, v, o, gate, up, down } = layerNames(i);
  const square = [width, width];
  const wide = [feedForward, width];
  return { [q]: square, [k]: square, [v]: square, [o]: square, [gate]: wide, [up]: wide, [down]: [width, feedForward] };
};

const layers = Array.from({ length: LLAMA.layers }, (_, i) => i);

/** What LoRA and PaCA adapt. @type {Readonly<Record<string, readonly number[]>>} */
export const adapted = Object.assign({}, ...layers.map(mapShapes));

/** @type {Readonly<Record<string, readonly number[]>>} */
const others = {
  [EMBEDDING]: [vocabulary, width],
  ...Object.fromEntries(
    layers.map(layerNames).flatMap((l) => [
      [l.attentionNorm, [width]],
      [l.feedForwardNorm, [width]],
    ]),
  ),
  [LAST_NORM]: [width],
  [HEAD]: [vocabulary, width],
};

/** Of every weight. */
export const shapes = { ...adapted, ...others };

const names = Object.keys(shapes);

/** @param {string} name @returns {readonly number[]} */
const shapeOf = (name) => {
  const shape = shapes[name];
  if (shape === undefined) throw new Error(`no weight ${name}`);
  return shape;
};

/** Ones for norms, else uniform numbers of variance 1/(3·in). @param {string} name @returns {Numbers} */
export const llamaWeight = (name) => {
  const shape = shapeOf(name);
  const [rows = 0, ins] = shape;
  if (ins === undefined) return { shape, data: new Float32Array(rows).fill(1) };
  return uniform(100 + names.indexOf(name), shape, 1 / Math.sqrt(ins));
};

/** LoRA's A, [r, in]; its B begins as zero. @param {string} name A weight of `adapted`. */
export const llamaDown = (name) => {
  const [, ins = 0] = shapeOf(name);
  return uniform(200 + names.indexOf(name), [RANK, ins], 1 / Math.sqrt(ins));
};

/** Token numbers, one more than a batch has. */
const text = Int32Array.from(uniform(11, [TOKENS + 1], 0.5).data, (u) => Math.floor((u + 0.5) * vocabulary));

/** Of every position, sequence after sequence. */
export const tokens = text.slice(0, -1);

/** The token after each. */
export const nextTokens = text.slice(1);

/** cos and sin of RoPE's angles, [tokens, headWidth / 2]: position·θ^(−2i/headWidth). */
export const ropeAngles = () => {
  const pairs = LLAMA.headWidth / 2;
  const angles = Array.from({ length: LLAMA.tokens * pairs }, (_, i) => {
    const exponent = (-2 * (i % pairs)) / LLAMA.headWidth;
    return Math.floor(i / pairs) * LLAMA.theta ** exponent;
  });
  const shape = [LLAMA.tokens, pairs];
  return {
    cos: { shape, data: Float32Array.from(angles, Math.cos) },
    sin: { shape, data: Float32Array.from(angles, Math.sin) },
  };
};

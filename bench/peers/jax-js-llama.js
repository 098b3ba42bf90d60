/** The LLaMA step by jax-js. The target's logit is chosen by a one-hot row: `np.takeAlongAxis` has no gradient under `jit`. */
import { nn, numpy as np } from '@jax-js/jax';
import { array, product, training } from './jax-js-training.js';
import {
  adapted,
  EMBEDDING,
  HEAD,
  LAST_NORM,
  LLAMA,
  layerNames,
  llamaDown,
  llamaWeight,
  nextTokens,
  ropeAngles,
  shapes,
  TOKENS,
  tokens,
} from './llama-work.js';
import { RANK } from './work.js';

const { batch, heads, headWidth } = LLAMA;

const norm = (x, weight) => {
  const meanSquare = np.square(x.ref).mean(-1, { keepdims: true });
  return x.div(np.sqrt(meanSquare.add(LLAMA.epsilon))).mul(weight);
};

/** [tokens of the batch, width] → [batch, tokens, heads, head width]. */
const split = (x) => x.reshape([batch, LLAMA.tokens, heads, headWidth]);

/** cos and sin: [tokens, 1, head width / 2]. */
const rope = (x, cos, sin) => {
  const [a, b] = np.split(x, 2, -1);
  return np.concatenate([a.ref.mul(cos.ref).sub(b.ref.mul(sin.ref)), b.mul(cos).add(a.mul(sin))], -1);
};

const byHead = (x) => x.transpose([0, 2, 1, 3]);

/** (`nn.dotProductAttention` computes the same by `einsum`, which fails on Node 20.) */
const attention = (q, k, v, mask) => {
  const scores = np.matmul(byHead(q.mul(headWidth ** -0.5)), k.transpose([0, 2, 3, 1]));
  const values = np.matmul(nn.softmax(scores.add(mask), -1), byHead(v));
  return byHead(values).reshape([TOKENS, LLAMA.width]);
};

/** The mean cross-entropy; `map(x, name)` is a linear map of a layer, `weight(name)` any other weight. */
const lossOf = (map, weight, { ids, targets, cos, sin, mask }) => {
  let x = np.take(weight(EMBEDDING), ids, 0);
  for (let i = 0; i < LLAMA.layers; i++) {
    const names = layerNames(i);
    const n = norm(x.ref, weight(names.attentionNorm));
    const q = rope(split(map(n.ref, names.q)), cos.ref, sin.ref);
    const k = rope(split(map(n.ref, names.k)), cos.ref, sin.ref);
    x = x.add(map(attention(q, k, split(map(n, names.v)), mask.ref), names.o));
    const inner = norm(x.ref, weight(names.feedForwardNorm));
    const gated = nn.silu(map(inner.ref, names.gate)).mul(map(inner, names.up));
    x = x.add(map(gated, names.down));
  }
  cos.dispose();
  sin.dispose();
  mask.dispose();
  const logits = map(norm(x, weight(LAST_NORM)), HEAD);
  const chosen = logits.ref.mul(targets).sum(-1);
  return nn.logsumexp(logits, -1).sub(chosen).mean();
};

const weights = (names) => Object.fromEntries(names.map((name) => [name, array(llamaWeight(name))]));

const fullLoss = (params, _frozen, data) =>
  lossOf(
    (x, name) => product(x, params[name]),
    (name) => params[name],
    data,
  );

/**
 * The frozen head in two halves. Backward, its product alone reads the gradient of the logits, and a single product computes
 * what it reads anew each time, which adds a quarter to the step; for two the compiler stores it.
 */
const frozenHead = (x, w) =>
  np.concatenate(
    np.split(w, 2, 0).map((half) => product(x.ref, half)),
    -1,
  );

const loraLoss = (params, frozen, data) => {
  const map = (x, name) => {
    if (name === HEAD) return frozenHead(x, frozen[name]);
    return product(x.ref, frozen[name]).add(product(product(x, params[`${name} A`]), params[`${name} B`]));
  };
  return lossOf(map, (name) => frozen[name], data);
};

const adapters = () =>
  Object.fromEntries(
    Object.entries(adapted).flatMap(([name, [out]]) => [
      [`${name} A`, array(llamaDown(name))],
      [`${name} B`, np.zeros([out, RANK])],
    ]),
  );

const methods = {
  full: () => ({ loss: fullLoss, params: weights(Object.keys(shapes)), frozen: {} }),
  lora: () => ({ loss: loraLoss, params: adapters(), frozen: weights(Object.keys(shapes)) }),
};

const oneHot = (ids) => nn.oneHot(np.array(ids, { dtype: np.int32 }), LLAMA.vocabulary);

export const llamaStep = async (method) => {
  if (!Object.hasOwn(methods, method)) throw new Error(`no method ${method}`);
  const { loss, params, frozen } = methods[method]();
  const { cos, sin } = ropeAngles();
  const angles = (numbers) => array({ ...numbers, shape: [LLAMA.tokens, 1, headWidth / 2] });
  return training(loss, params, frozen, {
    ids: np.array(tokens, { dtype: np.int32 }),
    targets: oneHot(nextTokens),
    cos: angles(cos),
    sin: angles(sin),
    mask: np.where(np.tri(LLAMA.tokens).astype(np.bool), 0, Number.NEGATIVE_INFINITY),
  });
};

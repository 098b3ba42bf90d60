/**
 * The LLaMA step by TensorFlow.js, its gradient by hand for the reasons told in `tfjs.js`. Each layer runs in a `tf.tidy`
 * of its own, and what it keeps goes when its gradient is computed.
 */
import * as tf from '@tensorflow/tfjs-core';
import { EMBEDDING, HEAD, LAST_NORM, LLAMA, layerNames, nextTokens, TOKENS, tokens } from './llama-work.js';
import { methods } from './tfjs-maps.js';
import { attention, attentionBack, causalMask, makeRope, norm, normBack, swiglu, swigluBack } from './tfjs-parts.js';
import { training } from './tfjs-training.js';

/** A norm's gradient, and that of its weight where it trains. */
const backThroughNorm = ({ weights, trainsAll, normWeightBack }, name, dy, kept, gradients) => {
  if (trainsAll) normWeightBack(name, dy, kept.unit, gradients);
  return normBack(kept, weights[name], dy);
};

/** A layer: its output, and what its gradient needs. */
const forward = ({ map, weights }, { rope, mask }, names, x) => {
  const kept = {};
  const [n, normed] = norm(x, weights[names.attentionNorm]);
  const q = rope.forward(map(names.q, n, kept));
  const k = rope.forward(map(names.k, n, kept));
  const [mixed, attended] = attention(q, k, map(names.v, n, kept), mask);
  const middle = tf.add(x, map(names.o, mixed, kept));
  const [inner, innerNormed] = norm(middle, weights[names.feedForwardNorm]);
  const gate = map(names.gate, inner, kept);
  const up = map(names.up, inner, kept);
  const y = tf.add(middle, map(names.down, swiglu(gate, up), kept));
  return { y, kept: { ...kept, normed, attended, innerNormed, gate, up } };
};

/** The gradient of a layer's input, null where nothing before it trains, and those of its weights. */
const backward = (use, { rope }, names, kept, dy, isWanted) => {
  const gradients = {};
  const back = (name, d, wanted) => use.mapBack(name, d, kept, gradients, wanted);
  const [dGate, dUp] = swigluBack(kept.gate, kept.up, back(names.down, dy));
  const dInner = tf.add(back(names.gate, dGate), back(names.up, dUp));
  const dMiddle = tf.add(dy, backThroughNorm(use, names.feedForwardNorm, dInner, kept.innerNormed, gradients));
  const [dq, dk, dv] = attentionBack(kept.attended, back(names.o, dMiddle));
  const fromQ = back(names.q, rope.back(dq), isWanted);
  const fromK = back(names.k, rope.back(dk), isWanted);
  const fromV = back(names.v, dv, isWanted);
  if (!isWanted) return { dx: null, gradients };
  const dn = tf.addN([fromQ, fromK, fromV]);
  return { dx: tf.add(dMiddle, backThroughNorm(use, names.attentionNorm, dn, kept.normed, gradients)), gradients };
};

/** Norm, head and mean cross-entropy: the loss, and gradients. */
const end = (use, x, targets) => {
  const [kept, gradients] = [{}, {}];
  const [n, normed] = norm(x, use.weights[LAST_NORM]);
  const p = tf.softmax(use.map(HEAD, n, kept));
  const loss = tf.neg(tf.mean(tf.log(tf.sum(tf.mul(p, targets), -1))));
  const dn = use.mapBack(HEAD, tf.mul(tf.sub(p, targets), 1 / TOKENS), kept, gradients);
  return { loss, dx: backThroughNorm(use, LAST_NORM, dn, normed, gradients), gradients };
};

const lossAndGradients = (use, data) => {
  const layers = Array.from({ length: LLAMA.layers }, (_, i) => layerNames(i));
  const keptOf = [];
  let x = tf.gather(use.weights[EMBEDDING], data.ids);
  for (const names of layers) {
    const { y, kept } = tf.tidy(() => forward(use, data, names, x));
    keptOf.push(kept);
    x = y;
  }
  const { loss, dx, gradients } = tf.tidy(() => end(use, x, data.targets));
  let dy = dx;
  for (const [i, names] of [...layers.entries()].reverse()) {
    const layer = tf.tidy(() => backward(use, data, names, keptOf[i], dy, i > 0 || use.trainsAll));
    tf.dispose([dy, keptOf[i]]);
    Object.assign(gradients, layer.gradients);
    dy = layer.dx;
  }
  if (use.trainsAll) use.embeddingBack(dy, data.ids, gradients);
  return [loss, gradients];
};

export const llamaStep = async (method) => {
  if (!Object.hasOwn(methods, method)) throw new Error(`no method ${method}`);
  const { params, use } = methods[method]();
  const data = {
    ids: tf.tensor1d(tokens, 'int32'),
    targets: tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(nextTokens, 'int32'), LLAMA.vocabulary), 'float32')),
    rope: makeRope(),
    mask: causalMask(),
  };
  return training(params, (current) => lossAndGradients(use(current), data));
};

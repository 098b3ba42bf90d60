/**
 * The weights of the LLaMA step by TensorFlow.js: all trained, or frozen with LoRA on the layers' linear maps. Those lie
 * as [in, out]. What a map keeps is noted in `kept`, its gradients in `gradients`, both by its name.
 */
import * as tf from '@tensorflow/tfjs-core';
import { adapted, EMBEDDING, HEAD, llamaDown, llamaWeight, shapes, TOKENS } from './llama-work.js';
import { columnSums, tensor, transposed } from './tfjs-training.js';
import { RANK } from './work.js';

const allWeights = () =>
  Object.fromEntries(
    Object.entries(shapes).map(([name, { length }]) => {
      const numbers = llamaWeight(name);
      return [name, length === 1 || name === EMBEDDING ? tensor(numbers) : transposed(numbers)];
    }),
  );

/** What a step uses: `map` and `mapBack` for linear maps, the head among them; `weights` for what else it reads. */
const full = () => {
  const ones = tf.ones([1, TOKENS]);
  const use = (params) => ({
    weights: params,
    trainsAll: true,
    map: (name, x, kept) => {
      kept[name] = x;
      return tf.matMul(x, params[name]);
    },
    mapBack: (name, dy, kept, gradients) => {
      gradients[name] = tf.matMul(tf.transpose(kept[name]), dy);
      return tf.matMul(dy, tf.transpose(params[name]));
    },
    normWeightBack: (name, dy, unit, gradients) => {
      gradients[name] = columnSums(ones, tf.mul(dy, unit));
    },
    embeddingBack: (dy, ids, gradients) => {
      gradients[EMBEDDING] = tf.scatterND(tf.reshape(ids, [TOKENS, 1]), dy, shapes[EMBEDDING]);
    },
  });
  return { params: allWeights(), use };
};

const adapters = () =>
  Object.fromEntries(
    Object.entries(adapted).flatMap(([name, [out]]) => [
      [`${name} A`, tensor(llamaDown(name))],
      [`${name} B`, tf.zeros([RANK, out])],
    ]),
  );

/** A is [r, in], B [r, out]. Frozen weights are kept in both layouts. The gradient of an input is left out where it is not wanted. */
const lora = () => {
  const frozen = allWeights();
  const flipped = Object.fromEntries([...Object.keys(adapted), HEAD].map((name) => [name, tensor(llamaWeight(name))]));
  const use = (params) => ({
    weights: frozen,
    trainsAll: false,
    map: (name, x, kept) => {
      const y = tf.matMul(x, frozen[name]);
      if (name === HEAD) return y;
      const inner = tf.matMul(x, tf.transpose(params[`${name} A`]));
      kept[name] = { x, inner };
      return tf.add(y, tf.matMul(inner, params[`${name} B`]));
    },
    mapBack: (name, dy, kept, gradients, isWanted = true) => {
      if (name === HEAD) return tf.matMul(dy, flipped[name]);
      const [down, up] = [params[`${name} A`], params[`${name} B`]];
      const { x, inner } = kept[name];
      const dInner = tf.matMul(dy, tf.transpose(up));
      gradients[`${name} A`] = tf.matMul(tf.transpose(dInner), x);
      gradients[`${name} B`] = tf.matMul(tf.transpose(inner), dy);
      return isWanted ? tf.add(tf.matMul(dy, flipped[name]), tf.matMul(dInner, down)) : null;
    },
  });
  return { params: adapters(), use };
};

export const methods = { full, lora };

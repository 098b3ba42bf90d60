/** Training in TensorFlow.js with gradients that are written by hand. */
import * as tf from '@tensorflow/tfjs-core';
import { ADAM } from './work.js';

export const tensor = ({ shape, data }) => tf.tensor(data, shape);
export const transposed = (numbers) => tf.tidy(() => tf.transpose(tensor(numbers)));

/** Sums over rows: a product with ones, because `tf.sum` over rows transposes. @param ones [1, rows] */
export const columnSums = (ones, x) => tf.reshape(tf.matMul(ones, x), [x.shape[1]]);

/** Adam's update of one tensor in place. `rate` is lr / (1 − β₁ᵗ), `correction` is 1 / (1 − β₂ᵗ). */
const update = ({ param, m, v }, gradient, rate, correction) =>
  tf.tidy(() => {
    m.assign(tf.add(tf.mul(m, ADAM.beta1), tf.mul(gradient, 1 - ADAM.beta1)));
    v.assign(tf.add(tf.mul(v, ADAM.beta2), tf.mul(tf.square(gradient), 1 - ADAM.beta2)));
    const root = tf.add(tf.sqrt(tf.mul(v, correction)), ADAM.epsilon);
    param.assign(tf.sub(param, tf.div(tf.mul(m, rate), root)));
  });

const trained = (initial) => ({
  param: tf.variable(initial),
  m: tf.variable(tf.zerosLike(initial)),
  v: tf.variable(tf.zerosLike(initial)),
});

const mapValues = (record, f) => Object.fromEntries(Object.entries(record).map(([name, value]) => [name, f(value)]));

/** A step, ready to be repeated, of a function from parameters by name to the loss and the gradients by name. */
export const training = (params, lossAndGradients) => {
  const state = mapValues(params, trained);
  const current = mapValues(state, ({ param }) => param);
  let count = 0;
  return async () => {
    count += 1;
    const rate = ADAM.learningRate / (1 - ADAM.beta1 ** count);
    const correction = 1 / (1 - ADAM.beta2 ** count);
    const value = tf.tidy(() => {
      const [loss, gradients] = lossAndGradients(current);
      for (const [name, gradient] of Object.entries(gradients)) update(state[name], gradient, rate, correction);
      return loss;
    });
    const [loss] = await value.data();
    value.dispose();
    return loss;
  };
};

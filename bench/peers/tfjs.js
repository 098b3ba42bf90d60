/**
 * The work by TensorFlow.js on its wasm backend, one thread. Its transposed products run in a scalar loop and its own
 * gradients use them, which makes a step over ten times slower; so the gradient is written by hand, with transposed copies
 * and the plain product. Each weight lies in the layout that needs the fewest copies, frozen weights are transposed once,
 * and columns are summed by a product with ones, because `tf.sum` over rows transposes too. Adam by hand folds the
 * corrections of bias into two numbers. All of it is a little faster than `tf.train.adam` and the plain layout.
 */
import { setThreadsCount } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { main, readManifest } from './program.js';
import { ADAM, bias, inputs, loraDown, operands, RANK, ROWS, targets, WIDTHS, weight } from './work.js';

setThreadsCount(1);
await tf.setBackend('wasm');

const tensor = ({ shape, data }) => tf.tensor(data, shape);
const transposed = (numbers) => tf.tidy(() => tf.transpose(tensor(numbers)));
const affine = (x, w, b, activation) => tf.fused.matMul({ a: x, b: w, bias: b, activation });

/** Mean squared error, and its gradient. */
const squaredError = (y, target) => {
  const difference = tf.sub(y, target);
  return [tf.mean(tf.square(difference)), tf.mul(difference, 2 / difference.size)];
};

const columnSums = (ones, x) => tf.reshape(tf.matMul(ones, x), [x.shape[1]]);

/** Everything trains. W₁ is [in, out]; W₂ is [out, in], and the second product is (W₂·hᵀ)ᵀ. */
const full = () => {
  const ones = tf.ones([1, ROWS]);
  const params = [transposed(weight(0)), tensor(bias(0)), tensor(weight(1)), tensor(bias(1))];
  const lossAndGradients = ([w1, b1, w2, b2], x, target) => {
    const hidden = affine(x, w1, b1, 'relu');
    const y = tf.add(tf.transpose(tf.matMul(w2, tf.transpose(hidden))), b2);
    const [loss, dY] = squaredError(y, target);
    const dHidden = tf.mul(tf.matMul(dY, w2), tf.step(hidden));
    const dW1 = tf.matMul(tf.transpose(x), dHidden);
    const dW2 = tf.matMul(tf.transpose(dY), hidden);
    return [loss, [dW1, columnSums(ones, dHidden), dW2, columnSums(ones, dY)]];
  };
  return { params, lossAndGradients };
};

/** Only A, [r, in], and B, kept as [r, out], train. W₂ is frozen and kept in both layouts. */
const lora = () => {
  const [w1, b1, w2, b2] = [transposed(weight(0)), tensor(bias(0)), tensor(weight(1)), tensor(bias(1))];
  const w2Transposed = tf.transpose(w2);
  const params = [tensor(loraDown(0)), tf.zeros([RANK, WIDTHS[1]]), tensor(loraDown(1)), tf.zeros([RANK, WIDTHS[2]])];
  const lossAndGradients = ([down1, up1, down2, up2], x, target) => {
    const inner1 = tf.matMul(x, tf.transpose(down1));
    const hidden = tf.relu(tf.add(affine(x, w1, b1, 'linear'), tf.matMul(inner1, up1)));
    const inner2 = tf.matMul(hidden, tf.transpose(down2));
    const y = tf.add(affine(hidden, w2Transposed, b2, 'linear'), tf.matMul(inner2, up2));
    const [loss, dY] = squaredError(y, target);
    const dInner2 = tf.matMul(dY, tf.transpose(up2));
    const dHidden = tf.mul(tf.add(tf.matMul(dY, w2), tf.matMul(dInner2, down2)), tf.step(hidden));
    const dInner1 = tf.matMul(dHidden, tf.transpose(up1));
    const dDown = [tf.matMul(tf.transpose(dInner1), x), tf.matMul(tf.transpose(dInner2), hidden)];
    const dUp = [tf.matMul(tf.transpose(inner1), dHidden), tf.matMul(tf.transpose(inner2), dY)];
    return [loss, [dDown[0], dUp[0], dDown[1], dUp[1]]];
  };
  return { params, lossAndGradients };
};

const methods = { full, lora };

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

const step = async (method) => {
  if (!Object.hasOwn(methods, method)) throw new Error(`no method ${method}`);
  const { params, lossAndGradients } = methods[method]();
  const state = params.map(trained);
  const [x, target] = [tensor(inputs()), tensor(targets())];
  let count = 0;
  return async () => {
    count += 1;
    const rate = ADAM.learningRate / (1 - ADAM.beta1 ** count);
    const correction = 1 / (1 - ADAM.beta2 ** count);
    const value = tf.tidy(() => {
      const current = state.map(({ param }) => param);
      const [loss, gradients] = lossAndGradients(current, x, target);
      for (const [i, gradient] of gradients.entries()) update(state[i], gradient, rate, correction);
      return loss;
    });
    const [loss] = await value.data();
    value.dispose();
    return loss;
  };
};

const products = {
  nn: (a, b) => tf.matMul(a, b),
  nt: (a, b) => tf.matMul(a, tf.transpose(b)),
  tn: (a, b) => tf.matMul(tf.transpose(a), b),
};

const gemm = async (layout, size) => {
  const [a, b] = operands(layout, size).map(tensor);
  const run = () => tf.tidy(() => products[layout](a, b));
  return {
    multiply: async () => tf.dispose(run()),
    result: () => run().data(),
  };
};

await main({
  name: 'tfjs',
  version: readManifest('./package.json').dependencies['@tensorflow/tfjs-backend-wasm'],
  step,
  gemm,
});

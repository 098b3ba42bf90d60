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
import { llamaStep } from './tfjs-llama.js';
import { columnSums, tensor, training, transposed } from './tfjs-training.js';
import { bias, inputs, loraDown, operands, RANK, ROWS, targets, WIDTHS, weight } from './work.js';

setThreadsCount(1);
await tf.setBackend('wasm');

const affine = (x, w, b, activation) => tf.fused.matMul({ a: x, b: w, bias: b, activation });

/** Mean squared error, and its gradient. */
const squaredError = (y, target) => {
  const difference = tf.sub(y, target);
  return [tf.mean(tf.square(difference)), tf.mul(difference, 2 / difference.size)];
};

/** Everything trains. W₁ is [in, out]; W₂ is [out, in], and the second product is (W₂·hᵀ)ᵀ. */
const full = () => {
  const ones = tf.ones([1, ROWS]);
  const params = { w1: transposed(weight(0)), b1: tensor(bias(0)), w2: tensor(weight(1)), b2: tensor(bias(1)) };
  const lossAndGradients = ({ w1, b1, w2, b2 }, x, target) => {
    const hidden = affine(x, w1, b1, 'relu');
    const y = tf.add(tf.transpose(tf.matMul(w2, tf.transpose(hidden))), b2);
    const [loss, dY] = squaredError(y, target);
    const dHidden = tf.mul(tf.matMul(dY, w2), tf.step(hidden));
    const dW1 = tf.matMul(tf.transpose(x), dHidden);
    const dW2 = tf.matMul(tf.transpose(dY), hidden);
    return [loss, { w1: dW1, b1: columnSums(ones, dHidden), w2: dW2, b2: columnSums(ones, dY) }];
  };
  return { params, lossAndGradients };
};

/** Only A, [r, in], and B, kept as [r, out], train. W₂ is frozen and kept in both layouts. */
const lora = () => {
  const [w1, b1, w2, b2] = [transposed(weight(0)), tensor(bias(0)), tensor(weight(1)), tensor(bias(1))];
  const w2Transposed = tf.transpose(w2);
  const params = {
    down1: tensor(loraDown(0)),
    up1: tf.zeros([RANK, WIDTHS[1]]),
    down2: tensor(loraDown(1)),
    up2: tf.zeros([RANK, WIDTHS[2]]),
  };
  const lossAndGradients = ({ down1, up1, down2, up2 }, x, target) => {
    const inner1 = tf.matMul(x, tf.transpose(down1));
    const hidden = tf.relu(tf.add(affine(x, w1, b1, 'linear'), tf.matMul(inner1, up1)));
    const inner2 = tf.matMul(hidden, tf.transpose(down2));
    const y = tf.add(affine(hidden, w2Transposed, b2, 'linear'), tf.matMul(inner2, up2));
    const [loss, dY] = squaredError(y, target);
    const dInner2 = tf.matMul(dY, tf.transpose(up2));
    const dHidden = tf.mul(tf.add(tf.matMul(dY, w2), tf.matMul(dInner2, down2)), tf.step(hidden));
    const dInner1 = tf.matMul(dHidden, tf.transpose(up1));
    const gradients = {
      down1: tf.matMul(tf.transpose(dInner1), x),
      up1: tf.matMul(tf.transpose(inner1), dHidden),
      down2: tf.matMul(tf.transpose(dInner2), hidden),
      up2: tf.matMul(tf.transpose(inner2), dY),
    };
    return [loss, gradients];
  };
  return { params, lossAndGradients };
};

const methods = { full, lora };

const step = async (method) => {
  if (!Object.hasOwn(methods, method)) throw new Error(`no method ${method}`);
  const { params, lossAndGradients } = methods[method]();
  const [x, target] = [tensor(inputs()), tensor(targets())];
  return training(params, (current) => lossAndGradients(current, x, target));
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
  llama: llamaStep,
  gemm,
});

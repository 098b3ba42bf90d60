/**
 * The work by jax-js on its wasm device. Weights are [out, in], the layout in which its compiled products are fastest.
 * (Without its own gradients, a step cut by hand into several functions with transposed copies between them would take some
 * 7% less.) Node has no global `Worker`, so it has one thread.
 */
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np } from '@jax-js/jax';
import { llamaStep } from './jax-js-llama.js';
import { array, product, training } from './jax-js-training.js';
import { main, readManifest } from './program.js';
import { bias, inputs, loraDown, operands, RANK, targets, WIDTHS, weight } from './work.js';

if (typeof Worker !== 'undefined') throw new Error('jax-js would use several threads: this runtime has Worker');
await init('wasm');
defaultDevice('wasm');

const squaredError = (y, target) => np.square(y.sub(target)).mean();

const fullLoss = ({ w1, b1, w2, b2 }, _frozen, { x, target }) => {
  const hidden = nn.relu(product(x, w1).add(b1));
  return squaredError(product(hidden, w2).add(b2), target);
};

const loraLoss = ({ down1, up1, down2, up2 }, { w1, b1, w2, b2 }, { x, target }) => {
  const hidden = nn.relu(
    product(x.ref, w1)
      .add(b1)
      .add(product(product(x, down1), up1)),
  );
  const y = product(hidden.ref, w2)
    .add(b2)
    .add(product(product(hidden, down2), up2));
  return squaredError(y, target);
};

const base = () => ({
  w1: array(weight(0)),
  b1: array(bias(0)),
  w2: array(weight(1)),
  b2: array(bias(1)),
});

const adapters = () => ({
  down1: array(loraDown(0)),
  up1: np.zeros([WIDTHS[1], RANK]),
  down2: array(loraDown(1)),
  up2: np.zeros([WIDTHS[2], RANK]),
});

const methods = {
  full: () => ({ loss: fullLoss, params: base(), frozen: {} }),
  lora: () => ({ loss: loraLoss, params: adapters(), frozen: base() }),
};

const step = async (method) => {
  if (!Object.hasOwn(methods, method)) throw new Error(`no method ${method}`);
  const { loss, params, frozen } = methods[method]();
  return training(loss, params, frozen, { x: array(inputs()), target: array(targets()) });
};

/** A·Bᵀ reads both operands along their rows and is its fastest product: 20% faster than the others, copies included. */
const rowsByRows = jit(product);
const transposedCopy = jit((x) => x.transpose().add(0));

const products = {
  nn: (a, b) => rowsByRows(a, transposedCopy(b)),
  nt: rowsByRows,
  tn: (a, b) => rowsByRows(transposedCopy(a), transposedCopy(b)),
};

const gemm = async (layout, size) => {
  const [a, b] = operands(layout, size).map(array);
  const run = products[layout];
  return {
    multiply: async () => {
      const c = run(a.ref, b.ref);
      await blockUntilReady(c);
      c.dispose();
    },
    result: () => run(a.ref, b.ref).data(),
  };
};

await main({
  name: 'jax-js',
  version: readManifest('./package.json').dependencies['@jax-js/jax'],
  step,
  llama: llamaStep,
  gemm,
});

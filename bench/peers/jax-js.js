/**
 * The work by jax-js on its wasm device. The whole step, loss, gradient and Adam, is one function under `jit`; what it
 * consumes is handed over, what it keeps is referenced (`tree.ref`), so that no array outlives its step. Weights are
 * [out, in], the layout in which its compiled products are fastest. (Without its own gradients, a step cut by hand into
 * several functions with transposed copies between them would take some 7% less.) Node has no global `Worker`, so it has
 * one thread.
 */
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { main, readManifest } from './program.js';
import { ADAM, bias, inputs, loraDown, operands, RANK, targets, WIDTHS, weight } from './work.js';

if (typeof Worker !== 'undefined') throw new Error('jax-js would use several threads: this runtime has Worker');
await init('wasm');
defaultDevice('wasm');

const array = ({ shape, data }) => np.array(data, { shape });

/** x·Wᵀ. */
const product = (x, w) => np.matmul(x, w.transpose());

const squaredError = (y, target) => np.square(y.sub(target)).mean();

const fullLoss = ({ w1, b1, w2, b2 }, _frozen, x, target) => {
  const hidden = nn.relu(product(x, w1).add(b1));
  return squaredError(product(hidden, w2).add(b2), target);
};

const loraLoss = ({ down1, up1, down2, up2 }, { w1, b1, w2, b2 }, x, target) => {
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

/** Adam's update of one tensor. `rate` is lr / (1 − β₁ᵗ), `correction` is 1 / (1 − β₂ᵗ). */
const updated = (param, gradient, m, v, rate, correction) => {
  const nextM = m.mul(ADAM.beta1).add(gradient.ref.mul(1 - ADAM.beta1));
  const nextV = v.mul(ADAM.beta2).add(np.square(gradient).mul(1 - ADAM.beta2));
  const root = np.sqrt(nextV.ref.mul(correction)).add(ADAM.epsilon);
  return { param: param.sub(nextM.ref.mul(rate).div(root)), m: nextM, v: nextV };
};

/** One step as a function of arrays alone. The factors of Adam change with the step, so they are arguments. */
const trainingStep = (loss) => (params, m, v, frozen, x, target, rate, correction) => {
  const [value, gradient] = valueAndGrad(loss)(tree.ref(params), frozen, x, target);
  const next = Object.keys(params).map((name) => [
    name,
    updated(params[name], gradient[name], m[name], v[name], rate.ref, correction.ref),
  ]);
  rate.dispose();
  correction.dispose();
  const part = (key) => Object.fromEntries(next.map(([name, tensors]) => [name, tensors[key]]));
  return [value, part('param'), part('m'), part('v')];
};

const zerosLike = (params) => tree.map((p) => np.zeros(p.shape), params);

const step = async (method) => {
  if (!Object.hasOwn(methods, method)) throw new Error(`no method ${method}`);
  const { loss, params: initial, frozen } = methods[method]();
  const [x, target] = [array(inputs()), array(targets())];
  const run = jit(trainingStep(loss));
  let [params, m, v] = [initial, zerosLike(initial), zerosLike(initial)];
  let count = 0;
  return async () => {
    count += 1;
    const rate = np.array(ADAM.learningRate / (1 - ADAM.beta1 ** count));
    const correction = np.array(1 / (1 - ADAM.beta2 ** count));
    let value;
    [value, params, m, v] = run(params, m, v, tree.ref(frozen), x.ref, target.ref, rate, correction);
    await blockUntilReady([params, m, v]);
    return (await value.data())[0];
  };
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

await main({ name: 'jax-js', version: readManifest('./package.json').dependencies['@jax-js/jax'], step, gemm });

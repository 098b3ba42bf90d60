/**
 * Training in jax-js: the whole step, loss, gradient and Adam, is one function under `jit`. What it consumes is handed over,
 * what it keeps is referenced (`tree.ref`), so that no array outlives its step.
 */
import { blockUntilReady, jit, numpy as np, tree, valueAndGrad } from '@jax-js/jax';
import { ADAM } from './work.js';

export const array = ({ shape, data }) => np.array(data, { shape });

/** x·Wᵀ. */
export const product = (x, w) => np.matmul(x, w.transpose());

/** Adam's update of one tensor. `rate` is lr / (1 − β₁ᵗ), `correction` is 1 / (1 − β₂ᵗ). */
const updated = (param, gradient, m, v, rate, correction) => {
  const nextM = m.mul(ADAM.beta1).add(gradient.ref.mul(1 - ADAM.beta1));
  const nextV = v.mul(ADAM.beta2).add(np.square(gradient).mul(1 - ADAM.beta2));
  const root = np.sqrt(nextV.ref.mul(correction)).add(ADAM.epsilon);
  return { param: param.sub(nextM.ref.mul(rate).div(root)), m: nextM, v: nextV };
};

/** One step as a function of arrays alone. The factors of Adam change with the step, so they are arguments. */
const trainingStep = (loss) => (params, m, v, frozen, batch, rate, correction) => {
  const [value, gradient] = valueAndGrad(loss)(tree.ref(params), frozen, batch);
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

/**
 * A step, ready to be repeated, of a loss of `(params, frozen, batch)`, which uses up all three. The loss is read first, which
 * runs all that is pending: otherwise each of the others waits for every kernel, which doubles the time of a LLaMA step with LoRA.
 */
export const training = (loss, initial, frozen, batch) => {
  const run = jit(trainingStep(loss));
  let [params, m, v] = [initial, zerosLike(initial), zerosLike(initial)];
  let count = 0;
  return async () => {
    count += 1;
    const rate = np.array(ADAM.learningRate / (1 - ADAM.beta1 ** count));
    const correction = np.array(1 / (1 - ADAM.beta2 ** count));
    let value;
    [value, params, m, v] = run(params, m, v, tree.ref(frozen), tree.ref(batch), rate, correction);
    const [lossBefore] = await value.data();
    await blockUntilReady([params, m, v]);
    return lossBefore;
  };
};

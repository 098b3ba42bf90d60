/** The work by paca-ts itself, through its public entry points as the build makes them; PaCA where the peers have LoRA. */
import { resolveBackend } from '../../dist/backends/resolve.js';
import {
  adamw,
  buildModel,
  columnView,
  crossEntropy,
  initialState,
  llama,
  meanSquaredError,
  mlp,
  orThrow,
  permutation,
  rngFromSeed,
  splitRng,
  trainStep,
} from '../../dist/src/index.js';
import { HEAD, LLAMA, llamaWeight, nextTokens, shapes, TOKENS, tokens } from './llama-work.js';
import { main, readManifest } from './program.js';
import { ADAM, bias, inputs, operands, RANK, ROWS, targets, WIDTHS, weight } from './work.js';

const { kernels: k } = orThrow(await resolveBackend('wasm', { threads: 1 }));

const tensor = (numbers) => ({ dtype: 'f32', ...numbers });
const onDevice = (numbers) => k.fromHost(tensor(numbers));

const treatments = {
  full: () => ({ method: 'full' }),
  paca: ({ path, operation }) => {
    if (`${path}.weight` === HEAD) return { method: 'frozen' };
    const [order] = permutation(splitRng(rngFromSeed(1), path), columnView(operation).columns);
    return { method: 'paca', adapters: [{ indices: order.slice(0, RANK).sort(), alpha: RANK }] };
  },
};

/** Weights that are made when they are read. */
const lazily = (makers) =>
  Object.create(
    null,
    Object.fromEntries(Object.entries(makers).map(([name, make]) => [name, { get: () => tensor(make()) }])),
  );

/** A step of a model on its batch. What is no linear map, and a head, trains in `full` alone. */
const training = (method, architecture, makers, loss, batch) => {
  const treatment = treatments[method];
  if (treatment === undefined) throw new Error(`no method ${method}`);
  const problem = {
    kernels: k,
    model: orThrow(buildModel(k, architecture, lazily(makers), treatment, () => method === 'full')),
    loss,
    optimizer: adamw(k, ADAM),
    seed: 1,
  };
  let state = initialState(problem, { donate: true });
  return async () => {
    const [next, metrics] = k.scope(() => trainStep(problem, state, [batch], { donate: true }));
    state = next;
    const { data } = await k.toHost(metrics.loss);
    k.donate(metrics);
    return data[0];
  };
};

const step = async (method) => {
  const makers = Object.fromEntries(
    [0, 1].flatMap((i) => [
      [`layers.${i}.weight`, () => weight(i)],
      [`layers.${i}.bias`, () => bias(i)],
    ]),
  );
  const batch = { inputs: onDevice(inputs()), targets: onDevice(targets()), count: ROWS * WIDTHS[2] };
  return training(method, mlp({ widths: WIDTHS, activation: 'relu' }), makers, meanSquaredError(k), batch);
};

const config = {
  ...LLAMA,
  groups: LLAMA.heads,
  scaling: { kind: 'none' },
  positions: LLAMA.tokens,
  tied: false,
  inputBias: false,
  outputBias: false,
  headNorm: false,
  windows: Array(LLAMA.layers).fill(null),
};

const llamaStep = async (method) => {
  const makers = Object.fromEntries(Object.keys(shapes).map((name) => [name, () => llamaWeight(name)]));
  const ids = (data) => k.fromHost({ dtype: 'i32', shape: [LLAMA.batch, LLAMA.tokens], data });
  const batch = { inputs: ids(tokens), targets: ids(nextTokens), count: TOKENS };
  return training(method, llama(config), makers, crossEntropy(k), batch);
};

const gemm = async (layout, size) => {
  const [a, b] = operands(layout, size).map(onDevice);
  return {
    multiply: async () => k.donate(k.matmul(a, b, layout)),
    result: async () => (await k.toHost(k.matmul(a, b, layout))).data,
  };
};

await main({ name: 'paca-ts', version: readManifest('../../package.json').version, step, llama: llamaStep, gemm });

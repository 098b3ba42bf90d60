/** The work by paca-ts itself, through its public entry points as the build makes them; PaCA where the peers have LoRA. */
import { resolveBackend } from '../../dist/backends/resolve.js';
import {
  adamw,
  buildModel,
  columnView,
  initialState,
  meanSquaredError,
  mlp,
  orThrow,
  permutation,
  rngFromSeed,
  splitRng,
  trainStep,
} from '../../dist/src/index.js';
import { main, readManifest } from './program.js';
import { ADAM, bias, inputs, operands, RANK, ROWS, targets, WIDTHS, weight } from './work.js';

const { kernels: k } = orThrow(await resolveBackend('wasm', { threads: 1 }));

const tensor = (numbers) => ({ dtype: 'f32', ...numbers });
const onDevice = (numbers) => k.fromHost(tensor(numbers));

const treatments = {
  full: () => ({ method: 'full' }),
  paca: ({ path, operation }) => {
    const [order] = permutation(splitRng(rngFromSeed(1), path), columnView(operation).columns);
    return { method: 'paca', adapters: [{ indices: order.slice(0, RANK).sort(), alpha: RANK }] };
  },
};

const step = async (method) => {
  const treatment = treatments[method];
  if (treatment === undefined) throw new Error(`no method ${method}`);
  const weights = Object.create(
    null,
    Object.fromEntries(
      [0, 1].flatMap((i) => [
        [`layers.${i}.weight`, { get: () => tensor(weight(i)) }],
        [`layers.${i}.bias`, { get: () => tensor(bias(i)) }],
      ]),
    ),
  );
  const problem = {
    kernels: k,
    model: orThrow(buildModel(k, mlp({ widths: WIDTHS, activation: 'relu' }), weights, treatment)),
    loss: meanSquaredError(k),
    optimizer: adamw(k, ADAM),
    seed: 1,
  };
  const batch = [{ inputs: onDevice(inputs()), targets: onDevice(targets()), count: ROWS * WIDTHS[2] }];
  let state = initialState(problem, { donate: true });
  return async () => {
    const [next, metrics] = k.scope(() => trainStep(problem, state, batch, { donate: true }));
    state = next;
    const { data } = await k.toHost(metrics.loss);
    k.donate(metrics);
    return data[0];
  };
};

const gemm = async (layout, size) => {
  const [a, b] = operands(layout, size).map(onDevice);
  return {
    multiply: async () => k.donate(k.matmul(a, b, layout)),
    result: async () => (await k.toHost(k.matmul(a, b, layout))).data,
  };
};

await main({ name: 'paca-ts', version: readManifest('../../package.json').version, step, gemm });

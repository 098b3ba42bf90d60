/**
 * One training step, forward, backward and AdamW, in milliseconds; with the bytes that it keeps and the peak of this
 * process, which runs nothing else.
 *
 *   node dist/bench/step.js [--method full|paca] [--rank 16] [--backend wasm] [--threads N] [--steps 40] [--json]
 *
 * The model is an MLP 512→2048→512 with ReLU and biases, squared error, 256 rows a step.
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import * as E from 'fp-ts/lib/Either.js';
import { resolveBackend } from '../backends/resolve.ts';
import { normals, permutation, rngFromSeed, splitRng } from '../src/core/rng.ts';
import { meanSquaredError } from '../src/layers/losses.ts';
import type { Treatment } from '../src/methods/adapt.ts';
import { columnView, type Site } from '../src/methods/operation.ts';
import { mlp } from '../src/models/mlp.ts';
import { buildModel, initialWeights } from '../src/models/model.ts';
import { adamw } from '../src/optim/adamw.ts';
import { orThrow, showError } from '../src/spec/errors.ts';
import type { HostTensor, Spec } from '../src/spec/tensor.ts';
import { account, trainableCount } from '../src/train/account.ts';
import { initialState, type Problem, trainStep } from '../src/train/step.ts';

const ROWS = 256;
const WIDTHS = [512, 2048, 512] as const;
const WARM_UP = 5;

const drawn = (name: string, width: number): HostTensor => ({
  dtype: 'f32',
  shape: [ROWS, width],
  data: Float32Array.from(normals(splitRng(rngFromSeed(1), name), ROWS * width)[0]),
});

const treatmentOf =
  (method: string, rank: number) =>
  ({ path, operation }: Site): Treatment => {
    if (method === 'full') return { method };
    if (method !== 'paca') throw new Error(`--method: expected full or paca, got ${method}`);
    const [order] = permutation(splitRng(rngFromSeed(2), path), columnView(operation).columns);
    return { method, adapters: [{ indices: order.slice(0, rank).sort(), alpha: rank }] };
  };

const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

const { values } = parseArgs({
  options: {
    method: { type: 'string', default: 'full' },
    rank: { type: 'string', default: '16' },
    backend: { type: 'string', default: 'wasm' },
    threads: { type: 'string', default: '1' },
    steps: { type: 'string', default: '40' },
    json: { type: 'boolean', default: false },
  },
});
const opened = await resolveBackend(values.backend, { threads: Number(values.threads) });
if (E.isLeft(opened)) {
  process.stderr.write(`${showError(opened.left)}\n`);
  process.exit(2);
}
const { kernels: k, name, threads, dispose } = opened.right;
const architecture = mlp({ widths: WIDTHS, activation: 'relu' });
const weights = initialWeights(architecture, rngFromSeed(1));
const problem: Problem<Spec, unknown> = {
  kernels: k,
  model: orThrow(buildModel(k, architecture, weights, treatmentOf(values.method, Number(values.rank)))),
  loss: meanSquaredError(k) as Problem<Spec, unknown>['loss'],
  optimizer: adamw(k, { learningRate: 1e-3 }),
  seed: 1,
};
const batch = {
  inputs: k.fromHost(drawn('x', WIDTHS[0])),
  targets: k.fromHost(drawn('y', WIDTHS[2])),
  count: ROWS * WIDTHS[2],
};
const accounted = account(problem, batch.inputs);
const trainable = trainableCount(problem);

const times: number[] = [];
let state = initialState(problem);
for (let step = -WARM_UP; step < Number(values.steps); step++) {
  const start = performance.now();
  state = k.scope(() => trainStep(problem, state, [batch], { donate: true })[0]);
  if (step >= 0) times.push(performance.now() - start);
}
await dispose();

const msPerStep = median(times);
const result = {
  backend: name,
  threads,
  model: 'mlp',
  method: values.method,
  msPerStep: Number(msPerStep.toFixed(3)),
  tokensPerSecond: Math.round((1000 * ROWS) / msPerStep),
  peakBytes: process.resourceUsage().maxRSS * 1024,
  residualBytes: accounted.residual,
  trainable,
};
const mebi = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
process.stdout.write(
  values.json
    ? `${JSON.stringify(result)}\n`
    : `${name}, ${threads} threads, mlp, ${values.method}: ${result.msPerStep} ms a step, keeps ${mebi(accounted.residual)}, peak ${mebi(result.peakBytes)}\n`,
);

/**
 * Pretrains the base model that the examples fine-tune, with this engine: every weight, on the WebAssembly backend. Reads
 * the tokens that `tokenize.js` wrote, and writes a Hugging Face folder in bf16. Can be stopped and goes on from its last
 * checkpoint.
 *
 *   node dist/demo/pretrain/pretrain.js [--size base|small] [--steps 2000] [--threads N] [--work demo/pretrain/work] [--out FOLDER]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { resolveBackend } from '../../backends/resolve.ts';
import { rngFromSeed, splitRng, uniforms } from '../../src/core/rng.ts';
import { leafPaths } from '../../src/core/tree.ts';
import { commonConfigKeys } from '../../src/io/llama-config.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { nodeStore } from '../../src/io/store-node.ts';
import { crossEntropy } from '../../src/layers/losses.ts';
import { initialWeights } from '../../src/models/architecture.ts';
import type { LlamaConfig } from '../../src/models/llama/config.ts';
import { llama } from '../../src/models/llama/llama.ts';
import { buildModel } from '../../src/models/model.ts';
import { adamw } from '../../src/optim/adamw.ts';
import { clipByGlobalNorm } from '../../src/optim/clip.ts';
import { cosine, warmUp } from '../../src/optim/schedule.ts';
import { chain } from '../../src/optim/transform.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { numberToBf16 } from '../../src/spec/float16.ts';
import type { HostTensor, Spec } from '../../src/spec/tensor.ts';
import { evaluateClassifier } from '../../src/train/evaluate.ts';
import type { HostBatch } from '../../src/train/host-batch.ts';
import { resume, train } from '../../src/train/loop.ts';
import type { Problem, TrainState } from '../../src/train/step.ts';

const BASE: LlamaConfig = {
  vocabulary: 2048,
  width: 192,
  layers: 6,
  heads: 6,
  groups: 2,
  headWidth: 32,
  feedForward: 512,
  epsilon: 1e-5,
  theta: 10000,
  scaling: { kind: 'none' },
  positions: 512,
  tied: true,
  inputBias: false,
  outputBias: false,
  headNorm: false,
  windows: [null, null, null, null, null, null],
};

/** The shapes one can ask for: 2,755,008 numbers and 951,424. */
const SIZES: ReadonlyMap<string, LlamaConfig> = new Map([
  ['base', BASE],
  ['small', { ...BASE, width: 128, layers: 4, heads: 4, feedForward: 320, windows: [null, null, null, null] }],
]);

/** `<|endoftext|>`, which begins and ends a document. */
const END_OF_TEXT = 0;

const ROWS = 16;
const LENGTH = 256;
const PEAK_RATE = 3e-3;
const WARM_UP = 100;
const VALIDATION_ROWS = 64;
const EVERY = 100;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: 'base' },
    steps: { type: 'string', default: '2000' },
    threads: { type: 'string', default: '2' },
    work: { type: 'string', default: 'demo/pretrain/work' },
    out: { type: 'string' },
  },
});
const steps = Number(values.steps);
const config = SIZES.get(values.size);
if (config === undefined) {
  throw new Error(`--size: expected one of ${[...SIZES.keys()].join(', ')}, got ${values.size}`);
}
/** `demo/base` and `work/run` of the first size; another writes beside them. */
const suffix = values.size === 'base' ? '' : `-${values.size}`;
const out = values.out ?? `demo/base${suffix}`;

const tokensOf = (name: string): Uint16Array => {
  const bytes = readFileSync(join(values.work, name));
  return new Uint16Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
};

/** Windows of the text that begin at these tokens; each token's target is the next one. */
const batchOf = (tokens: Uint16Array, starts: readonly number[]): HostBatch => {
  const part = (offset: number): Int32Array =>
    Int32Array.from({ length: starts.length * LENGTH }, (_, i) => {
      const start = starts[Math.floor(i / LENGTH)] ?? 0;
      return tokens[start + (i % LENGTH) + offset] ?? END_OF_TEXT;
    });
  return {
    inputs: { dtype: 'i32', shape: [starts.length, LENGTH], data: part(0) },
    targets: { dtype: 'i32', shape: [starts.length * LENGTH], data: part(1) },
    count: starts.length * LENGTH,
  };
};

const text = tokensOf('train.tokens');
const heldOut = tokensOf('validation.tokens');

/** The windows of a step: drawn from the whole text, a function of the step alone. */
const batchAt = (step: number): readonly HostBatch[] => {
  const [places] = uniforms(splitRng(rngFromSeed(3), `step ${step}`), ROWS);
  const starts = Array.from(places, (u) => Math.floor(u * (text.length - LENGTH - 1)));
  return [batchOf(text, starts)];
};

const validation = Array.from({ length: VALIDATION_ROWS / ROWS }, (_, i) => {
  const stride = Math.floor((heldOut.length - LENGTH - 1) / VALIDATION_ROWS);
  return batchOf(
    heldOut,
    Array.from({ length: ROWS }, (_row, j) => (i * ROWS + j) * stride),
  );
});

const backend = orThrow(await resolveBackend('wasm', { threads: Number(values.threads) }));
const { kernels: k } = backend;
const architecture = llama(config);
const model = orThrow(
  buildModel(
    k,
    architecture,
    initialWeights(architecture, rngFromSeed(1)),
    () => ({ method: 'full' }),
    () => true,
  ),
);
const problem: Problem<Spec, unknown> = {
  kernels: k,
  model,
  loss: crossEntropy(k) as Problem<Spec, unknown>['loss'],
  optimizer: chain(
    clipByGlobalNorm(k, 1),
    adamw(k, {
      learningRate: warmUp(WARM_UP, cosine(PEAK_RATE, PEAK_RATE / 20, steps - WARM_UP)),
      beta2: 0.95,
      decay: 0.05,
    }),
  ),
  seed: 1,
};

/** The trained tensors in bf16, by their names in Hugging Face's files. */
const stored = async (params: TrainState<Spec>['params']): Promise<Readonly<Record<string, HostTensor>>> => {
  const entries: (readonly [string, HostTensor])[] = [];
  for (const [path, leaf] of leafPaths(params)) {
    if (!path.startsWith('model.')) continue;
    const { shape, data } = await k.toHost(leaf);
    entries.push([path, { dtype: 'bf16', shape, data: Uint16Array.from(data as Float32Array, numberToBf16) }]);
  }
  return Object.fromEntries(entries);
};

const configFile = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  ...commonConfigKeys(config),
  attention_bias: false,
  mlp_bias: false,
  bos_token_id: END_OF_TEXT,
  eos_token_id: END_OF_TEXT,
  torch_dtype: 'bfloat16',
};

const write = async (params: TrainState<Spec>['params']): Promise<void> => {
  mkdirSync(out, { recursive: true });
  const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  writeFileSync(join(out, 'config.json'), json(configFile));
  writeFileSync(join(out, 'generation_config.json'), json({ bos_token_id: END_OF_TEXT, eos_token_id: END_OF_TEXT }));
  writeFileSync(join(out, 'model.safetensors'), encodeSafetensors(await stored(params), { format: 'pt' }));
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json']) {
    writeFileSync(join(out, name), readFileSync(join(values.work, name)));
  }
};

const store = nodeStore(join(values.work, `run${suffix}`));
const run = `pretrain ${JSON.stringify(config)} ${steps}`;
const state = orThrow(await resume(problem, { store, run }));
const events = train({
  problem,
  state,
  steps,
  batchAt,
  clock: () => performance.now(),
  evaluation: {
    every: EVERY,
    run: async ({ params }) => ({ ...(await evaluateClassifier(k, model, params, problem.loss, validation)) }),
  },
  checkpointing: { store, every: EVERY, run },
});
for await (const event of events) {
  if (event.kind === 'step' && event.step % 10 === 0) {
    const rate = (ROWS * LENGTH * 1000) / event.ms;
    process.stdout.write(`${event.step} loss ${event.loss.toFixed(4)}, ${rate.toFixed(0)} tokens/s\n`);
  }
  if (event.kind === 'eval') {
    process.stdout.write(`${event.step} validation ${JSON.stringify(event.metrics)}\n`);
  }
  if (event.kind === 'failed') orThrow({ _tag: 'Left', left: event.error });
  if (event.kind === 'done') await write(event.state.params);
}
await backend.dispose();

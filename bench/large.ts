/**
 * A checkpoint of random weights in bf16, of the shape of a LLaMA, fine-tuned by PaCA in a process of its own: of 135 million
 * numbers on sequences of 512 tokens, or of 1.1 billion, quantised to NF4 first, on 256. Prints peak memory, and tokens a
 * second beside what the matrix products alone would allow.
 *
 *   npm run bench:large -- [--model 135m|1.1b] [--steps 3] [--threads 2] [--tokenizer demo/base] [--json]
 */
import { copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import type { GemmReport } from '../src/cli/bench/gemm.ts';
import type { TextResult } from '../src/cli/text/session.ts';
import { commonConfigKeys } from '../src/io/llama-config.ts';
import { leafSteps, tensorsOf } from '../src/models/architecture.ts';
import type { LlamaConfig } from '../src/models/llama/config.ts';
import { llama } from '../src/models/llama/llama.ts';
import { numberToBf16 } from '../src/spec/float16.ts';
import { type Shape, sizeOf } from '../src/spec/tensor.ts';
import { runProgram } from './process.ts';

const common = {
  headWidth: 64,
  epsilon: 1e-5,
  theta: 10000,
  scaling: { kind: 'none' },
  positions: 2048,
  inputBias: false,
  outputBias: false,
  headNorm: false,
} as const;

const unlimited = (layers: number): Pick<LlamaConfig, 'layers' | 'windows'> => ({
  layers,
  windows: Array.from({ length: layers }, () => null),
});

interface Large {
  readonly config: LlamaConfig;
  readonly sequence: number;
  /** Whether the linear maps are quantised to NF4 before. */
  readonly quantised: boolean;
}

const models: Readonly<Record<string, Large>> = {
  '135m': {
    config: {
      ...{ ...common, ...unlimited(30), vocabulary: 49152, tied: true },
      ...{ width: 576, heads: 9, groups: 3, feedForward: 1536 },
    },
    sequence: 512,
    quantised: false,
  },
  '1.1b': {
    config: {
      ...{ ...common, ...unlimited(22), vocabulary: 32000, tied: false },
      ...{ width: 2048, heads: 32, groups: 4, feedForward: 5632 },
    },
    sequence: 256,
    quantised: true,
  },
};

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: '135m' },
    steps: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    tokenizer: { type: 'string', default: 'demo/base' },
    json: { type: 'boolean', default: false },
  },
});

const model = models[values.model];
if (model === undefined) throw new Error(`--model is one of ${Object.keys(models).join(', ')}`);
const { config, sequence, quantised } = model;
const configFile = { model_type: 'llama', torch_dtype: 'bfloat16', ...commonConfigKeys(config) };
const tensors = leafSteps(llama({ ...config, positions: 1 }).steps).flatMap(tensorsOf);

/** Ones for a norm, else numbers of a fixed sequence, small enough for sums over the width. */
const bf16Of = (shape: Shape): Uint16Array => {
  const data = new Uint16Array(sizeOf(shape));
  const bound = 1 / Math.sqrt(shape.at(-1) ?? 1);
  if (shape.length === 1) return data.fill(numberToBf16(1));
  const table = Uint16Array.from({ length: 2003 }, (_, i) => numberToBf16((i / 1001 - 1) * bound));
  for (let i = 0; i < data.length; i++) data[i] = table[(i * 7919) % 2003] as number;
  return data;
};

/** The file tensor by tensor: only one of them is in memory. */
const writeWeights = (path: string): void => {
  let at = 0;
  const header: Record<string, unknown> = {};
  for (const [name, shape] of tensors) {
    const end = at + 2 * sizeOf(shape);
    header[name] = { dtype: 'BF16', shape, data_offsets: [at, end] };
    at = end;
  }
  const text = JSON.stringify(header);
  const padded = text.padEnd(Math.ceil(text.length / 8) * 8);
  const length = new DataView(new ArrayBuffer(8));
  length.setBigUint64(0, BigInt(padded.length), true);
  const file = openSync(path, 'w');
  writeSync(file, new Uint8Array(length.buffer));
  writeSync(file, padded);
  for (const [, shape] of tensors) writeSync(file, new Uint8Array(bf16Of(shape).buffer));
};

const folder = mkdtempSync(join(tmpdir(), 'paca-large-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
writeWeights(join(folder, 'model.safetensors'));
writeFileSync(join(folder, 'config.json'), JSON.stringify(configFile));
for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
  copyFileSync(join(values.tokenizer, name), join(folder, name));
}
const line = JSON.stringify({ text: 'the quick brown fox jumps over the lazy dog and runs away. '.repeat(200) });
writeFileSync(join(folder, 'data.jsonl'), `${Array.from({ length: 8 }, () => line).join('\n')}\n`);

const { threads, steps } = values;
const gemm = runProgram<GemmReport>(['bench', 'gemm', '--threads', threads, '--sizes', '[512x512x512]']);
const base = quantised ? join(folder, 'nf4') : folder;
const quantisation = quantised
  ? runProgram<{ readonly bits: number }>(['quantise', '--base', folder, '--out', base])
  : null;
const run = ['--base', base, '--data', join(folder, 'data.jsonl'), '--run', join(folder, 'run')];
const data = ['--validation', '0', '--max-length', String(sequence), '--batch-size', '1'];
const result = runProgram<TextResult>(['finetune', ...run, ...data, '--steps', steps, '--threads', threads]);

const numbers = tensors.reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
/** Two products over the weights, forward and back to the input, of a multiplication and an addition each. */
const operationsPerToken = 4 * numbers;
const bound = ((gemm.peakGflops ?? 0) * 1e9 * gemm.threads) / operationsPerToken;
const { peakBytes, tokensPerSecond } = result;
const report = {
  numbers,
  sequence,
  bits: quantisation?.bits ?? 16,
  threads: gemm.threads,
  peakBytes,
  tokensPerSecond,
  bound: Math.round(bound),
};
process.stdout.write(
  values.json
    ? `${JSON.stringify(report)}\n`
    : `${(numbers / 1e6).toFixed(1)} million weights, the linear maps in ${report.bits.toFixed(3)} bits, PaCA of 16 columns, ${sequence} tokens, ${gemm.threads} threads:\n` +
        `peak memory ${(peakBytes / 2 ** 20).toFixed(0)} MiB, ${tokensPerSecond} tokens/s; products at the peak alone would allow ${report.bound}\n`,
);

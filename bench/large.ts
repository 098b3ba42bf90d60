/**
 * A checkpoint of 135 million numbers in bf16, of the shape of a small LLaMA, with random weights: fine-tuned by PaCA on
 * sequences of 512 tokens, in a process of its own. Prints peak memory, and tokens a second beside what the matrix products
 * alone would allow.
 *
 *   npm run bench:large -- [--steps 3] [--threads 2] [--tokenizer demo/base] [--json]
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

const CONFIG: LlamaConfig = {
  vocabulary: 49152,
  width: 576,
  layers: 30,
  heads: 9,
  groups: 3,
  headWidth: 64,
  feedForward: 1536,
  epsilon: 1e-5,
  theta: 10000,
  scaling: { kind: 'none' },
  positions: 2048,
  tied: true,
  inputBias: false,
  outputBias: false,
  headNorm: false,
  windows: Array.from({ length: 30 }, () => null),
};

const SEQUENCE = 512;

const configFile = {
  model_type: 'llama',
  ...commonConfigKeys(CONFIG),
};

const tensors = leafSteps(llama({ ...CONFIG, positions: 1 }).steps).flatMap(tensorsOf);

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

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    tokenizer: { type: 'string', default: 'demo/base' },
    json: { type: 'boolean', default: false },
  },
});

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
const run = ['--base', folder, '--data', join(folder, 'data.jsonl'), '--run', join(folder, 'run')];
const data = ['--validation', '0', '--max-length', String(SEQUENCE), '--batch-size', '1'];
const result = runProgram<TextResult>(['finetune', ...run, ...data, '--steps', steps, '--threads', threads]);

const numbers = tensors.reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
/** Two products over the weights, forward and back to the input, of a multiplication and an addition each. */
const operationsPerToken = 4 * numbers;
const bound = ((gemm.peakGflops ?? 0) * 1e9 * gemm.threads) / operationsPerToken;
const { peakBytes, tokensPerSecond } = result;
const report = {
  numbers,
  sequence: SEQUENCE,
  threads: gemm.threads,
  peakBytes,
  tokensPerSecond,
  bound: Math.round(bound),
};
process.stdout.write(
  values.json
    ? `${JSON.stringify(report)}\n`
    : `${(numbers / 1e6).toFixed(1)} million weights in bf16, PaCA of 16 columns, ${SEQUENCE} tokens, ${gemm.threads} threads:\n` +
        `peak memory ${(peakBytes / 2 ** 20).toFixed(0)} MiB, ${tokensPerSecond} tokens/s; products at the peak alone would allow ${report.bound}\n`,
);

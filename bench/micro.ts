/**
 * The kernels one by one by benchmark.js: milliseconds a call with their margin, and what that is in elements, or in
 * floating-point operations, a second.
 */
import Benchmark from 'benchmark';
import type { AnyBackend } from '../backends/resolve.ts';
import { numbers } from '../src/cli/bench/numbers.ts';
import type { Tree } from '../src/core/tree.ts';
import { type HostTensor, type Spec, sizeOf } from '../src/spec/tensor.ts';

export interface MicroResult {
  readonly kernel: string;
  /** Shapes, for the reader. */
  readonly size: string;
  readonly msPerCall: number;
  /** Half the 95% confidence interval, as a share of the mean. */
  readonly margin: number;
  readonly unit: 'Gelements/s' | 'GFLOP/s';
  readonly speed: number;
}

interface Kernel extends Pick<MicroResult, 'kernel' | 'size' | 'unit'> {
  /** Elements or operations of a call. */
  readonly work: number;
  readonly run: () => Tree<Spec>;
}

const integers = (length: number, below: number): HostTensor => ({
  dtype: 'i32',
  shape: [length],
  data: Int32Array.from({ length }, (_, i) => (i * 7919) % below),
});

const ROWS = 512;
const WIDTH = 512;
const RANK = 16;

/** Kernels whose work is counted in elements of a `[512, 512]` tensor. */
const elementKernels = ({ kernels: k }: AnyBackend): readonly Kernel[] => {
  const [x, dy, v] = [1, 2, 3].map(() => k.fromHost(numbers([ROWS, WIDTH]))) as [Spec, Spec, Spec];
  const squares = k.mul(v, v);
  const weight = k.fromHost(numbers([WIDTH]));
  const columns = k.fromHost(integers(RANK, WIDTH));
  const selected = k.gather(x, columns, 1);
  const classes = k.fromHost(integers(ROWS, WIDTH));
  const [, inverse] = k.rmsNorm.forward(x, weight, 1e-6);
  const [, mask] = k.relu.forward(x);
  const adamw = {
    learningRate: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    decay: 0,
    correction1: 0.1,
    correction2: 0.001,
  };
  const runs: Readonly<Record<string, () => Tree<Spec>>> = {
    add: () => k.add(x, dy),
    exp: () => k.exp(x),
    log: () => k.log(squares),
    tanh: () => k.tanh(x),
    erf: () => k.erf(x),
    'sum of each row': () => k.sumLast(x),
    'sum of each column': () => k.sumFirst(x),
    transpose: () => k.transpose(x, [1, 0]),
    'cast to bf16': () => k.cast(x, 'bf16'),
    'cast to f16': () => k.cast(x, 'f16'),
    ReLU: () => k.relu.forward(x),
    'ReLU backward': () => k.relu.backward(mask, dy),
    GELU: () => k.gelu.forward(x),
    'GELU backward': () => k.gelu.backward(x, dy),
    SwiGLU: () => k.swiglu.forward(x, v),
    'SwiGLU backward': () => k.swiglu.backward(x, v, dy),
    'RMS norm': () => k.rmsNorm.forward(x, weight, 1e-6),
    'RMS norm, input gradient': () => k.rmsNorm.inputGradient(dy, x, inverse, weight),
    'RMS norm, weight gradient': () => k.rmsNorm.weightGradient(dy, x, inverse),
    'layer norm': () => k.layerNorm.forward(x, weight, weight, 1e-5),
    'cross-entropy': () => k.crossEntropy.forward(x, classes, ROWS),
    AdamW: () => {
      const [delta, moments] = k.adamw.update(dy, { m: x, v: squares }, v, null, adamw);
      return [delta, moments.m, moments.v];
    },
    [`scatter of ${RANK} columns`]: () => k.scatterAdd(x, columns, 1, selected),
  };
  const size = `${ROWS}×${WIDTH}`;
  const all = Object.entries(runs).map(
    ([kernel, run]): Kernel => ({ kernel, size, work: ROWS * WIDTH, unit: 'Gelements/s', run }),
  );
  const gather = { kernel: `gather of ${RANK} columns`, work: ROWS * RANK, run: () => k.gather(x, columns, 1) };
  return [...all, { ...gather, size, unit: 'Gelements/s' }];
};

const TOKENS = 512;
const HEADS = 8;
const GROUPS = 2;
const HEAD_WIDTH = 64;

/** Attention, in operations on the keys that are seen, and what goes before it. */
const attentionKernels = ({ kernels: k }: AnyBackend): readonly Kernel[] => {
  const of = (heads: number): Spec => k.fromHost(numbers([1, TOKENS, heads, HEAD_WIDTH]));
  const [q, key, value, dy] = [HEADS, GROUPS, GROUPS, HEADS].map(of) as [Spec, Spec, Spec, Spec];
  const table = k.fromHost(numbers([TOKENS, HEAD_WIDTH / 2]));
  const config = { scale: 1 / Math.sqrt(HEAD_WIDTH), causal: true, window: null };
  const size = `${TOKENS} tokens, ${HEADS} heads of ${HEAD_WIDTH}`;
  /** Operations of one product over the keys that are seen. */
  const product = HEADS * TOKENS * (TOKENS + 1) * HEAD_WIDTH;
  const shared = { size: `${size}, ${GROUPS} groups`, unit: 'GFLOP/s' } as const;
  return [
    { kernel: 'RoPE', size, unit: 'Gelements/s', work: sizeOf(q.shape), run: () => k.rope.forward(q, table, table) },
    { ...shared, kernel: 'attention', work: 2 * product, run: () => k.attention.forward(q, key, value, config) },
    {
      ...shared,
      kernel: 'attention backward',
      work: 5 * product,
      run: () => k.attention.backward(q, key, value, dy, config),
    },
  ];
};

const measure = (k: AnyBackend['kernels'], { kernel, size, work, unit, run }: Kernel, seconds: number): MicroResult => {
  const call = (): void => k.scope(() => void run());
  const { error, stats } = new Benchmark(kernel, call, {
    maxTime: seconds,
    minTime: seconds / 20,
  }).run() as Benchmark & { error?: unknown };
  if (error !== undefined) throw error;
  return {
    kernel,
    size,
    msPerCall: Number((stats.mean * 1000).toPrecision(4)),
    margin: Number((stats.rme / 100).toFixed(3)),
    unit,
    speed: Number((work / stats.mean / 1e9).toPrecision(3)),
  };
};

/** All kernels, each for about so many seconds. */
export const measureKernels = (backend: AnyBackend, seconds: number): readonly MicroResult[] =>
  [...elementKernels(backend), ...attentionKernels(backend)].map((kernel) => measure(backend.kernels, kernel, seconds));

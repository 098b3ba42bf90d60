/**
 * The tensor kernels on several threads: the same functions, whose range is cut into a part for each thread where that
 * pays. Laws: see `pool.ts`.
 */
import type { Exports, TensorKernels } from './exports.ts';
import type { Pool } from './pool.ts';

/** Ranges are cut at multiples of this: whole vectors, and for single elements whole cache lines. */
const CUT = 16;

/** The work of one step of each kernel's range, from the arguments after the range; in elements. */
type Costs = { readonly [K in keyof TensorKernels]: (...rest: readonly number[]) => number };

const element = (): number => 1;
/** exp, log, tanh and erf cost several additions. */
const function_ = (): number => 6;
const first = (length = 1): number => length;
const second = (_ = 1, length = 1): number => length;
const word = (): number => 32;

const costs: Costs = {
  add: element,
  sub: element,
  mul: element,
  div: element,
  max: element,
  greater: element,
  where: element,
  neg: element,
  sqrt: element,
  exp: function_,
  log: function_,
  tanh: function_,
  erf: function_,
  fill: element,
  sumLast: first,
  sumSquaresLast: first,
  maxLast: first,
  argmaxLast: first,
  sumFirst: first,
  gather: (_size = 1, _length = 1, inner = 1) => inner,
  scatterAdd: (_length = 1, _inner = 1, count = 1) => count,
  oneHot: first,
  transpose: second,
  unfold: (...geometry) => (geometry[12] ?? 1) * (geometry[13] ?? 1),
  fold: (...geometry) => (geometry[12] ?? 1) * (geometry[13] ?? 1) * (geometry[4] ?? 1),
  widenF16: element,
  widenBf16: element,
  widenNf4: element,
  narrowF16: element,
  narrowBf16: element,
  intsToFloats: element,
  bytesToFloats: element,
  floatsToInts: element,
  floatsToBytes: element,
  packMask: word,
  unpackMask: word,
  relu: word,
  reluBackward: word,
  gelu: function_,
  geluBackward: function_,
  silu: function_,
  siluBackward: function_,
  tanhBackward: element,
  swiglu: function_,
  swigluBackward: function_,
  rope: (_tokens = 1, _heads = 1, half = 1) => 2 * half,
  rmsNorm: first,
  rmsNormInput: first,
  rmsNormWeight: first,
  layerNorm: first,
  layerNormInput: first,
  layerNormWeight: first,
  crossEntropy: (classes = 1) => 6 * classes,
  crossEntropyBackward: first,
  adamw: () => 4,
};

type Kernel = (begin: number, end: number, ...rest: readonly number[]) => void;

/** The ends of about equal parts of begin … end, at most `parts`, at multiples of `unit` from begin. */
export const cutRange = (begin: number, end: number, parts: number, unit: number): readonly [number, number][] => {
  const step = Math.max(unit, Math.ceil(Math.ceil((end - begin) / parts) / unit) * unit);
  const cuts: [number, number][] = [];
  for (let at = begin; at < end; at += step) cuts.push([at, Math.min(at + step, end)]);
  return cuts;
};

/** The kernels, those on tensors on the threads of the pool. */
export const inParallel = (exports: Exports, pool: Pool): Exports => {
  const parallel = Object.entries(costs).map(([name, cost]) => {
    const kernel = exports[name as keyof TensorKernels] as Kernel;
    const shared: Kernel = (begin, end, ...rest) => {
      const parts = pool.parts((end - begin) * cost(...rest));
      if (parts < 2) kernel(begin, end, ...rest);
      else {
        const cuts = cutRange(begin, end, parts, end - begin >= parts * CUT ? CUT : 1);
        pool.run(
          name as keyof TensorKernels,
          cuts.map(([from, to]) => [from, to, ...rest]),
          parts,
        );
      }
    };
    return [name, shared] as const;
  });
  return { ...exports, ...Object.fromEntries(parallel) };
};

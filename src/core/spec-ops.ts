/**
 * A backend whose tensors are their specs: a model is put together on it to be accounted, without a number in memory,
 * and never run. It knows what building needs; computing is a defect.
 *
 * Law: a model built on it has the specs, residuals and trained parts of the one built on an f32 backend.
 */
import { defect } from '../spec/errors.ts';
import type { Spec } from '../spec/tensor.ts';
import { type Kernels, kernels } from './fused.ts';
import type { Ops } from './ops.ts';

const notRun = (): never => defect('a computation with tensors that are only specs');

const computing: readonly (keyof Ops<Spec>)[] = [
  ...(['toHost', 'donate', 'add', 'sub', 'mul', 'div', 'max', 'greater', 'where', 'neg', 'sqrt', 'exp'] as const),
  ...(['log', 'tanh', 'erf', 'packMask', 'unpackMask', 'reshape', 'transpose', 'sumLast', 'sumFirst'] as const),
  ...(['maxLast', 'argmaxLast', 'matmul', 'gather', 'scatterAdd', 'oneHot', 'unfold', 'fold'] as const),
];

const building: Partial<Ops<Spec>> = {
  float: 'f32',
  fromHost: ({ dtype, shape }) => ({ dtype: dtype === 'f64' ? 'f32' : dtype, shape }),
  full: (shape) => ({ dtype: 'f32', shape }),
  cast: ({ shape }, dtype) => ({ dtype, shape }),
  scope: (body) => body(),
  memory: () => ({ live: 0, peak: 0 }),
  resetPeak: () => undefined,
};

export const specKernels: Kernels<Spec> = kernels({
  ...Object.fromEntries(computing.map((name) => [name, notRun])),
  ...building,
} as Ops<Spec>);

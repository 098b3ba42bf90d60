/** Which columns each strategy picks: by lot, by the norm of the weight's columns, by the gradient's. */
import { columnNorms } from '../../core/derived/column-norms.ts';
import type { Kernels } from '../../core/fused.ts';
import type { Ops } from '../../core/ops.ts';
import { rngFromSeed, splitRng } from '../../core/rng.ts';
import { convolution } from '../../layers/conv2d.ts';
import { columnView, type Operation, weightShape } from '../../methods/operation.ts';
import { type ColumnStatistics, findSelector, runSelector, selectors } from '../../select/selector.ts';
import { orThrow } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { drawn, floats, input, integers, type VectorCase } from '../case.ts';

const COLUMNS = 13;
const RANK = 4;
const SEED = 7;

/** Two of them are equal, so that the tie shows. */
const scores = [0.5, 2, 0.25, 3, 2, 1, 0, 7, 0.125, 2, 1.5, 4, 0.75];

const pick = (name: string, path: string, statistics: ColumnStatistics): Int32Array =>
  orThrow(
    runSelector(orThrow(findSelector(selectors, name)), {
      path,
      columns: COLUMNS,
      rank: RANK,
      statistics,
      rng: splitRng(rngFromSeed(SEED), path),
    }),
  );

const scored = (name: string, statistic: keyof ColumnStatistics): VectorCase => ({
  id: `selection/${name}`,
  note: `The ${RANK} columns with the largest ${statistic}, sorted; among equals the lower index.`,
  settings: { rank: RANK, statistic },
  inputs: { scores: floats([COLUMNS], scores) },
  run: (k, _, host) => {
    const given = Float64Array.from(input(host, 'scores').data as Float32Array);
    return { indices: k.fromHost(integers(...pick(name, 'layers.0', { [statistic]: given }))) };
  },
});

const random: VectorCase = {
  id: 'selection/random',
  note: 'The first r of a seeded permutation, sorted; the stream is split by the module path, so layers differ.',
  settings: { rank: RANK, columns: COLUMNS, seed: SEED, paths: ['layers.0', 'layers.1'] },
  inputs: {},
  run: (k) => ({
    'layers.0': k.fromHost(integers(...pick('random', 'layers.0', {}))),
    'layers.1': k.fromHost(integers(...pick('random', 'layers.1', {}))),
  }),
};

const normCase = (name: string, operation: Operation): VectorCase => ({
  id: `selection/norms-${name}`,
  note: 'The L2 norm of each column (input feature, or channel) of a weight, squares added in the lane order.',
  settings: operation.kind === 'conv2d' ? { groups: operation.config.groups } : {},
  inputs: { weight: drawn(`norms-${name}.weight`, ...weightShape(operation)) },
  run: <T extends Spec>(k: Ops<T>, inputs: Readonly<Record<string, T>>) => {
    const { shape, axis } = columnView(operation);
    return { norms: columnNorms(k, input(inputs, 'weight'), shape, axis) };
  },
});

/** Both gradient statistics of a linear map over two calibration batches, from what its backward pass is given. */
const calibration: VectorCase = {
  id: 'selection/gradient-statistics',
  note: '∂Wₜ = dyₜᵀ xₜ for each batch t; normOfSum = ‖Σₜ ∂Wₜ[:, j]‖₂, sumOfNorms = Σₜ ‖∂Wₜ[:, j]‖₂, in batch order.',
  settings: {},
  inputs: {
    'x.0': drawn('calibration.x.0', 7, 5),
    'dy.0': drawn('calibration.dy.0', 7, 3),
    'x.1': drawn('calibration.x.1', 7, 5),
    'dy.1': drawn('calibration.dy.1', 7, 3),
  },
  run: <T extends Spec>(k: Kernels<T>, inputs: Readonly<Record<string, T>>) => {
    const gradient = (t: number): T => k.linear.weightGradient(input(inputs, `dy.${t}`), input(inputs, `x.${t}`));
    const norms = (g: T): T => columnNorms(k, g, [3, 5], 1);
    const [first, second] = [gradient(0), gradient(1)];
    return { normOfSum: norms(k.add(first, second)), sumOfNorms: k.add(norms(first), norms(second)) };
  },
};

const image = { height: 5, width: 5 };

export const selectionCases: readonly VectorCase[] = [
  random,
  scored('weight-norm', 'weightNorm'),
  scored('gradient', 'gradientNormOfSum'),
  scored('gradient-sum-of-norms', 'gradientSumOfNorms'),
  calibration,
  normCase('linear', { kind: 'linear', config: { in: 5, out: 19 } }),
  normCase('conv2d', { kind: 'conv2d', config: convolution({ in: 3, out: 5, kernel: [2, 3], ...image }) }),
  normCase('depthwise', {
    kind: 'conv2d',
    config: convolution({ in: 3, out: 6, kernel: [3, 3], ...image }, { groups: 3 }),
  }),
];

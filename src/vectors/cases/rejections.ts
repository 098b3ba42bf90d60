/** Inputs that must be refused, with the kind of error that they get. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { linear } from '../../layers/linear.ts';
import { adapt, checkMethod } from '../../methods/adapt.ts';
import type { Site } from '../../methods/operation.ts';
import { checkRank } from '../../select/indices.ts';
import { findSelector, selectors } from '../../select/selector.ts';
import { inputSlot, spec } from '../../spec/tensor.ts';
import { drawn, floats, type RejectionCase } from '../case.ts';

const site: Site = { path: 'layers.0', operation: { kind: 'linear', config: { in: 5, out: 3 } } };
const weight = drawn('rejection.weight', 3, 5);

const indicesCase = (name: string, note: string, indices: readonly number[]): RejectionCase => ({
  id: `rejections/${name}`,
  note,
  settings: { in: 5, out: 3, indices },
  expected: 'IndexError',
  run: (k) =>
    adapt(k, site, { weight }, { method: 'paca', adapters: [{ indices: Int32Array.from(indices), alpha: 1 }] }),
});

export const rejectionCases: readonly RejectionCase[] = [
  indicesCase('repeated-index', 'A column selected twice would lose an update.', [1, 1, 3]),
  indicesCase('unsorted-index', 'Indices are sorted.', [3, 1]),
  indicesCase('index-too-large', 'A column beyond the weight.', [0, 5]),
  indicesCase('negative-index', 'Indices count from the front.', [-1, 2]),
  indicesCase('no-index', 'Rank 0.', []),
  indicesCase('more-indices-than-columns', 'r > in.', [0, 1, 2, 3, 4, 5]),
  {
    id: 'rejections/rank-above-columns',
    note: 'A rank that the weight cannot give, before anything is selected.',
    settings: { rank: 6, columns: 5 },
    expected: 'ConfigError',
    run: () => checkRank(6, 5, 'layers.0'),
  },
  {
    id: 'rejections/alpha-zero',
    note: 'α must be above 0.',
    settings: { alpha: 0 },
    expected: 'ConfigError',
    run: (k) => adapt(k, site, { weight }, { method: 'paca', adapters: [{ indices: Int32Array.of(0), alpha: 0 }] }),
  },
  {
    id: 'rejections/delta-shape',
    note: 'δ of another shape than [out, r].',
    settings: { delta: [5, 2] },
    expected: 'ShapeError',
    run: (k) =>
      adapt(
        k,
        site,
        { weight },
        {
          method: 'paca',
          adapters: [{ indices: Int32Array.of(0, 1), alpha: 1, delta: floats([5, 2], Array(10).fill(0)) }],
        },
      ),
  },
  {
    id: 'rejections/weight-shape',
    note: 'A weight stored as [in, out].',
    settings: { weight: [5, 3] },
    expected: 'ShapeError',
    run: (k) => adapt(k, site, { weight: drawn('rejection.transposed', 5, 3) }, { method: 'full' }),
  },
  {
    id: 'rejections/input-shape',
    note: 'Seven features into a layer that takes five.',
    settings: { in: 5, x: [2, 7] },
    expected: 'ShapeError',
    run: (k) => linear(k, { in: 5, out: 3 }).output(inputSlot('x', spec(k.float, 2, 7))),
  },
  {
    id: 'rejections/unknown-method',
    note: 'A method that does not exist.',
    settings: { method: 'pacca' },
    expected: 'ConfigError',
    run: () =>
      pipe(
        checkMethod('pacca'),
        E.map(() => null),
      ),
  },
  {
    id: 'rejections/unknown-selector',
    note: 'A selection strategy that does not exist.',
    settings: { select: 'largest' },
    expected: 'ConfigError',
    run: () => findSelector(selectors, 'largest'),
  },
];

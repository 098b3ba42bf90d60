/** Attention, rotary positions and SwiGLU, on sizes of which no two agree. */
import { anyLayer } from '../../core/layer.ts';
import { type AttentionConfig, attention } from '../../layers/attention.ts';
import { rope, ropeFrequencies, ropeTables } from '../../layers/rope.ts';
import { swiglu } from '../../layers/swiglu.ts';
import type { DocumentStarts } from '../../spec/documents.ts';
import { inputSlot, type Spec } from '../../spec/tensor.ts';
import { residualBytes } from '../../train/account.ts';
import { drawn, input, integers, layerCase, named, type VectorCase } from '../case.ts';

interface AttentionCase extends Omit<AttentionConfig, 'starts'> {
  readonly name: string;
  readonly note: string;
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  /** For each query, the key at which its document starts: an input of the case. */
  readonly starts?: readonly number[];
}

/** Inputs q, k, v and dy; outputs y, dq, dk and dv. */
const attentionCase = ({ name, note, batch, queries, keys, starts, ...config }: AttentionCase): VectorCase => {
  const { heads, groups, width } = config;
  const shapes = {
    q: [batch, queries, heads, width],
    k: [batch, keys, groups, width],
    v: [batch, keys, groups, width],
  };
  return {
    id: `layers/attention-${name}`,
    note,
    settings: { ...config },
    inputs: {
      q: drawn(`attention-${name}.q`, ...shapes.q),
      k: drawn(`attention-${name}.k`, ...shapes.k),
      v: drawn(`attention-${name}.v`, ...shapes.v),
      dy: drawn(`attention-${name}.dy`, ...shapes.q),
      ...(starts && { starts: { ...integers(...starts), shape: [batch, queries] } }),
    },
    run: (k, inputs, host) => {
      const layer = attention(k, { ...config, starts: host.starts as DocumentStarts | undefined });
      const [y, residual] = layer.forward({}, [input(inputs, 'q'), [input(inputs, 'k'), input(inputs, 'v')]]);
      const [, [dq, [dk, dv]]] = layer.backward({}, residual, input(inputs, 'dy'));
      return { y, dq, dk, dv };
    },
    residualBytes: (k) => {
      const slot = (part: 'q' | 'k' | 'v') => inputSlot(part, { shape: shapes[part], dtype: k.float });
      return residualBytes(attention(k, config).residual([slot('q'), [slot('k'), slot('v')]]));
    },
  };
};

const plain = { causal: true, window: null };

/** Documents of 3, 14 and 2 tokens. */
const documentStarts: readonly number[] = [3, 14, 2].flatMap((tokens, i) => Array(tokens).fill([0, 3, 17][i]));

const attentionCases: readonly VectorCase[] = [
  attentionCase({
    name: 'causal',
    note: 'y = softmax(q kᵀ/√width) v; a query sees the keys up to its own position; 19 of them, so that the lanes wrap.',
    ...{ batch: 2, queries: 19, keys: 19, heads: 2, groups: 2, width: 5, scale: 1 / Math.sqrt(5), ...plain },
  }),
  attentionCase({
    name: 'grouped',
    note: 'Query heads 0–2 read group 0, 3–5 group 1; ∂k and ∂v add up head after head, query after query.',
    ...{ batch: 1, queries: 7, keys: 7, heads: 6, groups: 2, width: 3, scale: 0.5, ...plain },
  }),
  attentionCase({
    name: 'later',
    note: 'The queries are the last 3 of 11 positions, as when earlier keys and values were kept.',
    ...{ batch: 2, queries: 3, keys: 11, heads: 2, groups: 1, width: 4, scale: 0.5, ...plain },
  }),
  attentionCase({
    name: 'window',
    note: 'A query sees its own position and the 3 before it.',
    ...{ batch: 1, queries: 23, keys: 23, heads: 2, groups: 1, width: 3, scale: 0.5, causal: true, window: 4 },
  }),
  attentionCase({
    name: 'everywhere',
    note: 'Every query sees every key.',
    ...{ batch: 2, queries: 5, keys: 7, heads: 3, groups: 1, width: 2, scale: 0.75, causal: false, window: null },
  }),
  attentionCase({
    name: 'documents',
    note: 'Rows of several documents: a query sees no key before starts, the place at which its own document starts.',
    ...{ batch: 2, queries: 19, keys: 19, heads: 2, groups: 1, width: 3, scale: 0.5, ...plain },
    starts: [...documentStarts, ...documentStarts.map((start) => (start < 5 ? 0 : 5))],
  }),
];

const swigluCase: VectorCase = {
  id: 'layers/swiglu',
  note: 'y = silu(gate)·up; dgate = dy·up·silu′(gate), dup = dy·silu(gate).',
  settings: {},
  inputs: {
    gate: drawn('swiglu.gate', 7, 11),
    up: drawn('swiglu.up', 7, 11),
    dy: drawn('swiglu.dy', 7, 11),
  },
  run: (k, inputs) => {
    const layer = swiglu(k);
    const [y, residual] = layer.forward({}, [input(inputs, 'gate'), input(inputs, 'up')]);
    const [, [dgate, dup]] = layer.backward({}, residual, input(inputs, 'dy'));
    return { y, dgate, dup };
  },
  residualBytes: (k) => {
    const spec: Spec = { shape: [7, 11], dtype: k.float };
    return residualBytes(swiglu(k).residual([inputSlot('gate', spec), inputSlot('up', spec)]));
  },
};

const ropeCase = (name: string, note: string, tokens: number, positions: number): VectorCase =>
  layerCase({
    id: `layers/${name}`,
    note,
    settings: { theta: 10000 },
    layer: (k) => anyLayer(rope(k, { heads: 3, width: 8 })),
    params: { ...ropeTables(positions, ropeFrequencies(8, 10000)) },
    x: drawn(`${name}.x`, 2, tokens, 3, 8),
    dy: drawn(`${name}.dy`, 2, tokens, 3, 8),
  });

const documentRopeCase: VectorCase = {
  id: 'layers/rope-documents',
  note: 'Rows of several documents: positions begin anew at each place that starts names.',
  settings: { theta: 10000 },
  inputs: {
    x: drawn('rope-documents.x', 1, 19, 2, 6),
    dy: drawn('rope-documents.dy', 1, 19, 2, 6),
    starts: { ...integers(...documentStarts), shape: [1, 19] },
    ...named('parameter', { ...ropeTables(19, ropeFrequencies(6, 10000)) }),
  },
  run: (k, inputs, host) => {
    const layer = rope(k, { heads: 2, width: 6 }, host.starts as DocumentStarts);
    const tables = { cos: input(inputs, 'parameter.cos'), sin: input(inputs, 'parameter.sin') };
    const [y, residual] = layer.forward(tables, input(inputs, 'x'));
    const [, dx] = layer.backward(tables, residual, input(inputs, 'dy'));
    return { y, dx };
  },
  residualBytes: (k) =>
    residualBytes(rope(k, { heads: 2, width: 6 }).residual(inputSlot('x', { shape: [], dtype: k.float }))),
};

export const attentionLayerCases: readonly VectorCase[] = [
  ropeCase(
    'rope',
    'Elements i and i + width/2 of a head turned by position·θ^(−2i/width); the tables are rounded once from f64.',
    5,
    5,
  ),
  ropeCase('rope-longer-tables', 'Tables for 7 positions, 5 tokens: the first rows count.', 5, 7),
  documentRopeCase,
  ...attentionCases,
  swigluCase,
];

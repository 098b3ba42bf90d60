/**
 * Linear maps, plain and with partial connections: what is derived in `src/core/derived/linear.ts` and `paca-linear.ts`, each
 * as one product. A weight in 16 bits is widened, one in NF4 decoded, and PaCA's s·δ added, while the weight is packed; a bias is added after
 * the sum. So there is no copy of a weight, and W̃ does not exist.
 */
import type { Connections } from '../../src/core/derived/paca-linear.ts';
import { sameLeading, toRows } from '../../src/core/derived/shapes.ts';
import type { Fused } from '../../src/core/fused.ts';
import type { Ops } from '../../src/core/ops.ts';
import { defect } from '../../src/spec/errors.ts';
import { showSpec, sizeOf } from '../../src/spec/tensor.ts';
import { floatsOf, intsOf, type Memory, type WasmTensor } from './memory.ts';
import type { Additions, Products } from './products.ts';

type Tensor = WasmTensor;

/** Words of a record that the kernel reads: indices, delta, rank, scale. */
const RECORD_WORDS = 4;

export type FusedProducts = Pick<Fused<Tensor>, 'linear' | 'pacaLinear'>;

export const fusedProducts = (o: Ops<Tensor>, memory: Memory, { product }: Products): FusedProducts => {
  /** The address of a bias for `width` columns. */
  const biasOf = (bias: Tensor | null, width: number): number => {
    if (bias === null) return 0;
    return sizeOf(bias.shape) === width ? floatsOf(bias) : defect(`a bias ${showSpec(bias)} for ${width} outputs`);
  };

  const check = ({ indices, delta }: Connections<Tensor>, [out = 0, columns = 0]: readonly number[]): void => {
    const rank = sizeOf(indices.shape);
    if (sizeOf(delta.shape) !== out * rank) defect(`a delta ${showSpec(delta)} for ${rank} of [${out}, ${columns}]`);
    for (const index of new Int32Array(memory.bytes().buffer, intsOf(indices), rank)) {
      if (index < 0 || index >= columns) defect(`index ${index} outside 0 … ${columns - 1}`);
    }
  };

  /** The records of the connections as the kernel reads them. */
  const recordsOf = (connections: readonly Connections<Tensor>[], weight: Tensor): number => {
    for (const c of connections) check(c, weight.shape);
    const address = intsOf(memory.create('i32', [connections.length * RECORD_WORDS]));
    const view = new DataView(memory.bytes().buffer, address);
    connections.forEach(({ indices, delta, scale }, i) => {
      const record = i * RECORD_WORDS * 4;
      view.setUint32(record, intsOf(indices), true);
      view.setUint32(record + 4, floatsOf(delta), true);
      view.setInt32(record + 8, sizeOf(indices.shape), true);
      view.setFloat32(record + 12, scale, true);
    });
    return address;
  };

  const adding = (connections: readonly Connections<Tensor>[], weight: Tensor, bias: number): Additions =>
    connections.length === 0
      ? { bias, connections: 0, count: 0 }
      : { bias, connections: recordsOf(connections, weight), count: connections.length };

  /** x·W̃ᵀ + b */
  const forward = (
    x: Tensor,
    weight: Tensor,
    bias: Tensor | null,
    connections: readonly Connections<Tensor>[],
  ): Tensor =>
    o.scope(() => {
      const additions = adding(connections, weight, biasOf(bias, weight.shape[0] ?? 0));
      return sameLeading(o, product(toRows(o, x), weight, 'nt', additions), x);
    });

  /** dy·W̃ */
  const inputGradient = (dy: Tensor, weight: Tensor, connections: readonly Connections<Tensor>[]): Tensor =>
    o.scope(() => sameLeading(o, product(toRows(o, dy), weight, 'nn', adding(connections, weight, 0)), dy));

  const outer = (dy: Tensor, x: Tensor): Tensor => product(toRows(o, dy), toRows(o, x), 'tn');

  return {
    linear: {
      forward: (x, weight, bias) => forward(x, weight, bias, []),
      inputGradient: (dy, weight) => inputGradient(dy, weight, []),
      weightGradient: (dy, x) => o.scope(() => outer(dy, x)),
      biasGradient: (dy) => o.scope(() => o.sumFirst(toRows(o, dy))),
    },
    pacaLinear: {
      forward,
      inputGradient,
      deltaGradient: (dy, selected, scale) => o.scope(() => o.mul(outer(dy, selected), scale)),
    },
  };
};

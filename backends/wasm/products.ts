/**
 * Matrix products: shapes and the cut into parts here, the arithmetic in `assembly/gemm.ts`. Threads share out the rows
 * or the columns of the result, never the sum.
 */
import type { Layout } from '../../src/core/ops.ts';
import { type ProductSizes, productBatch, productSizes } from '../../src/core/shape-rules.ts';
import type { DType } from '../../src/spec/dtype.ts';
import { defect } from '../../src/spec/errors.ts';
import { isNf4 } from '../../src/spec/nf4.ts';
import { sizeOf } from '../../src/spec/tensor.ts';
import { floatsOf, type Memory, pointerOf, type WasmTensor } from './memory.ts';
import { nf4Record } from './nf4.ts';
import { cutRange } from './parallel.ts';
import type { Call, Pool } from './pool.ts';

type Tensor = WasmTensor;

const FLOAT_BYTES = 4;

const layouts: { readonly [L in Layout]: number } = { nn: 0, nt: 1, tn: 2 };

/** How the kernel calls the types in which B may be stored. */
const storageTypes: { readonly [D in DType]?: number } = { f32: 0, bf16: 1, f16: 2, nf4: 3, 'nf4-single': 3 };

/** Their bytes; rows of NF4 are measured in numbers. */
const storageBytes: readonly number[] = [4, 2, 2, 1];

/** Sums start at +0. */
const FRESH = 1;

/** Rows and columns of a tile of the kernel: where a result is cut. */
const TILE_ROWS = 4;
const TILE_COLUMNS = 8;

/** Multiplications that take as long as a simple kernel on one element. */
const PER_ELEMENT = 8;

/** What a product adds: partial connections to B while it is packed, and a bias to the sum; addresses, 0 for none. */
export interface Additions {
  readonly bias: number;
  readonly connections: number;
  readonly count: number;
}

const nothing: Additions = { bias: 0, connections: 0, count: 0 };

/** Rectangles [rows, columns) that make up an m × n result, at most `parts`, cut across its longer side. */
const rectangles = ({ m, n }: ProductSizes, parts: number): readonly (readonly [number, number, number, number])[] =>
  n >= m
    ? cutRange(0, n, parts, TILE_COLUMNS).map(([from, to]) => [0, m, from, to] as const)
    : cutRange(0, m, parts, TILE_ROWS).map(([from, to]) => [from, to, 0, n] as const);

export interface Products {
  readonly matmul: (a: Tensor, b: Tensor, layout: Layout) => Tensor;
  /**
   * A product of two matrices, B a weight in any storage type, with what is added. To be called in a scope, for the record of
   * an NF4 weight.
   */
  readonly product: (a: Tensor, b: Tensor, layout: Layout, additions?: Additions) => Tensor;
}

export const products = (memory: Memory, pool: Pool): Products => {
  /** The calls of one product of matrices at these addresses, in at most `parts` parts. */
  const callsOf = (
    layout: Layout,
    sizes: ProductSizes,
    parts: number,
    [a, b, c]: readonly [number, number, number],
    typeB: number,
    { bias, connections, count }: Additions,
  ): readonly Call[] => {
    const { m, n, k } = sizes;
    const strideA = (layout === 'tn' ? m : k) * FLOAT_BYTES;
    const strideB = (layout === 'nt' ? k : n) * storageBytes[typeB]!;
    return rectangles(sizes, parts).map((cut) => [
      ...[...cut, layouts[layout], k],
      ...[a, strideA, b, strideB, typeB, c, n * FLOAT_BYTES, FRESH],
      ...[bias, connections, count],
    ]);
  };

  const multiply = (a: Tensor, b: Tensor, layout: Layout, typeB: number, additions: Additions): Tensor => {
    const sizes = productSizes(a, b, layout);
    const { m, n, k } = sizes;
    const [fromA, fromB] = [floatsOf(a), isNf4(b.dtype) ? nf4Record(memory, b) : pointerOf(b)];
    const batch = productBatch(a, b);
    const result = memory.create('f32', [...batch, m, n]);
    const matrices = sizeOf(batch);
    const aStep = a.shape.length > 2 ? m * k * FLOAT_BYTES : 0;
    const bStep = b.shape.length > 2 ? k * n * FLOAT_BYTES : 0;
    const work = (m * n * k) / PER_ELEMENT;
    const partsOfEach = Math.min(Math.ceil(pool.threads / matrices), pool.parts(work));
    const calls = Array.from({ length: matrices }, (_, i) => {
      const addresses = [fromA + i * aStep, fromB + i * bStep, floatsOf(result) + i * m * n * FLOAT_BYTES] as const;
      return callsOf(layout, sizes, partsOfEach, addresses, typeB, additions);
    }).flat();
    pool.run('gemm', calls, pool.parts(matrices * work));
    return result;
  };

  return {
    matmul: (a, b, layout) => {
      floatsOf(b);
      return multiply(a, b, layout, 0, nothing);
    },
    product: (a, b, layout, additions = nothing) =>
      multiply(a, b, layout, storageTypes[b.dtype] ?? defect(`a weight of type ${b.dtype}`), additions),
  };
};

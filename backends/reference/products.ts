/**
 * Matrix products. Each element of the result is a sum that starts at +0 and takes its products one after the other
 * from k = 0, rounding each product and each sum.
 */
import type { Layout } from '../../src/core/ops.ts';
import { type ProductSizes, productBatch, productSizes } from '../../src/core/shape-rules.ts';
import { sizeOf } from '../../src/spec/tensor.ts';
import type { Arithmetic } from './arithmetic.ts';
import { type FloatArray, floatsOf, type Memory, type ReferenceTensor } from './memory.ts';

/** How far apart neighbours along the result's axis and along k lie in an operand. */
interface Steps {
  readonly outer: number;
  readonly k: number;
}

const leftSteps = (layout: Layout, { m, k }: ProductSizes): Steps =>
  layout === 'tn' ? { outer: 1, k: m } : { outer: k, k: 1 };

const rightSteps = (layout: Layout, { n, k }: ProductSizes): Steps =>
  layout === 'nt' ? { outer: k, k: 1 } : { outer: 1, k: n };

/** One matrix product, from where the operands and the result start in their arrays. */
const multiply = (
  round: (x: number) => number,
  layout: Layout,
  sizes: ProductSizes,
  [a, aStart]: readonly [FloatArray, number],
  [b, bStart]: readonly [FloatArray, number],
  [c, cStart]: readonly [FloatArray, number],
): void => {
  const left = leftSteps(layout, sizes);
  const right = rightSteps(layout, sizes);
  for (let i = 0; i < sizes.m; i++) {
    for (let j = 0; j < sizes.n; j++) {
      let sum = 0;
      let p = aStart + i * left.outer;
      let q = bStart + j * right.outer;
      for (let k = 0; k < sizes.k; k++, p += left.k, q += right.k) sum = round(sum + round(a[p]! * b[q]!));
      c[cStart + i * sizes.n + j] = sum;
    }
  }
};

export const matmul =
  ({ float, round }: Arithmetic, memory: Memory) =>
  (a: ReferenceTensor, b: ReferenceTensor, layout: Layout): ReferenceTensor => {
    const sizes = productSizes(a, b, layout);
    const batch = productBatch(a, b);
    const result = memory.create(float, [...batch, sizes.m, sizes.n]);
    const aStep = a.shape.length > 2 ? sizes.m * sizes.k : 0;
    const bStep = b.shape.length > 2 ? sizes.k * sizes.n : 0;
    for (let i = 0; i < sizeOf(batch); i++) {
      const to = [floatsOf(result), i * sizes.m * sizes.n] as const;
      multiply(round, layout, sizes, [floatsOf(a), i * aStep], [floatsOf(b), i * bStep], to);
    }
    return result;
  };

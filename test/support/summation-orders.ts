/** The same sums in other orders: what a correct implementation outside the exact class may compute. */
import type { Layout, Ops } from '../../src/core/ops.ts';
import type { Spec } from '../../src/spec/tensor.ts';

type Picks = <T extends Spec>(o: Ops<T>, x: T, axis: number, from: number, to: number) => T;

/** Slices from, …, to − 1 of an axis; downwards where `to` < `from`. */
const slices: Picks = (o, x, axis, from, to) => {
  const step = Math.sign(to - from);
  const data = Int32Array.from({ length: Math.abs(to - from) }, (_, i) => (step > 0 ? from + i : from - 1 - i));
  return o.gather(x, o.fromHost({ dtype: 'i32', shape: [data.length], data }), axis);
};

/** The axes of a product over which it sums. */
const summed = (a: Spec, b: Spec, layout: Layout): readonly [number, number] => [
  a.shape.length - (layout === 'tn' ? 2 : 1),
  b.shape.length - (layout === 'nt' ? 1 : 2),
];

/** Every sum from its last term to its first. */
export const reversed = <T extends Spec>(o: Ops<T>): Ops<T> => {
  const backwards = (x: T, axis: number): T => slices(o, x, axis, x.shape[axis]!, 0);
  return {
    ...o,
    matmul: (a, b, layout) => {
      const [i, j] = summed(a, b, layout);
      return o.matmul(backwards(a, i), backwards(b, j), layout);
    },
    sumLast: (x) => o.sumLast(backwards(x, x.shape.length - 1)),
    sumFirst: (x) => o.sumFirst(backwards(x, 0)),
    scatterAdd: (x, indices, axis, source) => o.scatterAdd(x, backwards(indices, 0), axis, backwards(source, axis)),
  };
};

/** Every sum as the sum of the sums of its two halves. */
export const pairwise = <T extends Spec>(o: Ops<T>): Ops<T> => {
  const halves = (x: T, axis: number): readonly [T, T] => {
    const length = x.shape[axis]!;
    const middle = length >> 1;
    return [slices(o, x, axis, 0, middle), slices(o, x, axis, middle, length)];
  };
  const sum = (axisOf: (x: T) => number, whole: (x: T) => T): ((x: T) => T) => {
    const add = (x: T): T => {
      if (x.shape[axisOf(x)]! < 2) return whole(x);
      const [left, right] = halves(x, axisOf(x));
      return o.add(add(left), add(right));
    };
    return add;
  };
  const matmul = (a: T, b: T, layout: Layout): T => {
    const [i, j] = summed(a, b, layout);
    if (a.shape[i]! < 2) return o.matmul(a, b, layout);
    const [[a1, a2], [b1, b2]] = [halves(a, i), halves(b, j)];
    return o.add(matmul(a1, b1, layout), matmul(a2, b2, layout));
  };
  return {
    ...o,
    matmul,
    sumLast: sum((x) => x.shape.length - 1, o.sumLast),
    sumFirst: sum(() => 0, o.sumFirst),
  };
};

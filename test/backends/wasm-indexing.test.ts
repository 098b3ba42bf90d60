/** Choosing, adding to and rearranging parts of tensors of every element type, as the reference does. */
import { describe, it } from 'vitest';
import { hostArray } from '../../src/spec/dtype.ts';
import { type HostTensor, type Shape, sizeOf } from '../../src/spec/tensor.ts';
import { agree, agreeOnDefect, fc, floats, integers, length, mix, seed, shortLength } from './wasm-kit.ts';

/** 1, 2, 2, 4, 4 and 8 bytes an element. */
const types = fc.constantFrom('u8', 'f16', 'bf16', 'i32', 'f32', 'i64');

/** Elements that are told apart: 1, 2, 3, … */
const counted = (dtype: 'u8' | 'f16' | 'bf16' | 'i32' | 'f32' | 'i64', shape: Shape): HostTensor => {
  const data = hostArray(dtype, sizeOf(shape));
  for (let i = 0; i < data.length; i++) data[i] = dtype === 'i64' ? BigInt(i + 1) : i + 1;
  return { dtype, shape, data } as HostTensor;
};

const shapeOfAxes = fc.array(fc.integer({ min: 0, max: 6 }), { maxLength: 4 });

/** A shape and an order of its axes. */
const permuted = shapeOfAxes.chain((shape) =>
  fc.tuple(
    fc.constant(shape),
    fc.shuffledSubarray([...shape.keys()], { minLength: shape.length, maxLength: shape.length }),
  ),
);

describe('transpose', () => {
  it('by any order, of any type', async () => {
    await fc.assert(
      fc.asyncProperty(permuted, types, ([shape, order], type) =>
        agree([counted(type, shape)], (k, x) => k.transpose(x!, order)),
      ),
      { numRuns: 200 },
    );
  });

  it('of matrices', async () => {
    await fc.assert(
      fc.asyncProperty(length, length, types, (n, m, type) =>
        agree([counted(type, [n, m]), counted(type, [2, n, m])], (k, x, y) => [
          k.transpose(x!, [1, 0]),
          k.transpose(y!, [0, 2, 1]),
          k.transpose(y!, [1, 0, 2]),
        ]),
      ),
    );
  });
});

/** A tensor's shape, an axis, and indices along it, some of them repeated. */
const chosen = fc
  .tuple(fc.array(shortLength, { minLength: 1, maxLength: 3 }), fc.nat(2), length, seed)
  .map(([shape, place, k, s]) => {
    const axis = place % shape.length;
    return { shape, axis, indices: integers(s, [k], 0, shape[axis]!), s };
  });

/** The two ends of an axis, and beyond. */
const outside = fc.constantFrom(-1, -2147483648, 5, 2147483647);

describe('gather', () => {
  it('along any axis, of any type', async () => {
    await fc.assert(
      fc.asyncProperty(chosen, types, ({ shape, axis, indices }, type) =>
        agree([counted(type, shape), indices], (k, x, i) => k.gather(x!, i!, axis)),
      ),
      { numRuns: 200 },
    );
  });

  it('of columns and of wide rows', async () => {
    await fc.assert(
      fc.asyncProperty(length, length, seed, types, (k, r, s, type) =>
        agree(
          [counted(type, [5, k + 1]), integers(s, [r], 0, k + 1), integers(s, [r], 0, 5)],
          (o, x, columns, rows) => [o.gather(x!, columns!, 1), o.gather(x!, rows!, 0)],
        ),
      ),
    );
  });

  it('has the reference’s defect for an index outside, if anything is read', async () => {
    fc.assert(
      fc.property(outside, fc.nat(3), (index, place) => {
        const data = Int32Array.from({ length: 4 }, (_, i) => (i === place ? index : i));
        agreeOnDefect([floats(1, [2, 5]), { dtype: 'i32', shape: [4], data }], (k, x, i) => k.gather(x!, i!, 1));
      }),
    );
    await agree([floats(1, [0, 5]), { dtype: 'i32', shape: [1], data: Int32Array.of(9) }], (k, x, i) =>
      k.gather(x!, i!, 1),
    );
  });

  it('has the reference’s defect for what is no index, and no axis', () => {
    agreeOnDefect([floats(1, [5]), floats(2, [2])], (k, x, i) => k.gather(x!, i!, 0));
    agreeOnDefect([floats(1, [5]), integers(2, [2], 0, 5)], (k, x, i) => k.gather(x!, i!, 1));
  });
});

describe('scatterAdd', () => {
  it('along any axis, in order', async () => {
    await fc.assert(
      fc.asyncProperty(chosen, mix, ({ shape, axis, indices, s }, m) => {
        const source = floats(
          s + 1,
          shape.map((d, i) => (i === axis ? indices.shape[0]! : d)),
          m,
        );
        return agree([floats(s, shape, m), indices, source], (k, x, i, y) => k.scatterAdd(x!, i!, axis, y!));
      }),
      { numRuns: 150 },
    );
  });

  it('into columns, and into wide rows', async () => {
    await fc.assert(
      fc.asyncProperty(length, shortLength, seed, (k, r, s) =>
        agree(
          [
            floats(s, [5, k + 1]),
            integers(s, [r], 0, k + 1),
            floats(s, [5, r]),
            integers(s, [r], 0, 5),
            floats(s, [r, k + 1]),
          ],
          (o, x, columns, narrow, rows, wide) => [
            o.scatterAdd(x!, columns!, 1, narrow!),
            o.scatterAdd(x!, rows!, 0, wide!),
          ],
        ),
      ),
    );
  });

  it('has the reference’s defects', () => {
    const x = floats(1, [2, 5]);
    agreeOnDefect([x, { dtype: 'i32', shape: [1], data: Int32Array.of(5) }, floats(2, [2, 1])], (k, a, i, b) =>
      k.scatterAdd(a!, i!, 1, b!),
    );
    agreeOnDefect([x, integers(1, [2], 0, 5), floats(2, [2, 3])], (k, a, i, b) => k.scatterAdd(a!, i!, 1, b!));
  });
});

describe('oneHot', () => {
  it('with indices inside and outside', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(shortLength, { maxLength: 2 }),
        fc.integer({ min: 0, max: 40 }),
        seed,
        (shape, depth, s) => agree([integers(s, shape, -2, depth + 2)], (k, i) => k.oneHot(i!, depth)),
      ),
    );
  });
});

describe('reshape', () => {
  it('keeps the elements, and resolves −1', async () => {
    await agree([counted('f32', [2, 3, 4]), counted('i32', [0, 3])], (k, x, y) => [
      k.reshape(x!, [6, -1]),
      k.reshape(x!, [-1]),
      k.reshape(y!, [-1, 3]),
      k.reshape(y!, [3, 0]),
    ]);
  });

  it('has the reference’s defect where the size differs', () => {
    agreeOnDefect([counted('f32', [2, 3])], (k, x) => k.reshape(x!, [4, 2]));
  });
});

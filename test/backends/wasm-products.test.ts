/** Matrix products and linear maps in WebAssembly: the reference's bits, for all shapes, types and cuts. */
import { afterAll, describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { wasmBackend } from '../../backends/wasm/backend.ts';
import { hireInNode as hire } from '../../backends/wasm/workers-node.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { sameTensor } from '../../src/core/laws.ts';
import type { Layout } from '../../src/core/ops.ts';
import { orThrow } from '../../src/spec/errors.ts';
import type { HostTensor, Shape, Spec } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';
import { floats, seed } from './wasm-kit.ts';

/** Of 256 numbers, how many are ±0, infinite, subnormal or the like; sums over some of them stay finite as a rule. */
type Mix = readonly [special: number, patterns: number];
const plain: Mix = [0, 0];
const some: Mix = [1, 0];

const reference = referenceF32().kernels;
const backends = await Promise.all([1, 3].map(async (threads) => orThrow(await wasmBackend({ threads, hire }))));

afterAll(() => Promise.all(backends.map((backend) => backend.dispose())));

/** What is computed from tensors on the host. */
type Computation = <T extends Spec>(k: Kernels<T>, ...inputs: readonly T[]) => T;

const resultOf = <T extends Spec>(
  k: Kernels<T>,
  compute: Computation,
  inputs: readonly HostTensor[],
): Promise<HostTensor> => {
  const result = k.scope(() => compute(k, ...inputs.map(k.fromHost)));
  const read = k.toHost(result);
  k.donate(result);
  return read;
};

/** Fails unless every WebAssembly backend gives the reference's bits, and gives its memory back. */
const agree = async (inputs: readonly HostTensor[], compute: Computation): Promise<void> => {
  const expected = await resultOf(reference, compute, inputs);
  for (const { kernels, threads } of backends) {
    const actual = await resultOf(kernels, compute, inputs);
    const where = actual.data.findIndex((x, i) => !Object.is(x, expected.data[i]));
    if (!sameTensor(actual, expected)) {
      expect.fail(
        `${threads} threads: ${actual.dtype}[${actual.shape}] for ${expected.dtype}[${expected.shape}], ` +
          `element ${where}: expected ${expected.data[where]}, got ${actual.data[where]}`,
      );
    }
    expect(kernels.memory().live).toBe(0);
  }
};

const layout: fc.Arbitrary<Layout> = fc.constantFrom('nn', 'nt', 'tn');

/** Lengths on either side of tiles (4, 8) and of vectors, and none. */
const length: fc.Arbitrary<number> = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 20 }) },
  { weight: 2, arbitrary: fc.constantFrom(31, 32, 33, 63, 64, 65, 70) },
  { weight: 1, arbitrary: fc.constant(0) },
);

const shapesOf = (l: Layout, m: number, n: number, k: number): readonly [Shape, Shape] => [
  l === 'tn' ? [k, m] : [m, k],
  l === 'nt' ? [n, k] : [k, n],
];

const product = (l: Layout, m: number, n: number, k: number, s: number, mix: Mix = plain): Promise<void> => {
  const [a, b] = shapesOf(l, m, n, k);
  return agree([floats(s, a, mix), floats(s + 1, b, mix)], (o, x, y) => o.matmul(x!, y!, l));
};

describe('matmul', () => {
  it('has the bits of the sequential sum, for small sizes', () =>
    fc.assert(fc.asyncProperty(layout, length, length, length, seed, fc.constantFrom(plain, some), product), {
      numRuns: 150,
    }));

  for (const l of ['nn', 'nt', 'tn'] as const) {
    it(`goes on with a sum over blocks of k (${l})`, async () => {
      for (const k of [511, 512, 513, 1024, 1030]) await product(l, 13, 21, k, k);
    });
    it(`has more rows and columns than a block, and parts for each thread (${l})`, async () => {
      await product(l, 66, 1030, 17, 1);
      await product(l, 131, 67, 257, 2);
      await product(l, 257, 255, 17, 3);
      await product(l, 3, 300, 600, 4);
      await product(l, 300, 3, 600, 5);
      await product(l, 1, 1, 1030, 6);
    });
  }

  it('is done for each matrix of a batch, or with one that is absent from one side', () =>
    fc.assert(
      fc.asyncProperty(
        layout,
        fc.constantFrom<Shape[]>([1], [3], [2, 3], [0], [40]),
        fc.constantFrom('both', 'left', 'right'),
        fc.tuple(length, length, length),
        seed,
        (l, batch, sides, [m, n, k], s) => {
          const [a, b] = shapesOf(l, m, n, k);
          const left = sides === 'right' ? a : [...batch, ...a];
          const right = sides === 'left' ? b : [...batch, ...b];
          return agree([floats(s, left, plain), floats(s + 1, right, plain)], (o, x, y) => o.matmul(x!, y!, l));
        },
      ),
    ));

  it('of many large matrices uses all threads', async () => {
    const inputs = [floats(1, [300, 17, 31], plain), floats(2, [300, 31, 19], plain)];
    await agree(inputs, (o, x, y) => o.matmul(x!, y!, 'nn'));
  });

  it('refuses what does not fit, in the words of the reference', () => {
    const wrong: readonly (readonly [Shape, Shape, Layout])[] = [
      [[2, 3], [4, 5], 'nn'],
      [[2, 3], [3, 5], 'nt'],
      [[3], [3, 2], 'nn'],
      [[2, 2, 3], [3, 3, 5], 'nn'],
    ];
    const message = <T extends Spec>(k: Kernels<T>, [a, b, l]: (typeof wrong)[number]): string => {
      try {
        k.scope(() => void k.matmul(k.full(a, 1), k.full(b, 1), l));
      } catch (error) {
        return (error as Error).message;
      }
      return 'no defect';
    };
    for (const w of wrong) {
      expect(message(reference, w)).toMatch(/matmul/);
      for (const { kernels } of backends) expect(message(kernels, w)).toBe(message(reference, w));
    }
  });
});

const storage = fc.constantFrom('f32', 'bf16', 'f16');

/** Rows before the features: none, some, or two axes of them. */
const leading = fc.constantFrom<Shape[]>([], [1], [7], [2, 3], [65], [0]);

describe('linear', () => {
  it('forward, with a weight in any type and with a bias or none', () =>
    fc.assert(
      fc.asyncProperty(leading, length, length, storage, fc.boolean(), seed, (rows, out, input, type, hasBias, s) =>
        agree(
          [floats(s, [...rows, input], some), floats(s + 1, [out, input], plain), floats(s + 2, [out], some)],
          (o, x, w, b) => o.linear.forward(x!, o.cast(w!, type), hasBias ? b! : null),
        ),
      ),
      { numRuns: 60 },
    ));

  it('gradients', () =>
    fc.assert(
      fc.asyncProperty(leading, length, length, storage, seed, async (rows, out, input, type, s) => {
        const [x, w] = [floats(s, [...rows, input], plain), floats(s + 1, [out, input], plain)];
        const dy = floats(s + 2, [...rows, out], some);
        await agree([dy, w], (o, g, weight) => o.linear.inputGradient(g!, o.cast(weight!, type)));
        await agree([dy, x], (o, g, value) => o.linear.weightGradient(g!, value!));
        await agree([dy], (o, g) => o.linear.biasGradient(g!));
      }),
    ));

  it('widens 16-bit weights of more than a block, infinities and subnormal numbers among them', async () => {
    for (const type of ['bf16', 'f16'] as const) {
      const special: Mix = [40, 0];
      const inputs = [floats(1, [9, 1030], plain), floats(2, [13, 1030], special), floats(3, [9, 13], plain)];
      await agree(inputs, (o, x, w) => o.linear.forward(x!, o.cast(w!, type), null));
      await agree(inputs, (o, _, w, dy) => o.linear.inputGradient(dy!, o.cast(w!, type)));
    }
  });
});

/** Adapters over `[out, input]`: distinct sorted columns that may overlap between them, and a scale each. */
const adapters = (
  input: number,
): fc.Arbitrary<readonly { readonly columns: readonly number[]; readonly scale: number }[]> => {
  const columns = fc.subarray(Array.from({ length: input }, (_, i) => i));
  return fc.array(fc.record({ columns, scale: fc.constantFrom(1, 0.3, 2, -1.7) }), { maxLength: 3 });
};

describe('pacaLinear', () => {
  const check = async (
    [rows, out, input]: readonly [Shape, number, number],
    list: readonly { readonly columns: readonly number[]; readonly scale: number }[],
    type: 'f32' | 'bf16' | 'f16',
    s: number,
  ): Promise<void> => {
    const deltas = list.map(({ columns }, i) => floats(s + 4 + i, [out, columns.length], plain));
    const indices = list.map(({ columns }) => ({
      dtype: 'i32' as const,
      shape: [columns.length],
      data: Int32Array.from(columns),
    }));
    const fixed = [floats(s, [...rows, input], plain), floats(s + 1, [out, input], plain)];
    const more = [floats(s + 2, [out], plain), floats(s + 3, [...rows, out], plain)];
    const inputs = [...fixed, ...more, ...deltas, ...indices];
    const connections = <T>(t: readonly T[]) =>
      list.map(({ scale }, i) => ({ delta: t[4 + i]!, indices: t[4 + list.length + i]!, scale }));
    await agree(inputs, (o, ...t) => o.pacaLinear.forward(t[0]!, o.cast(t[1]!, type), t[2]!, connections(t)));
    await agree(inputs, (o, ...t) => o.pacaLinear.inputGradient(t[3]!, o.cast(t[1]!, type), connections(t)));
  };

  it('adds s·δ of every adapter to its columns, in list order, and never to the weight', () =>
    fc.assert(
      fc.asyncProperty(
        leading,
        length,
        fc.integer({ min: 1, max: 40 }).chain((n) => fc.tuple(fc.constant(n), adapters(n))),
        storage,
        seed,
        (rows, out, [input, list], type, s) => check([rows, out, input], list, type, s),
      ),
      { numRuns: 60 },
    ));

  it('in several blocks and parts', async () => {
    const columns = [0, 5, 511, 512, 700, 1023, 1024, 1029];
    const list = [
      { columns, scale: 0.7 },
      { columns: [5, 6, 1029], scale: 3 },
    ];
    await check([[37], 70, 1030], list, 'f32', 1);
    await check([[37], 70, 1030], list, 'bf16', 2);
  });

  it('leaves the weight as it was', async () => {
    for (const { kernels: k } of backends) {
      const weight = floats(1, [5, 7], plain);
      const [w, x] = [k.fromHost(weight), k.fromHost(floats(2, [3, 7], plain))];
      const indices = k.fromHost({ dtype: 'i32', shape: [2], data: Int32Array.of(1, 6) });
      const delta = k.full([5, 2], 1);
      const y = k.pacaLinear.forward(x, w, null, [{ indices, delta, scale: 2 }]);
      expect(sameTensor(await k.toHost(w), weight)).toBe(true);
      k.donate([w, x, indices, delta, y]);
    }
  });

  it('gives ∂δ with the scale after the sum', () =>
    fc.assert(
      fc.asyncProperty(leading, length, length, seed, fc.constantFrom(1, 0.3, 1e-3), (rows, out, rank, s, scale) =>
        agree([floats(s, [...rows, out], plain), floats(s + 1, [...rows, rank], plain)], (o, dy, selected) =>
          o.pacaLinear.deltaGradient(dy!, selected!, scale),
        ),
      ),
    ));

  it('refuses a column that the weight does not have', () => {
    for (const { kernels: k } of [...backends]) {
      const run = (index: number) => () =>
        k.scope(() => {
          const indices = k.fromHost({ dtype: 'i32', shape: [1], data: Int32Array.of(index) });
          const connection = { indices, delta: k.full([5, 1], 1), scale: 1 };
          k.pacaLinear.forward(k.full([2, 7], 1), k.full([5, 7], 1), null, [connection]);
        });
      expect(run(7)).toThrow('index 7 outside 0 … 6');
      expect(run(-1)).toThrow('index -1 outside 0 … 6');
      expect(run(6)).not.toThrow();
    }
  });
});

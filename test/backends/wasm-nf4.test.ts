/** Products with NF4 weights in WebAssembly: the reference's bits, which are those over the dequantised weight. */
import { afterAll, describe, expect, it } from 'vitest';
import { referenceF32 } from '../../backends/reference/backend.ts';
import { wasmBackend } from '../../backends/wasm/backend.ts';
import { hireInNode as hire } from '../../backends/wasm/workers-node.ts';
import type { Kernels } from '../../src/core/fused.ts';
import { sameTensor } from '../../src/core/laws.ts';
import { doraLinear } from '../../src/methods/dora.ts';
import { loraLinear } from '../../src/methods/lora.ts';
import { pacaLinear } from '../../src/methods/paca.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { absmaxMap, decodeNf4, type Nf4Type, nf4Layout } from '../../src/spec/nf4.ts';
import { bytesOf, type HostTensor, type HostTensorOf, type Shape, type Spec, sizeOf } from '../../src/spec/tensor.ts';
import { fc } from '../support/fast-check.ts';
import { floats, seed } from './wasm-kit.ts';

const reference = referenceF32().kernels;
const backends = await Promise.all([1, 3].map(async (threads) => orThrow(await wasmBackend({ threads, hire }))));

afterAll(() => Promise.all(backends.map((backend) => backend.dispose())));

/** Any codes, any absmax. */
const weight = (s: number, shape: Shape, dtype: Nf4Type): HostTensorOf<Nf4Type> => {
  const { absmaxAt, blocks, bytes, nestedAt } = nf4Layout(dtype, sizeOf(shape));
  const noise = new Uint32Array((floats(s, [Math.ceil(bytes / 4)], [0, 1]).data as Float32Array).buffer);
  const data = new Uint8Array(bytes).map((_, i) => (noise[i >> 2]! >>> (8 * (i & 3))) ^ (i * 37));
  const view = new DataView(data.buffer);
  const at = dtype === 'nf4' ? nestedAt : absmaxAt;
  const count = dtype === 'nf4' ? (bytes - nestedAt) / 4 : blocks;
  for (let i = 0; i < count; i++) view.setFloat32(at + 4 * i, 0.3 + ((i * 7919) % 13) / 7, true);
  return { dtype, shape, data };
};

const dequantised = ({ dtype, shape, data }: HostTensorOf<Nf4Type>): HostTensorOf<'f32'> => ({
  dtype: 'f32',
  shape,
  data: decodeNf4(dtype, sizeOf(shape), data),
});

type Computation = <T extends Spec>(k: Kernels<T>, weight: T, ...inputs: readonly T[]) => readonly T[];

const run = async <T extends Spec>(
  k: Kernels<T>,
  w: HostTensor,
  inputs: readonly HostTensor[],
  compute: Computation,
): Promise<readonly HostTensor[]> => {
  const results = k.scope(() => compute(k, k.fromHost(w), ...inputs.map(k.fromHost)));
  const read = await Promise.all(results.map(k.toHost));
  k.donate(results);
  return read;
};

/** On every backend, over NF4, the bits of the reference over the dequantised weight; and all memory comes back. */
const agree = async (w: HostTensorOf<Nf4Type>, inputs: readonly HostTensor[], compute: Computation): Promise<void> => {
  const expected = await run(reference, dequantised(w), inputs, compute);
  for (const kernels of [reference, ...backends.map((b) => b.kernels)] as unknown as readonly Kernels<Spec>[]) {
    const actual = await run(kernels, w, inputs, compute);
    actual.forEach((t, i) => {
      expect(sameTensor(t, expected[i]!), `output ${i}`).toBe(true);
    });
    expect(kernels.memory().live).toBe(0);
  }
};

const length = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(31, 32, 63, 64, 65, 70, 128));
const type = fc.constantFrom<Nf4Type>('nf4', 'nf4-single');
const plain = [0, 0] as const;

const linear: Computation = (k, w, x, dy, bias) => [k.linear.forward(x!, w, bias!), k.linear.inputGradient(dy!, w)];

describe('over an NF4 weight', () => {
  it('a linear map has the bits of that over the dequantised weight', () =>
    fc.assert(
      fc.asyncProperty(length, length, length, type, seed, (n, width, out, dtype, s) =>
        agree(
          weight(s, [out, width], dtype),
          [floats(s + 1, [n, width], plain), floats(s + 2, [n, out], plain), floats(s + 3, [out], plain)],
          linear,
        ),
      ),
      { numRuns: 60 },
    ));

  it('sums go on over blocks of k, and rows and columns over blocks of n', async () => {
    for (const [out, width] of [
      [1031, 17],
      [37, 1031],
      [257, 513],
      [300, 64],
    ] as const)
      await agree(
        weight(out, [out, width], 'nf4'),
        [floats(1, [19, width], plain), floats(2, [19, out], plain), floats(3, [out], plain)],
        linear,
      );
  });

  it('QPaCA is PaCA, QLoRA is LoRA and QDoRA is DoRA over the dequantised weight, forward and backward', () =>
    fc.assert(
      fc.asyncProperty(length, length, length, type, seed, async (n, width, out, dtype, s) => {
        const w = weight(s, [out, width], dtype);
        const [x, dy] = [floats(s + 1, [n, width], plain), floats(s + 2, [n, out], plain)];
        const config = { rank: 1, scale: 0.7, active: true, trains: true };
        const indices: HostTensor = { dtype: 'i32', shape: [1], data: Int32Array.of(s % width) };
        await agree(w, [x, dy, indices, floats(s + 3, [out, 1], plain)], (k, base, x1, dy1, i, delta) => {
          const layer = pacaLinear(k, { in: width, out }, [config]);
          const p = { weight: base, adapters: [{ indices: i!, delta: delta! }] };
          const [y, residual] = layer.forward(p, x1!);
          const [gradient, dx] = layer.backward(p, residual, dy1!);
          return [y, dx, (gradient.adapters[0] as { delta: typeof base }).delta];
        });
        const matrices = [
          floats(s + 4, [1, width], plain),
          floats(s + 5, [out, 1], plain),
          floats(s + 6, [out], plain),
        ];
        await agree(w, [x, dy, ...matrices], (k, base, x1, dy1, a, b, magnitude) =>
          [loraLinear, doraLinear].flatMap((make) => {
            const layer = make(k, { in: width, out }, [config]);
            const p = { weight: base, adapters: [{ a: a!, b: b!, magnitude: magnitude! }] };
            const [y, residual] = layer.forward(p, x1!);
            const [gradient, dx] = layer.backward(p, residual as never, dy1!);
            const { a: da, b: db } = gradient.adapters[0] as { a: typeof base; b: typeof base };
            return [y, dx, da, db];
          }),
        );
      }),
      { numRuns: 40 },
    ));

  it('every code and every absmax is decoded', async () => {
    const shape = [256, 64];
    const { absmaxAt, nestedAt, offsetAt, bytes } = nf4Layout('nf4', sizeOf(shape));
    const data = new Uint8Array(bytes).map((_, i) => (i < absmaxAt ? i * 17 + (i >> 5) : i - absmaxAt));
    const view = new DataView(data.buffer);
    view.setFloat32(nestedAt, 1.7, true);
    view.setFloat32(offsetAt, 0.9, true);
    const w: HostTensorOf<'nf4'> = { dtype: 'nf4', shape, data };
    expect(new Set(data.subarray(absmaxAt, absmaxAt + 256)).size).toBe(absmaxMap.length);
    await agree(w, [], (k, base) => [k.cast(base, 'f32')]);
  });

  it('its elements cannot be moved alone', () => {
    const w = weight(1, [3, 5], 'nf4');
    for (const k of [reference, ...backends.map((b) => b.kernels)] as unknown as readonly Kernels<Spec>[]) {
      k.scope(() => {
        const index = k.fromHost({ dtype: 'i32', shape: [1], data: Int32Array.of(0) });
        expect(() => k.gather(k.fromHost(w), index, 1)).toThrow('gather of nf4[3, 5]: cast it first');
        expect(() => k.transpose(k.fromHost(w), [1, 0])).toThrow('transpose of nf4[3, 5]: cast it first');
      });
    }
  });

  it('no dequantised copy is made: a product takes the room of its result alone', () => {
    const shape = [512, 512];
    const w = weight(1, shape, 'nf4');
    const x = floats(2, [8, 512], plain);
    for (const { kernels: k } of backends) {
      k.scope(() => {
        const [base, input] = [k.fromHost(w), k.fromHost(x)];
        k.resetPeak();
        const before = k.memory().live;
        k.linear.forward(input, base, null);
        expect(k.memory().peak - before).toBeLessThan(8 * 512 * 4 + 64);
        expect(bytesOf(base)).toBeLessThan((4.14 * 512 * 512) / 8);
      });
    }
  });
});

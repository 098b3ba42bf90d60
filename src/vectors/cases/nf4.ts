/** NF4 weights: quantising, decoding, and PaCA and LoRA over one (QPaCA and QLoRA). */
import type { Kernels } from '../../core/fused.ts';
import type { AnyLayer } from '../../core/layer.ts';
import { anyLayer } from '../../core/layer.ts';
import type { Tree } from '../../core/tree.ts';
import { loraLinear } from '../../methods/lora.ts';
import { pacaLinear } from '../../methods/paca.ts';
import { quantise } from '../../quant/quantise.ts';
import { orThrow } from '../../spec/errors.ts';
import { nf4Layout } from '../../spec/nf4.ts';
import { type HostTensor, type HostTensorOf, type Shape, type Spec, sizeOf } from '../../spec/tensor.ts';
import { drawn, floats, input, integers, type Json, named, type Tensors, type VectorCase } from '../case.ts';

const quantised = (weight: HostTensorOf<'f32'>): HostTensorOf<'nf4'> =>
  orThrow(quantise(weight, 'nf4', 'weight')) as HostTensorOf<'nf4'>;

/** A weight in the words of the format: bytes as i32. */
const partsOf = ({ shape, data }: HostTensorOf<'nf4'>): Readonly<Record<string, HostTensor>> => {
  const { absmaxAt, blocks, groups, nestedAt, offsetAt } = nf4Layout('nf4', sizeOf(shape));
  const view = new DataView(data.buffer);
  const numbers = Array.from({ length: groups }, (_, i) => view.getFloat32(nestedAt + 4 * i, true));
  return {
    codes: integers(...data.subarray(0, Math.ceil(sizeOf(shape) / 2))),
    absmax: integers(...data.subarray(absmaxAt, absmaxAt + blocks)),
    nested: floats([groups], numbers),
    offset: floats([1], [view.getFloat32(offsetAt, true)]),
  };
};

/** The weight of these parts. */
const joined = (host: Tensors<HostTensor>, shape: Shape): HostTensorOf<'nf4'> => {
  const { absmaxAt, bytes, nestedAt, offsetAt } = nf4Layout('nf4', sizeOf(shape));
  const data = new Uint8Array(bytes);
  const view = new DataView(data.buffer);
  data.set(Array.from(input(host, 'codes').data, Number));
  data.set(Array.from(input(host, 'absmax').data, Number), absmaxAt);
  Array.from(input(host, 'nested').data, Number).forEach((x, i) => {
    view.setFloat32(nestedAt + 4 * i, x, true);
  });
  view.setFloat32(offsetAt, Number(input(host, 'offset').data[0]), true);
  return { dtype: 'nf4', shape, data };
};

/** Rows that are no multiple of a block, an odd number of weights. */
const SMALL: Shape = [7, 37];
/** More than 256 blocks, so that there are two nested absmax. */
const LARGE: Shape = [131, 127];

const quantiseCase: VectorCase = {
  id: 'nf4/quantise',
  note: 'As bitsandbytes: blocks of 64 of the flattened weight; nearest level of w/absmax, a tie to the lower; two codes to a byte, the first in the high half; absmax − mean in groups of 256 to the 8-bit map.',
  settings: { shape: LARGE },
  inputs: { weight: drawn('nf4.quantise.weight', ...LARGE) },
  run: (k, _, host) => {
    const parts = partsOf(quantised(input(host, 'weight') as HostTensorOf<'f32'>));
    return Object.fromEntries(Object.entries(parts).map(([name, t]) => [name, k.fromHost(t)]));
  },
};

const dequantiseCase: VectorCase = {
  id: 'nf4/dequantise',
  note: 'values = fl(level[code]·absmax), absmax = fl(fl(map[q]·nested[⌊block/256⌋]) + offset), rounded to f32 in any arithmetic.',
  settings: { shape: SMALL },
  inputs: partsOf(quantised(drawn('nf4.dequantise.weight', ...SMALL))),
  run: (k, _, host) => ({ values: k.cast(k.fromHost(joined(host, SMALL)), k.float) }),
};

interface OverNf4 {
  readonly id: string;
  readonly note: string;
  readonly adapter: Json;
  readonly params: Readonly<Record<string, HostTensor>>;
  readonly layer: <T extends Spec>(k: Kernels<T>) => AnyLayer<T>;
}

const [OUT, WIDTH, ROWS] = [7, 37, 5];

/** One adapter over the weight; y, dx and the gradient. */
const overNf4 = ({ id, note, adapter, params, layer }: OverNf4): VectorCase => ({
  id: `nf4/${id}`,
  note,
  settings: { shape: [OUT, WIDTH], adapters: [adapter] },
  inputs: {
    ...partsOf(quantised(drawn(`nf4.${id}.weight`, OUT, WIDTH))),
    x: drawn(`nf4.${id}.x`, ROWS, WIDTH),
    dy: drawn(`nf4.${id}.dy`, ROWS, OUT),
    ...named('parameter.adapters.0', params),
  },
  run: <T extends Spec>(k: Kernels<T>, inputs: Tensors<T>, host: Tensors<HostTensor>): Tensors<T> => {
    const own = Object.keys(params).map((name) => [name, input(inputs, `parameter.adapters.0.${name}`)] as const);
    const p: Tree<T> = { weight: k.fromHost(joined(host, [OUT, WIDTH])), adapters: [Object.fromEntries(own)] };
    const made = layer(k);
    const [y, residual] = made.forward(p, input(inputs, 'x'));
    const [gradient, dx] = made.backward(p, residual, input(inputs, 'dy'));
    return { y, dx, ...named('gradient', gradient) };
  },
});

const config = { rank: 2, scale: 1.5, active: true, trains: true } as const;

export const nf4Cases: readonly VectorCase[] = [
  quantiseCase,
  dequantiseCase,
  overNf4({
    id: 'paca-linear',
    note: 'QPaCA: PaCA over the dequantised weight, to the bit.',
    adapter: { ...config },
    params: { indices: integers(3, 20), delta: drawn('nf4.paca-linear.delta', OUT, 2) },
    layer: (k) => anyLayer(pacaLinear(k, { in: WIDTH, out: OUT }, [config])),
  }),
  overNf4({
    id: 'lora-linear',
    note: 'QLoRA: LoRA over the dequantised weight, to the bit.',
    adapter: { ...config },
    params: { a: drawn('nf4.lora-linear.a', 2, WIDTH), b: drawn('nf4.lora-linear.b', OUT, 2) },
    layer: (k) => anyLayer(loraLinear(k, { in: WIDTH, out: OUT }, [config])),
  }),
];

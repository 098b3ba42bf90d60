/**
 * NF4, the 4-bit type of QLoRA (Dettmers et al. 2023, appendix E) as bitsandbytes stores it: what its codes mean, and how a
 * tensor of it lies in memory. A weight is flattened row by row and cut into blocks of 64:
 *
 *   value = fl(level[code] · absmax[block])
 *   absmax[block] = fl(fl(map[q[block]] · nested[⌊block/256⌋]) + offset)      (`nf4`: double quantisation)
 *   absmax[block] is an f32                                                  (`nf4-single`)
 *
 * Two roundings to f32 for an absmax, one for a value: this is the definition, in f64 arithmetic too. (bitsandbytes rounds the
 * value once more where the weight was of 16 bits.) `nf4` takes 4 + 8/64 + 32/(64·256) = 4.127 bits a weight.
 *
 * In memory, one after the other: the codes, two to a byte, the first of them in the high half; from the next multiple of 4
 * on the absmax (`nf4`: q, one byte a block; `nf4-single`: f32); of `nf4`, from the next multiple of 4 on, nested (f32) and offset
 * (f32). Little-endian. Odd counts are filled up with one code.
 */

/** The element types whose tensors are one array of bytes. */
export type Nf4Type = 'nf4' | 'nf4-single';

export const isNf4 = (dtype: string): dtype is Nf4Type => dtype === 'nf4' || dtype === 'nf4-single';

/** Weights that share an absmax, and absmax that share a nested one. */
export const NF4_BLOCK = 64;
export const NF4_GROUP = 256;

/** Quantiles of the normal distribution, f32; 0 is among them. */
export const nf4Levels: Float32Array = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

const powers: readonly number[] = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1].map(Math.fround);

/** n points from 0.1 to 1 in f32, as PyTorch's `linspace` rounds them: each half from its end, product and sum in one. */
const linspace = (n: number): readonly number[] => {
  const [start, half] = [Math.fround(0.1), Math.floor(n / 2)];
  const step = Math.fround(Math.fround(1 - start) / (n - 1));
  return Array.from({ length: n }, (_, i) => Math.fround(i < half ? start + step * i : 1 - step * (n - 1 - i)));
};

/**
 * The 256 values of a quantised absmax: the 8-bit dynamic type of Dettmers 2015. {±10^(i−6)·m : i = 0 … 6, m the midpoints
 * of 2^i + 1 points from 0.1 to 1}, 0 and 1, sorted, f32.
 */
export const absmaxMap: Float32Array = Float32Array.from([
  0,
  1,
  ...powers.flatMap((power, i) => {
    const points = linspace((1 << i) + 1);
    const middles = points.slice(1).map((p, j) => Math.fround(Math.fround(points[j]! + p) / 2));
    return middles.flatMap((m) => [power * m, -power * m]);
  }),
]).sort();

/** Where the parts of a tensor of `count` weights lie, in bytes. */
export interface Nf4Layout {
  readonly blocks: number;
  /** Absmax that are nested; 0 for `nf4-single`. */
  readonly groups: number;
  readonly absmaxAt: number;
  readonly nestedAt: number;
  readonly offsetAt: number;
  readonly bytes: number;
}

const toFour = (bytes: number): number => Math.ceil(bytes / 4) * 4;

export const nf4Layout = (dtype: Nf4Type, count: number): Nf4Layout => {
  const blocks = Math.ceil(count / NF4_BLOCK);
  const absmaxAt = toFour(Math.ceil(count / 2));
  if (dtype === 'nf4-single') {
    const end = absmaxAt + 4 * blocks;
    return { blocks, groups: 0, absmaxAt, nestedAt: end, offsetAt: end, bytes: end };
  }
  const groups = Math.ceil(blocks / NF4_GROUP);
  const nestedAt = toFour(absmaxAt + blocks);
  const offsetAt = nestedAt + 4 * groups;
  return { blocks, groups, absmaxAt, nestedAt, offsetAt, bytes: offsetAt + 4 };
};

const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength);

/** The absmax of each block, f32. */
const nf4Absmax = (dtype: Nf4Type, count: number, data: Uint8Array): Float32Array => {
  const { blocks, absmaxAt, nestedAt, offsetAt } = nf4Layout(dtype, count);
  const view = viewOf(data);
  if (dtype === 'nf4-single')
    return Float32Array.from({ length: blocks }, (_, i) => view.getFloat32(absmaxAt + 4 * i, true));
  const offset = view.getFloat32(offsetAt, true);
  return Float32Array.from({ length: blocks }, (_, i) => {
    const nested = view.getFloat32(nestedAt + 4 * Math.floor(i / NF4_GROUP), true);
    return Math.fround(absmaxMap[data[absmaxAt + i]!]! * nested) + offset;
  });
};

/** The values of a tensor of `count` weights, f32. */
export const decodeNf4 = (dtype: Nf4Type, count: number, data: Uint8Array): Float32Array => {
  const absmax = nf4Absmax(dtype, count, data);
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const pair = data[i >> 1]!;
    const code = (i & 1) === 0 ? pair >> 4 : pair & 15;
    values[i] = nf4Levels[code]! * absmax[Math.floor(i / NF4_BLOCK)]!;
  }
  return values;
};

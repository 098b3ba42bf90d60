/**
 * Weights to NF4, bit for bit as bitsandbytes does it on a CPU (`quantize_4bit`, blocks of 64, double quantisation):
 *
 *   absmax = max |w| of the block; x = fl(w · fl(1/max(absmax, 1e-38))), of a last block that is not whole fl(w/absmax)
 *   code = the number of midpoints of neighbouring levels below x: the nearest level, a tie going to the lower
 *   offset = mean(absmax); fl(absmax − offset) in blocks of 256, divided by the absmax of the block, to the nearest of the map
 *
 * The last step goes through 65,536 cells, as on bitsandbytes' CPU: a value within 1.6e-5 of a midpoint may get the other
 * neighbour than on a GPU, which compares the value itself. A file of either is read alike.
 * The absmax of a block of zeros is 0. Infinities and NaN are refused.
 */
import * as E from 'fp-ts/lib/Either.js';
import { fail, type Result } from '../spec/errors.ts';
import { absmaxMap, decodeNf4, NF4_BLOCK, NF4_GROUP, type Nf4Type, nf4Layout, nf4Levels } from '../spec/nf4.ts';
import { type HostTensor, type HostTensorOf, sizeOf } from '../spec/tensor.ts';
import { torchMean } from './torch-mean.ts';

const LEAST = Math.fround(1e-38);

const midpoints: readonly number[] = Array.from({ length: 15 }, (_, i) =>
  Math.fround(Math.fround(nf4Levels[i]! + nf4Levels[i + 1]!) / 2),
);

/** How many sorted numbers lie below x. */
const below = (sorted: ArrayLike<number>, x: number): number => {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! < x) low = middle + 1;
    else high = middle;
  }
  return low;
};

const largest = (x: Float32Array): number => x.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

/** A whole block is scaled by a reciprocal, a last one that is not is divided, and its absmax is at least 1e-38. */
const scaled = (block: Float32Array): readonly [absmax: number, x: Float32Array] => {
  const absmax = largest(block);
  if (block.length === NF4_BLOCK) {
    const inverse = Math.fround(1 / Math.max(absmax, LEAST));
    return [absmax, block.map((w) => w * inverse)];
  }
  const divisor = Math.max(absmax, LEAST);
  return [divisor, block.map((w) => w / divisor)];
};

const clamp = (x: number): number => Math.min(1, Math.max(-1, x));

/** Codes, two to a byte, into the front of `to`; the absmax of each block. */
const encodeBlocks = (weight: Float32Array, to: Uint8Array): Float32Array => {
  const absmax = new Float32Array(Math.ceil(weight.length / NF4_BLOCK));
  for (let block = 0; block < absmax.length; block++) {
    const from = block * NF4_BLOCK;
    const [most, x] = scaled(weight.subarray(from, from + NF4_BLOCK));
    absmax[block] = most;
    x.forEach((value, i) => {
      const at = from + i;
      const code = below(midpoints, clamp(value));
      to[at >> 1] = at % 2 === 0 ? code << 4 : to[at >> 1]! | code;
    });
  }
  if (weight.length % 2 === 1) to[weight.length >> 1]! |= below(midpoints, 0);
  return absmax;
};

/** Cells into which bitsandbytes cuts −1 … 1 on a CPU to look codes up. */
const CELLS = 32767.5;

/** The map's value nearest to that of x's cell; a tie goes to the lower. 0/0, of a group of zeros, gives 0. */
const nearest = (x: number): number => {
  if (Number.isNaN(x)) return 0;
  const cell = Math.floor(Math.fround(Math.fround(Math.fround(x + 1) * CELLS) + 0.5));
  const value = Math.fround(cell / CELLS - 1);
  const right = Math.min(Math.max(below(absmaxMap, value), 1), absmaxMap.length - 1);
  const [toLeft, toRight] = [right - 1, right].map((i) => Math.fround(Math.abs(Math.fround(value - absmaxMap[i]!))));
  return toRight! < toLeft! ? right : right - 1;
};

/** Double quantisation of the absmax, into their place in `to`. */
const encodeAbsmax = (absmax: Float32Array, to: Uint8Array, count: number): void => {
  const { absmaxAt, nestedAt, offsetAt } = nf4Layout('nf4', count);
  const view = new DataView(to.buffer);
  const offset = torchMean(absmax);
  const centred = absmax.map((a) => a - offset);
  for (let from = 0; from < centred.length; from += NF4_GROUP) {
    const group = centred.subarray(from, from + NF4_GROUP);
    const most = largest(group);
    view.setFloat32(nestedAt + (4 * from) / NF4_GROUP, most, true);
    group.forEach((a, i) => {
      to[absmaxAt + from + i] = nearest(Math.fround(a / most));
    });
  }
  view.setFloat32(offsetAt, offset, true);
};

/** `where` names the weight in errors. ShapeError: a number that is not finite. */
export const quantise = (weight: HostTensorOf<'f32'>, dtype: Nf4Type, where: string): Result<HostTensor> => {
  const { shape, data } = weight;
  const wrong = data.findIndex((w) => !Number.isFinite(w));
  if (wrong >= 0) return fail('ShapeError', 'finite numbers', String(data[wrong]), `${where}, element ${wrong}`);
  const count = sizeOf(shape);
  const layout = nf4Layout(dtype, count);
  const bytes = new Uint8Array(layout.bytes);
  const absmax = encodeBlocks(data, bytes);
  if (dtype === 'nf4') encodeAbsmax(absmax, bytes, count);
  else {
    const view = new DataView(bytes.buffer);
    absmax.forEach((a, i) => {
      view.setFloat32(layout.absmaxAt + 4 * i, a, true);
    });
  }
  return E.right({ dtype, shape, data: bytes });
};

/** How far quantising moved a weight. */
export interface QuantisationError {
  /** The largest distance of a number from its own. */
  readonly largest: number;
  /** ‖Ŵ − W‖ / ‖W‖, Frobenius; 0 for a weight of zeros. */
  readonly relative: number;
  /** The largest ‖Ŵ − W‖ / ‖W‖ of a block of 64 numbers. */
  readonly worstBlock: number;
}

/** Sums of squares: of the distances, and of the numbers themselves. */
const ratio = (squares: number, whole: number): number => (whole === 0 ? 0 : Math.sqrt(squares / whole));

export const quantisationError = (weight: HostTensorOf<'f32'>, quantised: HostTensorOf<Nf4Type>): QuantisationError => {
  const values = decodeNf4(quantised.dtype, sizeOf(weight.shape), quantised.data);
  let [most, squares, whole, worstBlock] = [0, 0, 0, 0];
  for (let from = 0; from < values.length; from += NF4_BLOCK) {
    let [squaresHere, wholeHere] = [0, 0];
    weight.data.subarray(from, from + NF4_BLOCK).forEach((w, i) => {
      const gap = Math.abs(values[from + i]! - w);
      most = Math.max(most, gap);
      squaresHere += gap * gap;
      wholeHere += w * w;
    });
    worstBlock = Math.max(worstBlock, ratio(squaresHere, wholeHere));
    squares += squaresHere;
    whole += wholeHere;
  }
  return { largest: most, relative: ratio(squares, whole), worstBlock };
};

/**
 * NF4 (`src/spec/nf4.ts`) to f32, into the packed block of a product or a whole tensor: value = fl(level[code] · absmax). Codes
 * are looked up sixteen at a time: each byte of a level has a table of its own, which a swizzle reads.
 *
 * A weight comes as a record { codes, absmax, nested, offset }: three addresses and an f32. Where `nested` is 0, the absmax
 * are f32; else they are codes, and an absmax is fl(fl(map[code] · nested[block / 256]) + offset).
 */
import { at } from './lanes';
import { ABSMAX_MAP, LEVEL_BYTES, LEVELS } from './nf4-tables';
import { F32, PANEL_STRIDE, packB } from './pack';

/** Columns of a panel. */
const WIDTH = 16;

/** Distance of decoded rows: 256 numbers, and a line more, or all would meet in few cache sets. */
const ROW_BYTES: usize = 256 * 4 + 64;

/** Room for the rows of a panel, or for one row as wide as a block. */
export const NF4_ROOM: usize = WIDTH * ROW_BYTES;

@inline
function absmaxOf(record: usize, block: usize): f32 {
  const absmax = <usize>load<u32>(record, 4);
  const nested = <usize>load<u32>(record, 8);
  if (nested == 0) return load<f32>(absmax + (block << 2));
  const value = load<f32>(ABSMAX_MAP + (<usize>load<u8>(absmax + block) << 2));
  return value * load<f32>(nested + ((block >> 8) << 2)) + load<f32>(record, 12);
}

@inline
function one(codes: usize, index: usize, scale: f32): f32 {
  const pair = load<u8>(codes + (index >> 1));
  return load<f32>(LEVELS + (<usize>((index & 1) == 0 ? pair >> 4 : pair & 15) << 2)) * scale;
}

/** Sixteen numbers from eight bytes of codes. */
@inline
function sixteen(codes: usize, scale: v128, to: usize): void {
  const pairs = v128.load64_zero(codes);
  const high = i8x16.shr_u(pairs, 4);
  const low = v128.and(pairs, i8x16.splat(15));
  const index = v128.shuffle<i8>(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const b0 = v128.swizzle(v128.load(LEVEL_BYTES), index);
  const b1 = v128.swizzle(v128.load(LEVEL_BYTES, 16), index);
  const b2 = v128.swizzle(v128.load(LEVEL_BYTES, 32), index);
  const b3 = v128.swizzle(v128.load(LEVEL_BYTES, 48), index);
  const lower0 = v128.shuffle<i8>(b0, b1, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const lower1 = v128.shuffle<i8>(b0, b1, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const upper0 = v128.shuffle<i8>(b2, b3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const upper1 = v128.shuffle<i8>(b2, b3, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  v128.store(to, f32x4.mul(v128.shuffle<i16>(lower0, upper0, 0, 8, 1, 9, 2, 10, 3, 11), scale));
  v128.store(to, f32x4.mul(v128.shuffle<i16>(lower0, upper0, 4, 12, 5, 13, 6, 14, 7, 15), scale), 16);
  v128.store(to, f32x4.mul(v128.shuffle<i16>(lower1, upper1, 0, 8, 1, 9, 2, 10, 3, 11), scale), 32);
  v128.store(to, f32x4.mul(v128.shuffle<i16>(lower1, upper1, 4, 12, 5, 13, 6, 14, 7, 15), scale), 48);
}

/** The numbers `index` … `index + count − 1` of the flattened weight. */
function decode(record: usize, index: usize, count: i32, to: usize): void {
  const codes = <usize>load<u32>(record);
  const end = index + <usize>count;
  while (index < end) {
    const stop = min(end, (index | 63) + 1);
    const scale = absmaxOf(record, index >> 6);
    const factor = f32x4.splat(scale);
    if ((index & 1) == 1) {
      store<f32>(to, one(codes, index, scale));
      index++;
      to += 4;
    }
    for (; index + 16 <= stop; index += 16, to += 64) sixteen(codes + (index >> 1), factor, to);
    for (; index < stop; index++, to += 4) store<f32>(to, one(codes, index, scale));
  }
}

/** A row of a block that is stored `[k, n]` to its line of each panel; the last panel is filled up with zeros. */
function spread(columns: i32, depth: i32, from: usize, to: usize): void {
  const whole = columns & ~(WIDTH - 1);
  for (let j = 0; j < whole; j += WIDTH, from += PANEL_STRIDE, to += <usize>depth * PANEL_STRIDE) {
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
    v128.store(to, v128.load(from, 32), 32);
    v128.store(to, v128.load(from, 48), 48);
  }
  if (whole == columns) return;
  for (let j = 0; j < WIDTH; j++) store<f32>(at(to, j), j < columns - whole ? load<f32>(at(from, j)) : 0);
}

/**
 * As {@link packB}: the block of B from (`column`, `step`) on, decoded on its way into the panels. `width`: numbers of a row
 * in memory; `room`: {@link NF4_ROOM} bytes that no other thread uses.
 */
export function packNf4(
  transposed: bool, column: i32, columns: i32, step: i32, depth: i32, record: usize, width: usize, to: usize, room: usize,
): void {
  if (transposed) {
    for (let j = 0; j < columns; j += WIDTH) {
      const some = min(columns - j, WIDTH);
      for (let i = 0; i < some; i++) {
        decode(record, <usize>(column + j + i) * width + <usize>step, depth, room + <usize>i * ROW_BYTES);
      }
      packB(F32, true, some, depth, room, ROW_BYTES, at(to, j * depth));
    }
  } else {
    for (let k = 0; k < depth; k++) {
      decode(record, <usize>(step + k) * width + <usize>column, columns, room);
      spread(columns, depth, room, to + <usize>k * PANEL_STRIDE);
    }
  }
}

/** Elements begin … end − 1 of a weight, in f32. */
export function widenNf4(begin: i32, end: i32, record: usize, out: usize): void {
  decode(record, <usize>begin, end - begin, at(out, begin));
}

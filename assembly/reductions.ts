/** Sums and maxima in the declared orders. */
import { at, load4, maxLanes, store4, sumLanes, sumOfProducts } from './lanes';

/** The sum of each row of `width` elements, in the lane order. The range is one of rows. */
export function sumLast(begin: i32, end: i32, width: i32, x: usize, out: usize): void {
  for (let row = begin; row < end; row++) store<f32>(at(out, row), sumLanes(at(x, row * width), width));
}

/** The sum of the squares of each row, in the lane order. The range is one of rows. */
export function sumSquaresLast(begin: i32, end: i32, width: i32, x: usize, out: usize): void {
  for (let row = begin; row < end; row++) store<f32>(at(out, row), sumOfProducts(at(x, row * width), at(x, row * width), width));
}

/** The largest element of each row; −∞ of an empty one. The range is one of rows. */
export function maxLast(begin: i32, end: i32, width: i32, x: usize, out: usize): void {
  for (let row = begin; row < end; row++) store<f32>(at(out, row), maxLanes(at(x, row * width), width));
}

/** The first position of the largest element, a NaN being the largest and −0 equal to +0; 0 of an empty row. */
export function argmaxLast(begin: i32, end: i32, width: i32, x: usize, out: usize): void {
  for (let row = begin; row < end; row++) {
    const from = at(x, row * width);
    store<i32>(at(out, row), position(from, width, maxLanes(from, width)));
  }
}

/** Where `largest` stands first; where the first NaN stands if it is one. */
function position(from: usize, width: i32, largest: f32): i32 {
  const sought = f32x4.splat(largest);
  const isNaN = largest != largest;
  for (let i = 0; i < width; i += 4) {
    const left = width - i;
    const values = load4(at(from, i), left);
    const hits = i32x4.bitmask(isNaN ? f32x4.ne(values, values) : f32x4.eq(values, sought));
    const found = left < 4 ? hits & ((1 << left) - 1) : hits;
    if (found) return i + ctz(found);
  }
  return 0;
}

/** Columns that are summed at a time, so that their sums stay in the first cache. */
const TILE: i32 = 1024;

/**
 * The sum of each column of `rows` rows, row after row from +0. The range is one of columns.
 * Four rows are added to a sum before it is stored again; the order stays.
 */
export function sumFirst(begin: i32, end: i32, rows: i32, width: i32, x: usize, out: usize): void {
  for (let from = begin; from < end; from += TILE) sumTile(from, min(from + TILE, end), rows, width, x, out);
}

function sumTile(begin: i32, end: i32, rows: i32, width: i32, x: usize, out: usize): void {
  memory.fill(at(out, begin), 0, <usize>(end - begin) << 2);
  const stride = <usize>width << 2;
  let row = 0;
  for (; row + 4 <= rows; row += 4) {
    const r0 = at(x, row * width);
    const r1 = r0 + stride;
    const r2 = r1 + stride;
    const r3 = r2 + stride;
    for (let j = begin; j < end; j += 4) {
      const left = end - j;
      let sum = f32x4.add(load4(at(out, j), left), load4(at(r0, j), left));
      sum = f32x4.add(sum, load4(at(r1, j), left));
      sum = f32x4.add(sum, load4(at(r2, j), left));
      store4(at(out, j), f32x4.add(sum, load4(at(r3, j), left)), left);
    }
  }
  for (; row < rows; row++) {
    const from = at(x, row * width);
    for (let j = begin; j < end; j += 4) {
      const left = end - j;
      store4(at(out, j), f32x4.add(load4(at(out, j), left), load4(at(from, j), left)), left);
    }
  }
}

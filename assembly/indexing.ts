/**
 * Choosing, rearranging and adding parts of tensors. Gather and transpose move elements of 1, 2, 4 or 8 bytes (`size`).
 * Indices are in range: the caller has checked them.
 */
import { at, copyBytes, load4, store4 } from './lanes';

/**
 * Picks slices: x is `[outer, length, inner]`, the result `[outer, count, inner]`, its slice j that at `indices[j]`.
 * The range is one of slices, outer · count in all.
 */
export function gather(
  begin: i32, end: i32, size: i32, length: i32, inner: i32, count: i32, x: usize, indices: usize, out: usize,
): void {
  if (inner == 1) {
    if (size == 4) gatherFloats(begin, end, length, count, x, indices, out);
    else if (size == 2) gatherColumns<u16>(begin, end, length, count, x, indices, out);
    else if (size == 1) gatherColumns<u8>(begin, end, length, count, x, indices, out);
    else gatherColumns<u64>(begin, end, length, count, x, indices, out);
    return;
  }
  const bytes = <usize>inner * size;
  for (let slice = begin; slice < end; slice++) {
    const i = slice / count;
    const from = i * length + load<i32>(at(indices, slice - i * count));
    copyBytes(out + <usize>slice * bytes, x + <usize>from * bytes, bytes);
  }
}

/** Single elements of rows. */
function gatherColumns<T>(begin: i32, end: i32, length: i32, count: i32, x: usize, indices: usize, out: usize): void {
  while (begin < end) {
    const row = begin / count;
    const first = begin - row * count;
    const last = min(count, first + end - begin);
    const from = x + <usize>(row * length) * sizeof<T>();
    for (let j = first; j < last; j++, begin++) {
      store<T>(out + <usize>begin * sizeof<T>(), load<T>(from + <usize>load<i32>(at(indices, j)) * sizeof<T>()));
    }
  }
}

/** Single elements of 4 bytes, four at a time. */
function gatherFloats(begin: i32, end: i32, length: i32, count: i32, x: usize, indices: usize, out: usize): void {
  while (begin < end) {
    const row = begin / count;
    const first = begin - row * count;
    const last = min(count, first + end - begin);
    const from = at(x, row * length);
    let j = first;
    for (; j + 4 <= last; j += 4, begin += 4) {
      const index = at(indices, j);
      let values = v128.load32_zero(at(from, load<i32>(index)));
      values = v128.load32_lane(at(from, load<i32>(index, 4)), values, 1);
      values = v128.load32_lane(at(from, load<i32>(index, 8)), values, 2);
      values = v128.load32_lane(at(from, load<i32>(index, 12)), values, 3);
      v128.store(at(out, begin), values);
    }
    for (; j < last; j++, begin++) store<u32>(at(out, begin), load<u32>(at(from, load<i32>(at(indices, j)))));
  }
}

/**
 * Adds slice j of the source `[outer, count, inner]` to slice `indices[j]` of the result `[outer, length, inner]`, in
 * ascending j. The range is one of positions within slices, outer · inner in all.
 */
export function scatterAdd(
  begin: i32, end: i32, length: i32, inner: i32, count: i32, indices: usize, source: usize, out: usize,
): void {
  while (begin < end) {
    const i = begin / inner;
    const first = begin - i * inner;
    const last = min(inner, first + end - begin);
    for (let j = 0; j < count; j++) {
      const from = at(source, (i * count + j) * inner);
      const to = at(out, (i * length + load<i32>(at(indices, j))) * inner);
      if (inner == 1) {
        store<f32>(to, load<f32>(to) + load<f32>(from));
        continue;
      }
      for (let k = first; k < last; k += 4) {
        const left = last - k;
        store4(at(to, k), f32x4.add(load4(at(to, k), left), load4(at(from, k), left)), left);
      }
    }
    begin += last - first;
  }
}

/** Rows of `depth` numbers: 1 at the index, else 0; zeros where the index is outside. The range is one of rows. */
export function oneHot(begin: i32, end: i32, depth: i32, indices: usize, out: usize): void {
  memory.fill(at(out, begin * depth), 0, (<usize>(end - begin) * depth) << 2);
  for (let row = begin; row < end; row++) {
    const index = load<i32>(at(indices, row));
    if (<u32>index < <u32>depth) store<f32>(at(out, row * depth + index), 1);
  }
}

/**
 * A matrix of `columns` columns out of x, where one goes on by `rowStep` elements from row to row and by `columnStep`
 * from column to column: out[i][j] = x[i·rowStep + j·columnStep]. The range is one of rows.
 */
export function transpose(
  begin: i32, end: i32, size: i32, columns: i32, rowStep: i32, columnStep: i32, x: usize, out: usize,
): void {
  if (columnStep == 1) {
    const bytes = <usize>columns * size;
    for (let i = begin; i < end; i++) copyBytes(out + <usize>i * bytes, x + <usize>(i * rowStep) * size, bytes);
  } else if (size == 4) {
    if (rowStep == 1) transposeFloats(begin, end, columns, columnStep, x, out);
    else pick<u32>(begin, end, 0, columns, columns, rowStep, columnStep, x, out);
  } else if (size == 2) pick<u16>(begin, end, 0, columns, columns, rowStep, columnStep, x, out);
  else if (size == 1) pick<u8>(begin, end, 0, columns, columns, rowStep, columnStep, x, out);
  else pick<u64>(begin, end, 0, columns, columns, rowStep, columnStep, x, out);
}

/** Rows begin … end − 1 and columns first … last − 1, element by element. */
function pick<T>(
  begin: i32, end: i32, first: i32, last: i32, columns: i32, rowStep: i32, columnStep: i32, x: usize, out: usize,
): void {
  for (let i = begin; i < end; i++) {
    for (let j = first; j < last; j++) {
      const from = x + <usize>(i * rowStep + j * columnStep) * sizeof<T>();
      store<T>(out + <usize>(i * columns + j) * sizeof<T>(), load<T>(from));
    }
  }
}

/** Rows of the result that are written together: two vectors of each cache line of x, and few enough lines to write. */
const BAND: i32 = 8;

/** Elements of 4 bytes that lie side by side in x along a column of the result: blocks of 4 × 4, band by band. */
function transposeFloats(begin: i32, end: i32, columns: i32, columnStep: i32, x: usize, out: usize): void {
  const whole = columns & ~3;
  const blocks = begin + ((end - begin) & ~3);
  for (let band = begin; band < blocks; band += BAND) {
    const bandEnd = min(band + BAND, blocks);
    for (let j = 0; j < whole; j += 4) {
      for (let i = band; i < bandEnd; i += 4) {
        block(at(x, i + j * columnStep), columnStep, at(out, i * columns + j), columns);
      }
    }
  }
  pick<u32>(begin, blocks, whole, columns, columns, 1, columnStep, x, out);
  pick<u32>(blocks, end, 0, columns, columns, 1, columnStep, x, out);
}

/** out[i][j] = x[j][i] for 4 × 4 elements. */
@inline
function block(x: usize, xStride: i32, out: usize, outStride: i32): void {
  const r0 = v128.load(x);
  const r1 = v128.load(at(x, xStride));
  const r2 = v128.load(at(x, 2 * xStride));
  const r3 = v128.load(at(x, 3 * xStride));
  const low01 = v128.shuffle<i32>(r0, r1, 0, 4, 1, 5);
  const high01 = v128.shuffle<i32>(r0, r1, 2, 6, 3, 7);
  const low23 = v128.shuffle<i32>(r2, r3, 0, 4, 1, 5);
  const high23 = v128.shuffle<i32>(r2, r3, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<i64>(low01, low23, 0, 2));
  v128.store(at(out, outStride), v128.shuffle<i64>(low01, low23, 1, 3));
  v128.store(at(out, 2 * outStride), v128.shuffle<i64>(high01, high23, 0, 2));
  v128.store(at(out, 3 * outStride), v128.shuffle<i64>(high01, high23, 1, 3));
}

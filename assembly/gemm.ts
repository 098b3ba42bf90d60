/**
 * Matrix products C = op(A)·op(B) + bias, blocked for the caches. Each element of C is one sum over ascending k that
 * starts at +0: a block of k goes on from what the block before left in C. So the bits depend neither on the blocks nor
 * on which rectangles of C several threads compute.
 *
 * Row-major: A is `[m, k]` (`tn`: `[k, m]`), B is `[k, n]` (`nt`: `[n, k]`), C is `[m, n]`.
 */
import { connect } from './connections';
import {
  NARROW_COLUMNS, NARROW_ROWS, narrowTile, TALL_ROWS, TILE_COLUMNS, TILE_ROWS, tallTile, tile,
} from './gemm-tile';
import { at } from './lanes';
import { NF4_ROOM, packNf4 } from './nf4';
import { F32, NF4, PANEL_STRIDE, packB, sizeOf, turnA } from './pack';

/** Layouts. */
export const NN = 0;
export const NT = 1;
export const TN = 2;

/** A panel of B lies in the first cache, a block of A in the second, a block of B in the second or third. */
const BLOCK_M = 96;
const BLOCK_K = 256;
const BLOCK_N = 1024;

/** Distance of the rows of a turned block of A: a line more than their length, or all would meet in few cache sets. */
const TURNED_STRIDE = BLOCK_K * 4 + 64;

/** Packing space of a thread: a tile for the edges, a block of A, a block of B, and room for decoding. */
const EDGE_BYTES = NARROW_ROWS * TILE_COLUMNS * 4;
const BLOCK_A_BYTES = BLOCK_M * TURNED_STRIDE;
const BLOCK_B_BYTES = BLOCK_N * BLOCK_K * 4;

export function scratchBytes(): i32 {
  return EDGE_BYTES + BLOCK_A_BYTES + BLOCK_B_BYTES + <i32>NF4_ROOM;
}

/** With so few rows in all, a panel of B is read where it lies: packing it would not pay. */
const FEW_ROWS = 16;

/** The address of element (i, k): `i` counts rows of memory, or is the place within one. */
@inline
function element(base: usize, isRow: bool, i: i32, k: i32, stride: usize, size: usize): usize {
  return base + (isRow ? <usize>i * stride + <usize>k * size : <usize>k * stride + <usize>i * size);
}

/** Copies `rows` × `columns` elements between a tile and C. */
function copyTile(rows: i32, columns: i32, from: usize, strideFrom: usize, to: usize, strideTo: usize): void {
  for (let i = 0; i < rows; i++, from += strideFrom, to += strideTo) {
    for (let j = 0; j < columns; j++) store<f32>(at(to, j), load<f32>(at(from, j)));
  }
}

/**
 * A tile of which only `rows` × `columns` elements lie in C, computed aside. A missing second row of A is the first
 * again; a narrow tile has all its rows.
 */
function edgeTile(
  narrow: bool, rows: i32, columns: i32, depth: i32,
  a: usize, strideA: usize, b: usize, strideB: usize, c: usize, strideC: usize, fresh: bool, edge: usize,
): void {
  const strideEdge: usize = TILE_COLUMNS * 4;
  if (!fresh) copyTile(rows, columns, c, strideC, edge, strideEdge);
  if (narrow) narrowTile(depth, b, a, edge, strideEdge, fresh, strideA, strideB);
  else tile(depth, b, a, edge, strideEdge, fresh, rows < TILE_ROWS ? 0 : strideA, strideB);
  copyTile(rows, columns, edge, strideEdge, c, strideC);
}

/** `rows` × `columns` of C, at most one panel wide. */
function multiplyPanel(
  rows: i32, columns: i32, depth: i32,
  a: usize, strideA: usize, b: usize, strideB: usize, c: usize, strideC: usize, fresh: bool, edge: usize,
): void {
  const inNarrow = columns <= NARROW_COLUMNS ? rows & ~(NARROW_ROWS - 1) : 0;
  for (let i = 0; i < rows; ) {
    if (ASC_FEATURE_RELAXED_SIMD && columns == TILE_COLUMNS && rows - i >= TALL_ROWS) {
      tallTile(depth, b, a, c, strideC, fresh, strideA, strideB);
      tallTile(depth, at(b, NARROW_COLUMNS), a, at(c, NARROW_COLUMNS), strideC, fresh, strideA, strideB);
      a += strideA * TALL_ROWS;
      c += strideC * TALL_ROWS;
      i += TALL_ROWS;
      continue;
    }
    const narrow = i < inNarrow;
    const height = narrow ? NARROW_ROWS : min(rows - i, TILE_ROWS);
    if (columns == NARROW_COLUMNS && narrow) narrowTile(depth, b, a, c, strideC, fresh, strideA, strideB);
    else if (columns == TILE_COLUMNS && height == TILE_ROWS) tile(depth, b, a, c, strideC, fresh, strideA, strideB);
    else edgeTile(narrow, height, columns, depth, a, strideA, b, strideB, c, strideC, fresh, edge);
    a += strideA * height;
    c += strideC * height;
    i += height;
  }
}

/** Adds `bias`, one number for each column, after the sum. */
function addBias(rows: i32, columns: i32, bias: usize, c: usize, stride: usize): void {
  for (let i = 0; i < rows; i++, c += stride) {
    let j = 0;
    for (; j + 4 <= columns; j += 4) v128.store(at(c, j), f32x4.add(v128.load(at(c, j)), v128.load(at(bias, j))));
    for (; j < columns; j++) store<f32>(at(c, j), load<f32>(at(c, j)) + load<f32>(at(bias, j)));
  }
}

/** What a sum of no products is. */
function clear(rows: i32, columns: i32, c: usize, stride: usize): void {
  for (let i = 0; i < rows; i++, c += stride) memory.fill(c, 0, <usize>columns << 2);
}

/**
 * Panels of B over `rows` rows of C. The first `direct` columns of B are read where they lie, at `whereB`; the panels of
 * the others were packed to `blockB`.
 */
function multiplyPanels(
  rows: i32, columns: i32, depth: i32, a: usize, strideA: usize,
  direct: i32, whereB: usize, strideB: usize, blockB: usize,
  c: usize, strideC: usize, fresh: bool, edge: usize,
): void {
  for (let j = 0; j < columns; j += TILE_COLUMNS) {
    const width = min(columns - j, TILE_COLUMNS);
    const to = at(c, j);
    if (j < direct) multiplyPanel(rows, width, depth, a, strideA, at(whereB, j), strideB, to, strideC, fresh, edge);
    else {
      const panel = at(blockB, (j - direct) * depth);
      multiplyPanel(rows, width, depth, a, strideA, panel, PANEL_STRIDE, to, strideC, fresh, edge);
    }
  }
}

/**
 * The rectangle [rowBegin, rowEnd) × [columnBegin, columnEnd) of C, whose sums have k terms. The rows of the matrices lie
 * `strideA`, `strideB` and `strideC` bytes apart in memory. `typeB` is the element type of B, a weight that may be stored
 * in 16 bits, or in NF4 (then `b` is its record, see `nf4.ts`, and `strideB` counts the numbers of a row), to which
 * `connections` (`count` records, see `connections.ts`) are added while it is packed. `fresh`: the sums start at +0, else
 * they go on from what C holds. `bias` `[n]` is left out at address 0. `scratch`: {@link scratchBytes} bytes that no other
 * thread uses.
 */
export function gemm(
  rowBegin: i32, rowEnd: i32, columnBegin: i32, columnEnd: i32, layout: i32, k: i32,
  a: usize, strideA: usize, b: usize, strideB: usize, typeB: i32, c: usize, strideC: usize, fresh: bool,
  bias: usize, connections: usize, count: i32, scratch: usize,
): void {
  const blockA = scratch + EDGE_BYTES;
  const blockB = blockA + BLOCK_A_BYTES;
  const rows = rowEnd - rowBegin;
  const packs = layout == NT || typeB != F32 || count > 0 || rows > FEW_ROWS;
  const first = c + <usize>rowBegin * strideC;
  if (k == 0 && fresh) clear(rows, columnEnd - columnBegin, at(first, columnBegin), strideC);
  for (let column = columnBegin; column < columnEnd; column += BLOCK_N) {
    const columns = min(columnEnd - column, BLOCK_N);
    const direct = packs ? 0 : columns & ~(TILE_COLUMNS - 1); // a last panel that is not whole is packed in any case
    const toColumn = at(first, column);
    for (let step = 0; step < k; step += BLOCK_K) {
      const depth = min(k - step, BLOCK_K);
      const whereB = element(b, layout == NT, column, step, strideB, sizeOf(typeB));
      if (typeB == NF4) packNf4(layout == NT, column, columns, step, depth, b, strideB, blockB, blockB + BLOCK_B_BYTES);
      else packB(typeB, layout == NT, columns - direct, depth, at(whereB, direct), strideB, blockB);
      connect(layout == NT, connections, count, column, columns, step, depth, blockB);
      for (let row = 0; row < rows; row += BLOCK_M) {
        const height = min(rows - row, BLOCK_M);
        let whereA = element(a, layout != TN, rowBegin + row, step, strideA, 4);
        let rowsApart = strideA;
        if (layout == TN) {
          turnA(height, depth, whereA, strideA, blockA, TURNED_STRIDE);
          whereA = blockA;
          rowsApart = TURNED_STRIDE;
        }
        const to = toColumn + <usize>row * strideC;
        multiplyPanels(
          height, columns, depth, whereA, rowsApart, direct, whereB, strideB, blockB, to, strideC, fresh && step == 0, scratch,
        );
      }
    }
    if (bias != 0) addBias(rows, columns, at(bias, column), toColumn, strideC);
  }
}

/**
 * The micro-kernels of the products: a tile of 2 × 16 elements of C in eight registers, one of 4 × 8 for the last few
 * columns, and one of 6 × 8 for fused multiply-adds. Every element takes its products one after the other in ascending k, one rounding for each × and each +;
 * in the relaxed build one for both.
 */

/** Rows and columns of a tile and of a narrow one; rows of a tall one, which is as narrow. */
export const TILE_ROWS = 2;
export const TILE_COLUMNS = 16;
export const TALL_ROWS = 6;
export const NARROW_ROWS = 4;
export const NARROW_COLUMNS = 8;

/** sum + a·b */
@inline
export function multiplyAdd(sum: v128, a: v128, b: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, sum);
  return f32x4.add(sum, f32x4.mul(a, b));
}

/**
 * C += A·B over `depth` steps of k; `fresh`: from +0 instead of from C. The rows of A begin at `a` and lie `strideA`
 * apart, the steps of B at `b` and `strideB`, the rows of C at `c` and `strideC`; within a row, elements are neighbours.
 *
 * The second row is computed before the first and stored after it, and the loop tests at its end: written so, V8 keeps
 * every value in a register. The order of the parameters decides which registers they get, hence the length of the
 * loop's instructions: another order costs a fifth of the speed on some processors.
 */
export function tile(
  depth: i32, b: usize, a: usize, c: usize, strideC: usize, fresh: bool, strideA: usize, strideB: usize,
): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c02 = c00;
  let c03 = c00;
  let c10 = c00;
  let c11 = c00;
  let c12 = c00;
  let c13 = c00;
  if (!fresh) {
    const second = c + strideC;
    c00 = v128.load(c);
    c01 = v128.load(c, 16);
    c02 = v128.load(c, 32);
    c03 = v128.load(c, 48);
    c10 = v128.load(second);
    c11 = v128.load(second, 16);
    c12 = v128.load(second, 32);
    c13 = v128.load(second, 48);
  }
  let a1 = a + strideA;
  if (depth > 0) {
    do {
      const b3 = v128.load(b, 48);
      const b2 = v128.load(b, 32);
      const b1 = v128.load(b, 16);
      const b0 = v128.load(b);
      let row = v128.load32_splat(a1);
      c13 = multiplyAdd(c13, row, b3);
      c12 = multiplyAdd(c12, row, b2);
      c11 = multiplyAdd(c11, row, b1);
      c10 = multiplyAdd(c10, row, b0);
      row = v128.load32_splat(a);
      c03 = multiplyAdd(c03, row, b3);
      c02 = multiplyAdd(c02, row, b2);
      c01 = multiplyAdd(c01, row, b1);
      c00 = multiplyAdd(c00, row, b0);
      a += 4;
      a1 += 4;
      b += strideB;
    } while (--depth != 0);
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  v128.store(c, c02, 32);
  v128.store(c, c03, 48);
  c += strideC;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  v128.store(c, c12, 32);
  v128.store(c, c13, 48);
}

/**
 * Six rows and eight columns, twelve registers, for the relaxed build: a fused multiply-add takes longer than an addition,
 * and eight sums do not hide that.
 */
export function tallTile(
  depth: i32, b: usize, a: usize, c: usize, strideC: usize, fresh: bool, strideA: usize, strideB: usize,
): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  let c40 = c00;
  let c41 = c00;
  let c50 = c00;
  let c51 = c00;
  if (!fresh) {
    let row = c;
    c00 = v128.load(row);
    c01 = v128.load(row, 16);
    row += strideC;
    c10 = v128.load(row);
    c11 = v128.load(row, 16);
    row += strideC;
    c20 = v128.load(row);
    c21 = v128.load(row, 16);
    row += strideC;
    c30 = v128.load(row);
    c31 = v128.load(row, 16);
    row += strideC;
    c40 = v128.load(row);
    c41 = v128.load(row, 16);
    row += strideC;
    c50 = v128.load(row);
    c51 = v128.load(row, 16);
  }
  let a1 = a + strideA;
  let a2 = a1 + strideA;
  let a3 = a2 + strideA;
  let a4 = a3 + strideA;
  let a5 = a4 + strideA;
  if (depth > 0) {
    do {
      const b1 = v128.load(b, 16);
      const b0 = v128.load(b);
      let row = v128.load32_splat(a5);
      c51 = multiplyAdd(c51, row, b1);
      c50 = multiplyAdd(c50, row, b0);
      row = v128.load32_splat(a4);
      c41 = multiplyAdd(c41, row, b1);
      c40 = multiplyAdd(c40, row, b0);
      row = v128.load32_splat(a3);
      c31 = multiplyAdd(c31, row, b1);
      c30 = multiplyAdd(c30, row, b0);
      row = v128.load32_splat(a2);
      c21 = multiplyAdd(c21, row, b1);
      c20 = multiplyAdd(c20, row, b0);
      row = v128.load32_splat(a1);
      c11 = multiplyAdd(c11, row, b1);
      c10 = multiplyAdd(c10, row, b0);
      row = v128.load32_splat(a);
      c01 = multiplyAdd(c01, row, b1);
      c00 = multiplyAdd(c00, row, b0);
      a += 4;
      a1 += 4;
      a2 += 4;
      a3 += 4;
      a4 += 4;
      a5 += 4;
      b += strideB;
    } while (--depth != 0);
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += strideC;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += strideC;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += strideC;
  v128.store(c, c30);
  v128.store(c, c31, 16);
  c += strideC;
  v128.store(c, c40);
  v128.store(c, c41, 16);
  c += strideC;
  v128.store(c, c50);
  v128.store(c, c51, 16);
}

/** The same for four rows and eight columns. */
export function narrowTile(
  depth: i32, b: usize, a: usize, c: usize, strideC: usize, fresh: bool, strideA: usize, strideB: usize,
): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  if (!fresh) {
    let row = c;
    c00 = v128.load(row);
    c01 = v128.load(row, 16);
    row += strideC;
    c10 = v128.load(row);
    c11 = v128.load(row, 16);
    row += strideC;
    c20 = v128.load(row);
    c21 = v128.load(row, 16);
    row += strideC;
    c30 = v128.load(row);
    c31 = v128.load(row, 16);
  }
  let a1 = a + strideA;
  let a2 = a1 + strideA;
  let a3 = a2 + strideA;
  if (depth > 0) {
    do {
      const b1 = v128.load(b, 16);
      const b0 = v128.load(b);
      let row = v128.load32_splat(a3);
      c31 = multiplyAdd(c31, row, b1);
      c30 = multiplyAdd(c30, row, b0);
      row = v128.load32_splat(a2);
      c21 = multiplyAdd(c21, row, b1);
      c20 = multiplyAdd(c20, row, b0);
      row = v128.load32_splat(a1);
      c11 = multiplyAdd(c11, row, b1);
      c10 = multiplyAdd(c10, row, b0);
      row = v128.load32_splat(a);
      c01 = multiplyAdd(c01, row, b1);
      c00 = multiplyAdd(c00, row, b0);
      a += 4;
      a1 += 4;
      a2 += 4;
      a3 += 4;
      b += strideB;
    } while (--depth != 0);
  }
  v128.store(c, c00);
  v128.store(c, c01, 16);
  c += strideC;
  v128.store(c, c10);
  v128.store(c, c11, 16);
  c += strideC;
  v128.store(c, c20);
  v128.store(c, c21, 16);
  c += strideC;
  v128.store(c, c30);
  v128.store(c, c31, 16);
}

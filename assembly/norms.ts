/**
 * RMS and layer normalisation along rows of `width` elements, with the operations of src/core/derived/norms.ts in their
 * order. A sum along a row runs in the lane order over terms that were stored before: the row of the result holds them
 * until it is overwritten. Where x̂ or g = dy·weight is needed twice it is computed twice, with the same bits.
 *
 * Each pass over a row is a loop over whole vectors and one part; its formula is a function of the elements that are
 * left, so that it stands once.
 */
import { at, load4, store4, sumLanes, sumOfProducts } from './lanes';

/** 1/√(square + ε). */
@inline
function inverseRoot(square: f32, epsilon: f32): f32 {
  return <f32>1 / sqrt<f32>(square + epsilon);
}

/** x̂ = (x − mean)·inverse. */
@inline
function centredAndScaled(x: v128, mean: v128, inverse: v128): v128 {
  return f32x4.mul(f32x4.sub(x, mean), inverse);
}

@inline
function product(a: usize, b: usize, left: i32): v128 {
  return f32x4.mul(load4(a, left), load4(b, left));
}

/** y = x̂·weight with x̂ = x·inverse, inverse = 1/√(mean(x²) + ε). The range is one of rows. */
export function rmsNorm(
  begin: i32, end: i32, width: i32, x: usize, weight: usize, epsilon: f32, y: usize, inverse: usize,
): void {
  for (let row = begin; row < end; row++) {
    const from = at(x, row * width);
    const to = at(y, row * width);
    const root = inverseRoot(sumOfProducts(from, from, width) / <f32>width, epsilon);
    store<f32>(at(inverse, row), root);
    const roots = f32x4.splat(root);
    let i = 0;
    for (; i + 4 <= width; i += 4) rmsScale(at(from, i), roots, at(weight, i), at(to, i), 4);
    if (i < width) rmsScale(at(from, i), roots, at(weight, i), at(to, i), width - i);
  }
}

@inline
function rmsScale(x: usize, inverse: v128, weight: usize, y: usize, left: i32): void {
  store4(y, f32x4.mul(f32x4.mul(load4(x, left), inverse), load4(weight, left)), left);
}

/** dx = (g − x̂·mean(g·x̂))·inverse with g = dy·weight. The range is one of rows. */
export function rmsNormInput(
  begin: i32, end: i32, width: i32, dy: usize, x: usize, inverse: usize, weight: usize, dx: usize,
): void {
  for (let row = begin; row < end; row++) {
    const gradient = at(dy, row * width);
    const from = at(x, row * width);
    const to = at(dx, row * width);
    const roots = v128.load32_splat(at(inverse, row));
    let i = 0;
    for (; i + 4 <= width; i += 4) rmsTerm(at(gradient, i), at(weight, i), at(from, i), roots, at(to, i), 4);
    if (i < width) rmsTerm(at(gradient, i), at(weight, i), at(from, i), roots, at(to, i), width - i);
    const along = f32x4.splat(sumLanes(to, width) / <f32>width);
    for (i = 0; i + 4 <= width; i += 4) {
      rmsProject(at(gradient, i), at(weight, i), at(from, i), roots, along, at(to, i), 4);
    }
    if (i < width) rmsProject(at(gradient, i), at(weight, i), at(from, i), roots, along, at(to, i), width - i);
  }
}

/** g·x̂ */
@inline
function rmsTerm(dy: usize, weight: usize, x: usize, inverse: v128, out: usize, left: i32): void {
  store4(out, f32x4.mul(product(dy, weight, left), f32x4.mul(load4(x, left), inverse)), left);
}

/** (g − x̂·along)·inverse */
@inline
function rmsProject(dy: usize, weight: usize, x: usize, inverse: v128, along: v128, out: usize, left: i32): void {
  const removed = f32x4.mul(f32x4.mul(load4(x, left), inverse), along);
  store4(out, f32x4.mul(f32x4.sub(product(dy, weight, left), removed), inverse), left);
}

/** ∂weight = Σ dy·x̂ over the rows in order, x̂ = x·inverse. The range is one of columns. */
export function rmsNormWeight(
  begin: i32, end: i32, rows: i32, width: i32, dy: usize, x: usize, inverse: usize, out: usize,
): void {
  memory.fill(at(out, begin), 0, <usize>(end - begin) << 2);
  for (let row = 0; row < rows; row++) {
    const gradient = at(dy, row * width);
    const from = at(x, row * width);
    const roots = v128.load32_splat(at(inverse, row));
    let j = begin;
    for (; j + 4 <= end; j += 4) rmsAddTerm(at(gradient, j), at(from, j), roots, at(out, j), 4);
    if (j < end) rmsAddTerm(at(gradient, j), at(from, j), roots, at(out, j), end - j);
  }
}

@inline
function rmsAddTerm(dy: usize, x: usize, inverse: v128, out: usize, left: i32): void {
  const term = f32x4.mul(load4(dy, left), f32x4.mul(load4(x, left), inverse));
  store4(out, f32x4.add(load4(out, left), term), left);
}

/** y = x̂·weight + bias, x̂ = (x − mean)·inverse, inverse = 1/√(mean((x − mean)²) + ε). The range is one of rows. */
export function layerNorm(
  begin: i32, end: i32, width: i32,
  x: usize, weight: usize, bias: usize, epsilon: f32, y: usize, mean: usize, inverse: usize,
): void {
  for (let row = begin; row < end; row++) {
    const from = at(x, row * width);
    const to = at(y, row * width);
    const average = sumLanes(from, width) / <f32>width;
    store<f32>(at(mean, row), average);
    const means = f32x4.splat(average);
    let i = 0;
    for (; i + 4 <= width; i += 4) centre(at(from, i), means, at(to, i), 4);
    if (i < width) centre(at(from, i), means, at(to, i), width - i);
    const root = inverseRoot(sumOfProducts(to, to, width) / <f32>width, epsilon);
    store<f32>(at(inverse, row), root);
    const roots = f32x4.splat(root);
    for (i = 0; i + 4 <= width; i += 4) layerScale(at(to, i), roots, at(weight, i), at(bias, i), 4);
    if (i < width) layerScale(at(to, i), roots, at(weight, i), at(bias, i), width - i);
  }
}

@inline
function centre(x: usize, mean: v128, out: usize, left: i32): void {
  store4(out, f32x4.sub(load4(x, left), mean), left);
}

/** A centred row in place: times inverse, times weight, plus bias. */
@inline
function layerScale(row: usize, inverse: v128, weight: usize, bias: usize, left: i32): void {
  const scaled = f32x4.mul(f32x4.mul(load4(row, left), inverse), load4(weight, left));
  store4(row, f32x4.add(scaled, load4(bias, left)), left);
}

/** dx = (g − mean(g) − x̂·mean(g·x̂))·inverse with g = dy·weight. The range is one of rows. */
export function layerNormInput(
  begin: i32, end: i32, width: i32,
  dy: usize, x: usize, mean: usize, inverse: usize, weight: usize, dx: usize,
): void {
  for (let row = begin; row < end; row++) {
    const gradient = at(dy, row * width);
    const from = at(x, row * width);
    const to = at(dx, row * width);
    const means = v128.load32_splat(at(mean, row));
    const roots = v128.load32_splat(at(inverse, row));
    let i = 0;
    for (; i + 4 <= width; i += 4) v128.store(at(to, i), product(at(gradient, i), at(weight, i), 4));
    if (i < width) store4(at(to, i), product(at(gradient, i), at(weight, i), width - i), width - i);
    const meanG = f32x4.splat(sumLanes(to, width) / <f32>width);
    for (i = 0; i + 4 <= width; i += 4) layerTerm(at(to, i), at(from, i), means, roots, 4);
    if (i < width) layerTerm(at(to, i), at(from, i), means, roots, width - i);
    const along = f32x4.splat(sumLanes(to, width) / <f32>width);
    for (i = 0; i + 4 <= width; i += 4) {
      layerProject(at(gradient, i), at(weight, i), at(from, i), means, roots, meanG, along, at(to, i), 4);
    }
    if (i < width) {
      layerProject(at(gradient, i), at(weight, i), at(from, i), means, roots, meanG, along, at(to, i), width - i);
    }
  }
}

/** g·x̂ in place of g. */
@inline
function layerTerm(row: usize, x: usize, mean: v128, inverse: v128, left: i32): void {
  store4(row, f32x4.mul(load4(row, left), centredAndScaled(load4(x, left), mean, inverse)), left);
}

/** ((g − mean(g)) − x̂·along)·inverse */
@inline
function layerProject(
  dy: usize, weight: usize, x: usize, mean: v128, inverse: v128, meanG: v128, along: v128, out: usize, left: i32,
): void {
  const centred = f32x4.sub(product(dy, weight, left), meanG);
  const removed = f32x4.mul(centredAndScaled(load4(x, left), mean, inverse), along);
  store4(out, f32x4.mul(f32x4.sub(centred, removed), inverse), left);
}

/** ∂weight = Σ dy·x̂ over the rows in order, x̂ = (x − mean)·inverse. The range is one of columns. */
export function layerNormWeight(
  begin: i32, end: i32, rows: i32, width: i32, dy: usize, x: usize, mean: usize, inverse: usize, out: usize,
): void {
  memory.fill(at(out, begin), 0, <usize>(end - begin) << 2);
  for (let row = 0; row < rows; row++) {
    const gradient = at(dy, row * width);
    const from = at(x, row * width);
    const means = v128.load32_splat(at(mean, row));
    const roots = v128.load32_splat(at(inverse, row));
    let j = begin;
    for (; j + 4 <= end; j += 4) layerAddTerm(at(gradient, j), at(from, j), means, roots, at(out, j), 4);
    if (j < end) layerAddTerm(at(gradient, j), at(from, j), means, roots, at(out, j), end - j);
  }
}

@inline
function layerAddTerm(dy: usize, x: usize, mean: v128, inverse: v128, out: usize, left: i32): void {
  const term = f32x4.mul(load4(dy, left), centredAndScaled(load4(x, left), mean, inverse));
  store4(out, f32x4.add(load4(out, left), term), left);
}

/**
 * Element-wise kernels over broadcast operands. A result of any shape is seen as rows of `columns` elements; an operand
 * goes on by `row` elements from one row to the next and by `step` (0 or 1) from one column to the next, so that the
 * steps of 0 are what broadcasts. An operand at address 0 is the number beside it, the same everywhere.
 *
 * Each element is one f32 operation, rounded once. The range is one of elements.
 */
import { erf4, exp4, log4, tanh4 } from './elementary';
import { at, load4, loadPart, store4, storePart } from './lanes';

const ADD = 0;
const SUB = 1;
const MUL = 2;
const DIV = 3;
const MAX = 4;
const GREATER = 5;

/** One operation on four lanes; `op` is a constant, so that one branch remains. */
@inline
function combine(op: i32, a: v128, b: v128): v128 {
  if (op == ADD) return f32x4.add(a, b);
  if (op == SUB) return f32x4.sub(a, b);
  if (op == MUL) return f32x4.mul(a, b);
  if (op == DIV) return f32x4.div(a, b);
  if (op == MAX) return f32x4.max(a, b);
  return v128.and(f32x4.gt(a, b), f32x4.splat(1));
}

/** An operand that is the same along a row. */
@inline
function repeated(x: usize, number: f32): v128 {
  return x == 0 ? f32x4.splat(number) : v128.load32_splat(x);
}

/** `count` elements of one row. */
@inline
function span(
  op: i32, count: i32, a: usize, aStep: i32, aNumber: f32, b: usize, bStep: i32, bNumber: f32, out: usize,
): void {
  const end = at(out, count & ~3);
  const left = count & 3;
  if (aStep & bStep) {
    for (; out < end; a += 16, b += 16, out += 16) v128.store(out, combine(op, v128.load(a), v128.load(b)));
    if (left) storePart(out, combine(op, loadPart(a, left), loadPart(b, left)), left);
  } else if (aStep) {
    const same = repeated(b, bNumber);
    for (; out < end; a += 16, out += 16) v128.store(out, combine(op, v128.load(a), same));
    if (left) storePart(out, combine(op, loadPart(a, left), same), left);
  } else {
    const same = repeated(a, aNumber);
    if (!bStep) {
      storePart(out, combine(op, same, repeated(b, bNumber)), 1); // the result has one column
      return;
    }
    for (; out < end; b += 16, out += 16) v128.store(out, combine(op, same, v128.load(b)));
    if (left) storePart(out, combine(op, same, loadPart(b, left)), left);
  }
}

/** Elements begin … end − 1 of the result, row by row. */
@inline
function binary(
  op: i32, begin: i32, end: i32, columns: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  while (begin < end) {
    const row = begin / columns;
    const column = begin - row * columns;
    const count = min(columns - column, end - begin);
    const left = at(a, row * aRow + column * aStep);
    const right = at(b, row * bRow + column * bStep);
    span(op, count, left, aStep, aNumber, right, bStep, bNumber, at(out, begin));
    begin += count;
  }
}

/** a + b. */
export function add(
  begin: i32, end: i32, columns: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  binary(ADD, begin, end, columns, a, aRow, aStep, aNumber, b, bRow, bStep, bNumber, out);
}

/** a − b. */
export function sub(
  begin: i32, end: i32, columns: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  binary(SUB, begin, end, columns, a, aRow, aStep, aNumber, b, bRow, bStep, bNumber, out);
}

/** a · b. */
export function mul(
  begin: i32, end: i32, columns: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  binary(MUL, begin, end, columns, a, aRow, aStep, aNumber, b, bRow, bStep, bNumber, out);
}

/** a / b. */
export function div(
  begin: i32, end: i32, columns: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  binary(DIV, begin, end, columns, a, aRow, aStep, aNumber, b, bRow, bStep, bNumber, out);
}

/** The larger; NaN if either is NaN, +0 above −0. */
export function max(
  begin: i32, end: i32, columns: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  binary(MAX, begin, end, columns, a, aRow, aStep, aNumber, b, bRow, bStep, bNumber, out);
}

/** 1 where a > b, else 0; 0 where either is NaN. */
export function greater(
  begin: i32, end: i32, columns: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  binary(GREATER, begin, end, columns, a, aRow, aStep, aNumber, b, bRow, bStep, bNumber, out);
}

/** a where mask ≠ 0, else b. */
export function where(
  begin: i32, end: i32, columns: i32,
  mask: usize, maskRow: i32, maskStep: i32,
  a: usize, aRow: i32, aStep: i32, aNumber: f32,
  b: usize, bRow: i32, bStep: i32, bNumber: f32,
  out: usize,
): void {
  const zero = i32x4.splat(0);
  while (begin < end) {
    const row = begin / columns;
    const column = begin - row * columns;
    const count = min(columns - column, end - begin);
    const m = at(mask, row * maskRow + column * maskStep);
    const p = at(a, row * aRow + column * aStep);
    const q = at(b, row * bRow + column * bStep);
    const to = at(out, begin);
    for (let i = 0; i < count; i += 4) {
      const left = count - i;
      const chosen = maskStep ? load4(at(m, i), left) : v128.load32_splat(m);
      const yes = aStep ? load4(at(p, i), left) : repeated(p, aNumber);
      const no = bStep ? load4(at(q, i), left) : repeated(q, bNumber);
      store4(at(to, i), v128.bitselect(yes, no, f32x4.ne(chosen, zero)), left);
    }
    begin += count;
  }
}

const NEG = 0;
const SQRT = 1;
const EXP = 2;
const LOG = 3;
const TANH = 4;
const ERF = 5;

@inline
function apply(f: i32, x: v128): v128 {
  if (f == NEG) return f32x4.neg(x);
  if (f == SQRT) return f32x4.sqrt(x);
  if (f == EXP) return exp4(x);
  if (f == LOG) return log4(x);
  if (f == TANH) return tanh4(x);
  return erf4(x);
}

@inline
function unary(f: i32, begin: i32, end: i32, x: usize, out: usize): void {
  const left = (end - begin) & 3;
  const last = at(x, end - left);
  let from = at(x, begin);
  let to = at(out, begin);
  for (; from < last; from += 16, to += 16) v128.store(to, apply(f, v128.load(from)));
  if (left) storePart(to, apply(f, loadPart(from, left)), left);
}

export function neg(begin: i32, end: i32, x: usize, out: usize): void {
  unary(NEG, begin, end, x, out);
}

export function sqrt(begin: i32, end: i32, x: usize, out: usize): void {
  unary(SQRT, begin, end, x, out);
}

export function exp(begin: i32, end: i32, x: usize, out: usize): void {
  unary(EXP, begin, end, x, out);
}

export function log(begin: i32, end: i32, x: usize, out: usize): void {
  unary(LOG, begin, end, x, out);
}

export function tanh(begin: i32, end: i32, x: usize, out: usize): void {
  unary(TANH, begin, end, x, out);
}

export function erf(begin: i32, end: i32, x: usize, out: usize): void {
  unary(ERF, begin, end, x, out);
}

/** One number everywhere. */
export function fill(begin: i32, end: i32, value: f32, out: usize): void {
  const values = f32x4.splat(value);
  for (let i = begin; i < end; i += 4) store4(at(out, i), values, end - i);
}

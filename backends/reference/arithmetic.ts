/**
 * The two arithmetics of the reference. One text of loops serves both: in f64 `round` does nothing, in f32 it is
 * `Math.fround`, applied after every single operation, so that each result is the correctly rounded one of f32.
 */
import type { FloatType } from '../../src/spec/dtype.ts';
import { type Elementary, elementary32, elementary64 } from '../../src/spec/elementary/index.ts';

export interface Arithmetic {
  readonly float: FloatType;
  readonly round: (x: number) => number;
  readonly functions: Elementary;
}

export const f64Arithmetic: Arithmetic = { float: 'f64', round: (x) => x, functions: elementary64 };
export const f32Arithmetic: Arithmetic = { float: 'f32', round: Math.fround, functions: elementary32 };

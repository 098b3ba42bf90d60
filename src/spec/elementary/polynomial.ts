/**
 * Polynomials in Horner order. A table holds the coefficients from z^0 up.
 *
 * Law: c₀ + z·(c₁ + z·(c₂ + …)), from the inside out, with one rounding for each multiply and each add.
 */
const f = Math.fround;

/** The polynomial in f64 arithmetic. `coefficients` is not empty. */
export const polynomial64 = (coefficients: readonly number[], z: number): number => {
  let sum = coefficients[coefficients.length - 1] as number;
  for (let i = coefficients.length - 2; i >= 0; i--) sum = sum * z + (coefficients[i] as number);
  return sum;
};

/** The polynomial in f32 arithmetic: z and the coefficients are f32 numbers. `coefficients` is not empty. */
export const polynomial32 = (coefficients: readonly number[], z: number): number => {
  let sum = coefficients[coefficients.length - 1] as number;
  for (let i = coefficients.length - 2; i >= 0; i--) sum = f(f(sum * z) + (coefficients[i] as number));
  return sum;
};

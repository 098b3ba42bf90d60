/** Units in the last place, for measuring errors. Independent of the sources under test. */
const view = new DataView(new ArrayBuffer(8));

const exponentField = (x: number): number => {
  view.setFloat64(0, x);
  return (view.getUint16(0) >> 4) & 0x7ff;
};

const ulpOf = (x: number, fractionBits: number, lowestExponent: number): number =>
  2 ** (Math.max(exponentField(x) - 1023, lowestExponent) - fractionBits);

/** The spacing of f64 numbers at x, finite. */
export const ulp64 = (x: number): number => ulpOf(x, 52, -1022);

/** The spacing of f32 numbers at x, finite. */
export const ulp32 = (x: number): number => ulpOf(x, 23, -126);

/** The f32 number with these bits. */
export const f32OfBits = (bits: number): number => {
  view.setUint32(0, bits);
  return view.getFloat32(0);
};

/** The bits of an f32 number. */
export const bitsOfF32 = (x: number): number => {
  view.setFloat32(0, x);
  return view.getUint32(0);
};

/**
 * Rotary positions, with the operations of src/core/derived/rope.ts. The range is one of rows of `2·half` elements, the
 * heads of one token after the other, the tokens of one sequence after the other; each token has a row of the tables, that
 * of its place in the sequence, or where `places` is not 0 the one that it says.
 * `direction` is 1, or −1 to turn back.
 */
import { at, load4, store4 } from './lanes';

export function rope(
  begin: i32, end: i32, tokens: i32, heads: i32, half: i32, direction: f32, x: usize, cos: usize, sin: usize,
  places: usize, y: usize,
): void {
  const turn = f32x4.splat(direction);
  for (let row = begin; row < end; row++) {
    const first = row * half * 2;
    const token = row / heads;
    const position = (places ? load<i32>(at(places, token)) : token % tokens) * half;
    for (let i = 0; i < half; i += 4) {
      const left = half - i;
      const c = load4(at(cos, position + i), left);
      const s = f32x4.mul(load4(at(sin, position + i), left), turn);
      const x1 = load4(at(x, first + i), left);
      const x2 = load4(at(x, first + half + i), left);
      store4(at(y, first + i), f32x4.sub(f32x4.mul(x1, c), f32x4.mul(x2, s)), left);
      store4(at(y, first + half + i), f32x4.add(f32x4.mul(x2, c), f32x4.mul(x1, s)), left);
    }
  }
}

/**
 * PaCA's partial connections, added to a weight while it is packed: W̃ = fl(widen(W) + fl(s·δ)), in the packed block
 * only. The weight itself is never written, and W̃ exists nowhere as a whole.
 *
 * A record is { indices: i32[rank], delta: f32[out, rank], rank, scale }: two addresses, an i32 and an f32. Records are
 * taken in list order, so that columns which several adapters chose take their deltas in that order.
 */
import { at } from './lanes';

const RECORD_BYTES = 16;

/** The address of (column, step) in a packed block of B: panels of 16 columns, `depth` steps each. */
@inline
function placeInBlock(block: usize, depth: i32, column: i32, step: i32): usize {
  return at(block, (column & ~15) * depth + (step << 4) + (column & 15));
}

@inline
function addTo(place: usize, scale: f32, delta: usize): void {
  store<f32>(place, load<f32>(place) + scale * load<f32>(delta));
}

/** The weight is B transposed, `[n, k]`: the chosen columns are steps of k, and each has a δ for every column of B. */
function connectSteps(record: usize, column: i32, columns: i32, step: i32, depth: i32, block: usize): void {
  const indices = <usize>load<u32>(record);
  const rank = load<i32>(record, 8);
  const scale = load<f32>(record, 12);
  let delta = <usize>load<u32>(record, 4) + (<usize>column * <usize>rank << 2);
  for (let j = 0; j < columns; j++, delta += <usize>rank << 2) {
    for (let r = 0; r < rank; r++) {
      const chosen = load<i32>(at(indices, r)) - step;
      if (<u32>chosen < <u32>depth) addTo(placeInBlock(block, depth, j, chosen), scale, at(delta, r));
    }
  }
}

/** The weight is B, `[k, n]`: the chosen columns are columns of B, and each has a δ for every step of k. */
function connectColumns(record: usize, column: i32, columns: i32, step: i32, depth: i32, block: usize): void {
  const indices = <usize>load<u32>(record);
  const rank = load<i32>(record, 8);
  const scale = load<f32>(record, 12);
  const delta = <usize>load<u32>(record, 4) + (<usize>step * <usize>rank << 2);
  for (let r = 0; r < rank; r++) {
    const chosen = load<i32>(at(indices, r)) - column;
    if (<u32>chosen >= <u32>columns) continue;
    let place = placeInBlock(block, depth, chosen, 0);
    let from = at(delta, r);
    for (let s = 0; s < depth; s++, place += 64, from += <usize>rank << 2) addTo(place, scale, from);
  }
}

/** Adds `count` records to a packed block of B: columns `column` …, steps of k `step` …. */
export function connect(
  transposed: bool, records: usize, count: i32, column: i32, columns: i32, step: i32, depth: i32, block: usize,
): void {
  for (let i = 0; i < count; i++, records += RECORD_BYTES) {
    if (transposed) connectSteps(records, column, columns, step, depth, block);
    else connectColumns(records, column, columns, step, depth, block);
  }
}

/**
 * What two choices of columns have in common, and how much of a statistic a choice captures.
 *
 * Laws: `overlap(a, a)` is 1, and `overlap` of two draws of r of n columns is r/n in the mean; the shares of a choice and of
 * the columns that it leaves add up to 1.
 */

/** Columns by module path. */
export type Chosen = Readonly<Record<string, Int32Array>>;

/** The share of the first choice's columns that the second chose too, over all modules: from 0 to 1. */
export const overlap = (first: Chosen, second: Chosen): number => {
  let [common, all] = [0, 0];
  for (const [path, indices] of Object.entries(first)) {
    const others = new Set(second[path]);
    common += indices.filter((index) => others.has(index)).length;
    all += indices.length;
  }
  return common / all;
};

/** What two independent draws would share: Σ r over Σ n weighted by r, with the columns n of each module. */
export const overlapByChance = (chosen: Chosen, columns: Readonly<Record<string, number>>): number => {
  let [common, all] = [0, 0];
  for (const [path, { length }] of Object.entries(chosen)) {
    common += (length * length) / columns[path]!;
    all += length;
  }
  return common / all;
};

const square = (x: number): number => x * x;

/** Σ norm² of the chosen columns over Σ norm² of all, the modules together: from 0 to 1; NaN where every norm is 0. */
export const capturedShare = (chosen: Chosen, norms: Readonly<Record<string, Float64Array>>): number => {
  let [captured, all] = [0, 0];
  for (const [path, indices] of Object.entries(chosen)) {
    for (const index of indices) captured += square(norms[path]![index] as number);
    for (const norm of norms[path]!) all += square(norm);
  }
  return captured / all;
};

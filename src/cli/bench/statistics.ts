/** What is told of repeated measurements. */

/** The middle value; of an even number the upper one. */
export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

export const round = (x: number, digits: number): number => Number(x.toFixed(digits));

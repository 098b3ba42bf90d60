/** What is told of repeated measurements. */

/** The middle value; of an even number, the mean of the two in the middle. */
export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const { length } = sorted;
  const [low = Number.NaN, high = Number.NaN] = [sorted[(length - 1) >> 1], sorted[length >> 1]];
  return (low + high) / 2;
};

export const round = (x: number, digits: number): number => Number(x.toFixed(digits));

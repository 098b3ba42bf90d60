/**
 * What NF4 costs, and what tuning takes back of it. With L a loss in nats a token, of the base as it is (b) and tuned (t), over 16
 * bits (16) and in NF4 (4):
 *
 *   before    = L_b4 − L_b16
 *   after     = L_t4 − L_t16               at equal method
 *   recovered = (L_b4 − L_t4) / before     1: as good as the 16-bit base; below 0: worse than NF4 untuned
 *   closed    = 1 − after / before         1: the method loses nothing by NF4; below 0: it loses more than the base did
 *
 * Where NF4 costs nothing (before ≤ 0) there are no shares of it.
 */
export interface Gap {
  readonly before: number;
  readonly after: number;
  readonly recovered: number | null;
  readonly closed: number | null;
}

/** Losses over 16 bits and in NF4. */
export interface Both {
  readonly wide: number;
  readonly nf4: number;
}

export const gapOf = (untuned: Both, tuned: Both): Gap => {
  const [before, after] = [untuned, tuned].map(({ wide, nf4 }) => nf4 - wide) as [number, number];
  const isCost = before > 0;
  return {
    ...{ before, after },
    recovered: isCost ? (untuned.nf4 - tuned.nf4) / before : null,
    closed: isCost ? 1 - after / before : null,
  };
};

/**
 * Learning-rate schedules: pure functions of the step, counted from 0, in f64 on the host; the result is rounded once
 * when a kernel takes it.
 */
import { elementary64 } from '../spec/elementary/index.ts';

export type Schedule = (step: number) => number;

export const constant =
  (rate: number): Schedule =>
  () =>
    rate;

/** From `from` at step 0 to `to` at step `steps`, then constant. */
export const linear =
  (from: number, to: number, steps: number): Schedule =>
  (step) =>
    from + (to - from) * progress(step, steps);

/** From `from` to `to` along half a cosine (Loshchilov & Hutter 2017, without restarts), then constant. */
export const cosine =
  (from: number, to: number, steps: number): Schedule =>
  (step) =>
    to + (from - to) * 0.5 * (1 + elementary64.cos(Math.PI * progress(step, steps)));

/**
 * Rises linearly over the first `steps` steps to where `after` begins; `after` counts from then on.
 *
 * @example
 * ```ts
 * import { cosine, warmUp } from 'paca-ts';
 *
 * const rate = warmUp(2, cosine(0.1, 0, 4));
 * [0, 1, 2, 4, 6].map(rate); // => [0.05, 0.1, 0.1, 0.05, 0]
 * ```
 */
export const warmUp =
  (steps: number, after: Schedule): Schedule =>
  (step) =>
    step < steps ? (after(0) * (step + 1)) / steps : after(step - steps);

const progress = (step: number, steps: number): number => (steps <= 0 ? 1 : Math.min(Math.max(step / steps, 0), 1));

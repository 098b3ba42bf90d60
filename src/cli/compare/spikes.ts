/** Spikes of a training loss: how unsteady a run was. */
import { median } from '../bench/statistics.ts';

/** How many losses before it one is held against. */
const WINDOW = 16;

/** How many standard deviations above their median make a spike. */
const DEVIATIONS = 4;

/** The standard deviation of normal numbers, in units of their median distance from their median. */
const NORMAL = 1.4826;

/**
 * How many losses lie above the median of the {@link WINDOW} before them by more than {@link DEVIATIONS} standard deviations. These
 * are told from the median distance from the median (Hampel 1974), so that one spike does not hide the next. The first
 * {@link WINDOW} are held against nothing.
 */
export const spikesIn = (losses: readonly number[]): number =>
  losses.filter((loss, i) => {
    if (i < WINDOW) return false;
    const before = losses.slice(i - WINDOW, i);
    const middle = median(before);
    return loss > middle + DEVIATIONS * NORMAL * median(before.map((x) => Math.abs(x - middle)));
  }).length;

/**
 * One line of progress on a terminal, redrawn in place:
 *
 *     ━━━━━━━━━━━━━━━━────────  1,340/2,000  loss 0.4321  38.2 steps/s  ETA 0:17
 *
 * The state and the time are passed in and the line is a pure function of them; writing it is the only effect.
 *
 * Laws: nothing is written where the writer is no terminal; two lines are at least 100 ms apart, but the last step is
 * always shown; no line reaches the terminal's last column (it would wrap); `endProgress` leaves the line blank.
 */
import { formatCount } from './format.ts';

/** What is needed of a stream such as `process.stderr`. */
export interface ProgressWriter {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  readonly write: (text: string) => unknown;
}

export interface ProgressState {
  readonly total: number;
  /** The step and time (ms) at which this run began: the rate is counted from here, also after a resume. */
  readonly firstStep: number;
  readonly startedAt: number;
  /** When a line was last written; absent while none is on the terminal. */
  readonly shownAt: number | undefined;
}

export interface ProgressUpdate {
  /** Steps done, of `total`. */
  readonly step: number;
  readonly loss?: number | undefined;
}

const interval = 100;
const longestBar = 24;
const shortestBar = 8;
const clearLine = '\r\u001b[2K';

/** A run of `total` steps that starts (or resumes) at `firstStep`; `now` in milliseconds. */
export const startProgress = (total: number, now: number, firstStep = 0): ProgressState => ({
  total,
  firstStep,
  startedAt: now,
  shownAt: undefined,
});

/** `0:17`, `12:03`, `1:02:03`; `-:--` where it is not known. */
const clock = (seconds: number): string => {
  if (!Number.isFinite(seconds)) return '-:--';
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (n: number): string => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
};

const showRate = (perSecond: number): string =>
  perSecond >= 100 ? formatCount(perSecond) : perSecond.toFixed(perSecond >= 10 ? 1 : 2);

const bar = (fraction: number, width: number): string => {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return '━'.repeat(full) + '─'.repeat(width - full);
};

/** The line, in at most `columns` − 1 columns: the bar shrinks first, then goes, then fields go from the right. */
export const progressLine = (state: ProgressState, update: ProgressUpdate, now: number, columns: number): string => {
  const seconds = (now - state.startedAt) / 1000;
  const done = update.step - state.firstStep;
  const rate = seconds > 0 && done > 0 ? done / seconds : Number.NaN;
  const fields = [
    `${formatCount(update.step)}/${formatCount(state.total)}`,
    ...(update.loss === undefined ? [] : [`loss ${update.loss.toFixed(4)}`]),
    ...(Number.isNaN(rate) ? [] : [`${showRate(rate)} steps/s`]),
    `ETA ${clock((state.total - update.step) / rate)}`,
  ];
  const room = columns - 1;
  const fitting = fields.filter((_, i) => fields.slice(0, i + 1).join('  ').length <= room).join('  ');
  const width = Math.min(longestBar, room - fitting.length - 2);
  return width < shortestBar ? fitting : `${bar(update.step / state.total, width)}  ${fitting}`;
};

/** Draws the line where it is due; returns the state for the next call. `now` in milliseconds. */
export const showProgress = (
  writer: ProgressWriter,
  state: ProgressState,
  update: ProgressUpdate,
  now: number,
): ProgressState => {
  const due = state.shownAt === undefined || now - state.shownAt >= interval || update.step >= state.total;
  if (writer.isTTY !== true || !due) return state;
  writer.write(clearLine + progressLine(state, update, now, writer.columns ?? 80));
  return { ...state, shownAt: now };
};

/** Clears the line, if there is one: also before anything else is printed to the same terminal. */
export const endProgress = (writer: ProgressWriter, state: ProgressState): ProgressState => {
  if (writer.isTTY !== true || state.shownAt === undefined) return state;
  writer.write(clearLine);
  return { ...state, shownAt: undefined };
};

/** A progress line that follows a run's steps; it leaves nothing behind. */
import type { World } from '../command.ts';
import { endProgress, type ProgressState, showProgress, startProgress } from './progress.ts';

export interface ProgressReader {
  readonly step: (step: number, total: number, loss: number) => void;
  readonly end: () => void;
}

export const progressReader = ({ terminal, clock }: World, firstStep = 0): ProgressReader => {
  let state: ProgressState | null = null;
  return {
    step: (step, total, loss) => {
      state = showProgress(terminal, state ?? startProgress(total, clock(), firstStep), { step, loss }, clock());
    },
    end: () => {
      if (state !== null) state = endProgress(terminal, state);
    },
  };
};

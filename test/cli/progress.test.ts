/**
 * The progress line: silent off a terminal, throttled on one, gone at the end.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  endProgress,
  type ProgressUpdate,
  type ProgressWriter,
  progressLine,
  showProgress,
  startProgress,
} from '../../src/cli/show/progress.ts';
import { displayWidth } from '../../src/cli/show/table.ts';

const clear = '\r\u001b[2K';

const recorder = (isTTY: boolean | undefined, columns?: number) => {
  const written: string[] = [];
  const writer: ProgressWriter = { isTTY, columns, write: (text) => written.push(text) };
  return { written, writer };
};

/** Shows one update after another at the given times. */
const play = (writer: ProgressWriter, total: number, updates: readonly (readonly [now: number, ProgressUpdate])[]) =>
  updates.reduce((state, [now, update]) => showProgress(writer, state, update, now), startProgress(total, 0));

describe('showProgress', () => {
  it('writes nothing where there is no terminal', () => {
    for (const isTTY of [false, undefined]) {
      const { written, writer } = recorder(isTTY);
      endProgress(
        writer,
        play(writer, 2, [
          [0, { step: 1 }],
          [500, { step: 2 }],
        ]),
      );
      expect(written).toEqual([]);
    }
  });

  it('writes the first and the last step, and ten times a second between', () => {
    const { written, writer } = recorder(true);
    const updates = Array.from({ length: 1000 }, (_, i) => [i, { step: i + 1 }] as const);
    play(writer, 1000, updates);
    expect(written.length).toBe(11);
    expect(written[0]).toContain(' 1/1,000 ');
    expect(written[1]).toContain(' 101/1,000 ');
    expect(written.at(-1)).toContain(' 1,000/1,000 ');
  });

  it('never writes twice within 100 ms before the end, and waits no longer than it must', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 150 }), { minLength: 1, maxLength: 60 }), (waits) => {
        const times = waits.map((_, i) => waits.slice(0, i + 1).reduce((a, b) => a + b, 0));
        const { written, writer } = recorder(true);
        const updates = times.map((now, i) => [now, { step: i }] as const);
        play(writer, 1000, updates);
        const shown = written.map((text) => times[Number(/(\d+)\/1,000/.exec(text)?.[1])] as number);
        const expected = times.reduce<readonly number[]>(
          (kept, t) => (kept.length === 0 || t - (kept.at(-1) as number) >= 100 ? [...kept, t] : kept),
          [],
        );
        expect(shown).toEqual(expected);
      }),
    );
  });

  it('redraws in place and clears at the end', () => {
    const { written, writer } = recorder(true);
    const state = play(writer, 10, [
      [0, { step: 1 }],
      [200, { step: 2 }],
    ]);
    expect(written.every((text) => text.startsWith(clear) && !text.includes('\n'))).toBe(true);
    const ended = endProgress(writer, state);
    expect(written.at(-1)).toBe(clear);
    endProgress(writer, ended);
    expect(written.length).toBe(3);
  });

  it('draws again at once after the line was cleared for another message', () => {
    const { written, writer } = recorder(true);
    const cleared = endProgress(writer, play(writer, 10, [[0, { step: 1 }]]));
    showProgress(writer, cleared, { step: 2 }, 10);
    expect(written.at(-1)).toContain('2/10');
  });

  it('fits 80 columns where the terminal does not say', () => {
    const { written, writer } = recorder(true);
    play(writer, 10, [[0, { step: 5, loss: 1 }]]);
    expect(displayWidth((written[0] as string).slice(clear.length))).toBeLessThan(80);
  });
});

describe('progressLine', () => {
  it('shows bar, step, loss, rate and time left', () => {
    const state = startProgress(2000, 1000);
    expect(progressLine(state, { step: 1500, loss: 0.43214 }, 31000, 100)).toBe(
      '━━━━━━━━━━━━━━━━━━──────  1,500/2,000  loss 0.4321  50.0 steps/s  ETA 0:10',
    );
  });

  it('counts the rate from where a run resumed', () => {
    const line = progressLine(startProgress(2000, 0, 1900), { step: 1950 }, 10000, 100);
    expect(line).toContain('5.00 steps/s  ETA 0:10');
  });

  it('does not guess before the first step', () => {
    const line = progressLine(startProgress(20, 0), { step: 0 }, 0, 100);
    expect(line).toBe(`${'─'.repeat(24)}  0/20  ETA -:--`);
  });

  it('writes long times as hours, fast rates as counts', () => {
    expect(progressLine(startProgress(3724, 0), { step: 1 }, 1000, 100)).toContain('ETA 1:02:03');
    expect(progressLine(startProgress(9000, 0), { step: 4321 }, 1000, 100)).toContain('4,321 steps/s');
  });

  it('stands a loss that is no number', () => {
    expect(progressLine(startProgress(9, 0), { step: 4, loss: Number.NaN }, 1000, 100)).toContain('loss NaN');
  });

  it('stays off the last column of any terminal, and gives up fields from the right', () => {
    fc.assert(
      fc.property(fc.nat({ max: 120 }), fc.nat({ max: 1e6 }), (columns, step) => {
        const line = progressLine(startProgress(1e6, 0), { step, loss: 1.5 }, 5000, columns);
        expect(displayWidth(line)).toBeLessThanOrEqual(Math.max(0, columns - 1));
      }),
    );
    const narrow = progressLine(startProgress(1e6, 0), { step: 1234, loss: 1.5 }, 5000, 30);
    expect(narrow).toBe('1,234/1,000,000  loss 1.5000');
  });
});

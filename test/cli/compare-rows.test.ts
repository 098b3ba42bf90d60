/** The figures of a comparison, from outcomes made up for the purpose. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Contestant, contestantsOf, firstTrials, laterSeeds } from '../../src/cli/compare/contestants.ts';
import type { Outcome } from '../../src/cli/compare/outcome.ts';
import { best, meanOf, rowOf, targetOf, untunedRow } from '../../src/cli/compare/rows.ts';
import { type Comparison, parseTextCompare } from '../../src/cli/compare/settings.ts';
import { comparisonPage, comparisonText } from '../../src/cli/compare/show.ts';
import { spikesIn } from '../../src/cli/compare/spikes.ts';
import { orThrow, showError } from '../../src/spec/errors.ts';

const comparisonOf = (more: object = {}): Comparison =>
  orThrow(parseTextCompare({ base: 'base', data: 'a.jsonl', test: 'b.jsonl', ...more }, 'config'));

const refusal = (more: object): string => {
  const parsed = parseTextCompare(JSON.parse(JSON.stringify({ base: 'base', data: 'a.jsonl', ...more })), 'config');
  return parsed._tag === 'Left' ? showError(parsed.left) : 'none';
};

describe('the contestants', () => {
  it('are each method once, PaCA once for each selection, and no tuning is none', () => {
    const names = contestantsOf(
      comparisonOf({ methods: ['none', 'full', 'lora-fa', 'paca'], selects: ['random', 'gradient'] }),
    );
    expect(names.map(({ name }) => name)).toEqual(['full', 'lora-fa', 'paca, random', 'paca, gradient']);
    expect(names.map(({ drawsLots }) => drawsLots)).toEqual([false, true, true, false]);
  });

  it('try every learning rate with one seed, and run again where lots are drawn', () => {
    const comparison = comparisonOf({ seeds: 3, rateFactors: [0.5, 2] });
    for (const contestant of contestantsOf(comparison)) {
      const trials = orThrow(firstTrials(comparison, comparison.tasks[0]!, contestant, null));
      expect(trials.map(({ factor, seed }) => [factor, seed])).toEqual([
        [0.5, 0],
        [2, 0],
      ]);
      expect(laterSeeds(comparison, contestant)).toEqual(contestant.drawsLots ? [1, 2] : []);
      expect(trials[1]!.config.learningRate).toBe(4 * trials[0]!.config.learningRate!);
    }
  });

  it('differ in what the method needs and share the rest', () => {
    const comparison = comparisonOf({ rank: 4, steps: 7, calibrationBatches: 2, methods: ['full', 'lora-fa', 'paca'] });
    const [full, frozen, , norm, gradient] = contestantsOf(comparison).map(
      (contestant) => orThrow(firstTrials(comparison, comparison.tasks[0]!, contestant, 9))[0]!.config,
    );
    expect(full).toEqual({
      base: 'base',
      data: 'a.jsonl',
      test: 'b.jsonl',
      steps: 7,
      samples: 0,
      method: 'full',
      learningRate: 0.0005,
    });
    expect(frozen).toMatchObject({ method: 'lora', freezeA: true, rank: 4, selectSeed: 0 });
    expect(norm).toMatchObject({ method: 'paca', select: 'weight-norm', rank: 9, alpha: 9 });
    expect(norm).not.toHaveProperty('calibrationBatches');
    expect(gradient).toMatchObject({ select: 'gradient', calibrationBatches: 2 });
  });

  it.each([
    [{ method: 'paca' }, "got 'method'"],
    [{ methods: ['ia3'] }, 'methods'],
    [{ methods: ['none', 'nf4'] }, "over the base of 'none'"],
    [{ methods: ['none', 'qlora'] }, "over the base of 'none'"],
    [{ methods: ['nf4', 'lora'] }, "over the base of 'nf4'"],
    [{ tasks: [] }, 'tasks'],
    [{ tasks: [{ name: 'a', data: 'x' }] }, "got 'data' beside them"],
    [
      {
        data: undefined,
        tasks: [
          { name: 'a', data: 'x' },
          { name: 'a', data: 'y' },
        ],
      },
      "'a' twice",
    ],
    [{ base: undefined }, 'a base, of the task or of all'],
    [{ data: undefined }, 'data, or tasks'],
    [{ rateFactors: [0] }, 'rateFactors'],
    [{ validation: 0 }, 'a validation part'],
    [{ batchSize: 0 }, 'batchSize'],
  ])('%j is refused', (more, message) => expect(refusal(more)).toContain(message));
});

const paca: Contestant = { name: 'paca, random', method: 'paca', select: 'random', drawsLots: true, quantised: false };

/** A run whose validation losses are these, one every ten steps of a second each. */
const outcome = (losses: readonly number[], accuracy: number, more: Partial<Outcome> = {}): Outcome =>
  ({
    trial: {
      task: { name: 'task' },
      contestant: paca,
      seed: 0,
      learningRate: 0.1,
      config: { base: 'base', data: 'a.jsonl', rank: 4 },
    },
    result: {
      lossBefore: 3,
      loss: losses.at(-1),
      metric: { before: { judged: { accuracy: 0.5 } }, after: { judged: { accuracy } } },
      trainable: 12,
      bytes: { residual: 64 },
      residualMeasured: 64,
      adapterBytes: 100,
      msPerStep: 1000,
      tokensPerSecond: 50,
      peakBytes: 2 ** 20,
      selection: { ms: 500, peakBytes: 0, batches: 0 },
    },
    curve: losses.map((loss, i) => ({ step: 10 * (i + 1), loss, seconds: 10 * (i + 1) })),
    training: losses.map((loss, i) => [i + 1, loss]),
    ownText: 2,
    ...more,
  }) as unknown as Outcome;

describe('spikes', () => {
  /** A loss that falls and swings by ± 0.01. */
  const calm = Array.from({ length: 40 }, (_, i) => 2 - i / 100 + (i % 2 === 0 ? 0.01 : -0.01));
  const at = (places: readonly number[], rise: number): number[] =>
    calm.map((loss, i) => (places.includes(i) ? loss + rise : loss));

  it('are losses far above those before them, each counted, and not its neighbours', () => {
    expect(spikesIn(calm)).toBe(0);
    expect(spikesIn(at([20], 1))).toBe(1);
    expect(spikesIn(at([20, 21, 30], 1))).toBe(3);
    expect(spikesIn(at([20], -1))).toBe(0);
  });

  it('are judged once 16 losses are known', () => {
    expect(spikesIn(at([15], 1))).toBe(0);
    expect(spikesIn(at([16], 1))).toBe(1);
    expect(spikesIn([])).toBe(0);
  });

  it('depend on neither the level nor the scale', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -50, max: 50 }), { maxLength: 60 }), fc.constantFrom(0.25, 4), (ks, c) => {
        expect(spikesIn(ks.map((x) => c * x + 8))).toBe(spikesIn(ks));
      }),
    );
  });
});

describe('a row', () => {
  const [a, b] = [outcome([2, 1.5, 1], 0.8), outcome([1.5, 1.2, 1.1], 0.9, { ownText: 2.5 })];

  it('has means and the spread of a sample', () => {
    const row = rowOf(paca, [a, b], null, 1.75);
    expect(row.valLoss).toEqual(meanOf([1, 1.1]));
    expect(row.valLoss.spread).toBeCloseTo(0.1 / Math.SQRT2, 12);
    expect(row.after!.mean).toBeCloseTo(0.85, 12);
    expect(row.forgetting!.mean).toBeCloseTo(0.5, 12);
    expect(row).toMatchObject({ before: 0.5, rank: 4, trainable: 12, seeds: [0, 0], stepsToTarget: null });
    expect(row.settings).toMatchObject({ alpha: 4, lr: 0.1 });
    expect(rowOf(paca, [a], null, null)).toMatchObject({ forgetting: null, valLoss: { mean: 1, spread: null } });
  });

  it('says when the target was reached, the choice of columns in the time', () => {
    const row = rowOf(paca, [a, b], 1.5, null);
    expect(row.stepsToTarget).toEqual(meanOf([20, 10]));
    expect(row.secondsToTarget).toEqual(meanOf([20.5, 10.5]));
    expect(rowOf(paca, [a, b], 1.05, null).stepsToTarget).toBeNull();
    expect(targetOf([a, b])).toBe(1.1);
    expect(targetOf([])).toBeNull();
  });

  it('is of the learning rate with the least validation loss', () => expect(best([b, a])).toBe(a));

  it('of no tuning is the base', () => {
    expect(untunedRow('none', a, 0)).toMatchObject({
      method: 'none',
      trainable: 0,
      valLoss: { mean: 3 },
      after: { mean: 0.5 },
    });
  });

  it('is shown in the terminal and on the page', () => {
    const rows = [
      untunedRow('none', a, 0),
      rowOf(paca, [a, b], 1.5, 1.75),
      { ...rowOf(paca, [a], null, null), task: 'other' },
    ];
    const text = comparisonText(rows, undefined);
    expect(text).toMatch(/paca, random +4 +0\.1 +12 +85\.0% ± 7\.1% +1\.0500 ± 0\.0707 +0\.500 ± 0\.354/);
    expect(text).toMatch(/right answers +task +other +average/);
    expect(text).toMatch(/\npaca, random +85\.0% +80\.0% +82\.5%/);
    expect(text).toMatch(/\nnone +50\.0% +– +–/);
    const page = comparisonPage(
      rows,
      [
        {
          task: 'task',
          name: 'paca, random',
          training: [[1, 3]],
          validation: [
            [10, 2],
            [20, 1],
          ],
        },
      ],
      { seeds: 2 },
    );
    expect(page.match(/<svg/g)?.length).toBe(2 * 4);
    expect(page).toContain('85.0% ± 7.1%');
  });
});

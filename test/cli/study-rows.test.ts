/** The figures of a study, from models made up for the purpose. */
import { describe, expect, it } from 'vitest';
import { gapOf } from '../../src/cli/study/gap.ts';
import type { Judged, Measured } from '../../src/cli/study/measure.ts';
import { studiedTask } from '../../src/cli/study/rows.ts';
import { studyPage, studyText } from '../../src/cli/study/show.ts';
import type { Report } from '../../src/cli/text/eval.ts';
import { fc } from '../support/fast-check.ts';

describe('gapOf', () => {
  it('tells what NF4 adds, and what of it is taken back', () => {
    const gap = gapOf({ wide: 2, nf4: 2.5 }, { wide: 1, nf4: 1.125 });
    expect(gap).toEqual({ before: 0.5, after: 0.125, recovered: 2.75, closed: 0.75 });
  });

  it('of a model that only gets worse is negative', () => {
    expect(gapOf({ wide: 2, nf4: 2.5 }, { wide: 2, nf4: 3 })).toMatchObject({ recovered: -1, closed: -1 });
  });

  it('has no share of nothing', () => {
    expect(gapOf({ wide: 2, nf4: 1.5 }, { wide: 1, nf4: 1 })).toMatchObject({ recovered: null, closed: null });
  });

  const loss = fc.integer({ min: 0, max: 1000 }).map((x) => x / 8);

  it('is all recovered where tuning over NF4 reaches the base, all closed where it reaches its twin', () =>
    fc.assert(
      fc.property(loss, loss, loss, (wide, more, tuned) => {
        const untuned = { wide, nf4: wide + more + 1 };
        expect(gapOf(untuned, { wide: tuned, nf4: wide }).recovered).toBe(1);
        expect(gapOf(untuned, { wide: tuned, nf4: tuned }).closed).toBe(1);
      }),
    ));
});

const reportOf = (loss: number, metrics: Report['metrics'] = {}): Report => ({
  ...{ model: 'm', adapter: null, data: 'd', reference: 'b', categories: {}, samples: 1, tokens: 1 },
  ...{ loss, perplexity: Math.exp(loss), divergence: loss / 100, metrics },
});

type About = Pick<Judged, 'base' | 'name'> & Partial<Judged>;

const judged = (about: About, onTest: number, accuracy: number, onText: number): Judged => ({
  ...{ merged: false, seed: null, layers: [], ...about },
  scores: { onTest: reportOf(onTest, { accuracy }), onText: reportOf(onText) },
});

const layer = (relative: number) => ({ name: 'w', bits: 4.25, largest: 1, relative, worstBlock: 2 * relative });

const measured: Measured = {
  task: 'mail',
  quantised: { weights: 64, bytes: 34, bits: 4.25, layers: [layer(0.1), { ...layer(0.2), name: 'v' }] },
  models: [
    judged({ base: '16-bit', name: 'none' }, 9, 0.5, 3),
    judged({ base: 'nf4', name: 'none' }, 8.5, 0.5, 3.5),
    judged({ base: '16-bit', name: 'lora', seed: 0 }, 1, 0.8, 4),
    judged({ base: '16-bit', name: 'lora', seed: 1 }, 2, 0.9, 4),
    judged({ base: 'nf4', name: 'lora', seed: 0 }, 1.5, 0.7, 4),
    judged({ base: 'nf4', name: 'lora', seed: 0, merged: true, layers: [layer(0.05)] }, 1.75, 0.7, 3.25),
  ],
};

describe('studiedTask', () => {
  const { scores, gaps, layers, ...rest } = studiedTask(measured);

  it('takes the mean over seeds', () => {
    expect(scores.map(({ name, base, merged, seeds }) => [name, base, merged, seeds])).toEqual([
      ['none', '16-bit', false, []],
      ['none', 'nf4', false, []],
      ['lora', '16-bit', false, [0, 1]],
      ['lora', 'nf4', false, [0]],
      ['lora', 'nf4', true, [0]],
    ]);
    const { onTest, onText } = scores[2]!;
    expect(onTest.loss).toEqual({ mean: 1.5, spread: Math.SQRT1_2 });
    expect(onTest.right!.mean).toBeCloseTo(0.85, 12);
    expect(onText.right).toBeNull();
    expect(onText.divergence).toEqual({ mean: 0.04, spread: 0 });
  });

  it('sets what is in NF4 beside the base and its own method over 16 bits', () => {
    expect(gaps).toEqual([
      {
        ...{ name: 'lora', base: 'nf4', merged: false },
        onTest: { before: -0.5, after: 0, recovered: null, closed: null },
        onText: { before: 0.5, after: 0, recovered: -1, closed: 1 },
      },
      {
        ...{ name: 'lora', base: 'nf4', merged: true },
        onTest: { before: -0.5, after: 0.25, recovered: null, closed: null },
        onText: { before: 0.5, after: -0.75, recovered: 0.5, closed: 2.5 },
      },
    ]);
  });

  it('tells the errors of each weight, of what was merged where an adapter changes it', () => {
    expect(layers).toEqual([
      {
        ...{ weight: 'w', bits: 4.25, relative: 0.1, worstBlock: 0.2 },
        merged: { 'lora over nf4, merged to nf4': { relative: 0.05, worstBlock: 0.1 } },
      },
      { ...{ weight: 'v', bits: 4.25, relative: 0.2, worstBlock: 0.4 }, merged: {} },
    ]);
    expect(rest).toEqual({ task: 'mail', weights: 64, bytes: 34, bits: 4.25 });
  });

  it('is shown as tables, with a dash for what there is not', () => {
    const text = studyText([{ ...rest, scores, gaps, layers }], undefined);
    expect(text).toContain('mail: 64 numbers in NF4, 4.250 bits each, 34 B\n');
    expect(text).toMatch(/\nlora over 16-bit +1\.5000 ± 0\.7071 .* 85\.0% ± 7\.1% /);
    expect(text).toMatch(/\nlora over nf4 +-0\.5000 +\+0\.0000 +– +– +\+0\.5000 +\+0\.0000 +-100\.0% +100\.0%\n/);
    expect(text).toMatch(/\nw +4\.250 +0\.1000 +0\.2000 +0\.0500\nv +4\.250 +0\.2000 +0\.4000 +–\n/);
    expect(text).toContain('(1) lora over nf4, merged to nf4\n');
  });

  it('is shown as a page', () => {
    const page = studyPage([{ ...rest, scores, gaps, layers }]);
    expect(page).toContain('<td>lora over nf4, merged to nf4</td>');
    expect(page).toContain('<svg');
  });
});

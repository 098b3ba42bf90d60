/** The tables of a study, from the models that were judged: means over seeds, what NF4 costs each method, errors by layer. */
import type { QuantisedWeight } from '../../io/rewrite-checkpoint.ts';
import { type Mean, meanOf } from '../compare/rows.ts';
import type { Report } from '../text/eval.ts';
import { type Gap, gapOf } from './gap.ts';
import type { Judged, Measured, Scores, StudiedBase } from './measure.ts';

export interface Figures {
  /** Nats a token. */
  readonly loss: Mean;
  readonly perplexity: Mean;
  /** KL(base as it is ‖ model), nats a token. */
  readonly divergence: Mean;
  /** Share of right answers; null where nothing is asked. */
  readonly right: Mean | null;
}

/** A model, by what it is over and how it was tuned. */
interface Cell {
  readonly base: StudiedBase;
  readonly name: string;
  /** Merged, and quantised to NF4. */
  readonly merged: boolean;
}

export interface ScoreRow extends Cell {
  readonly seeds: readonly number[];
  readonly onTest: Figures;
  readonly onText: Figures;
}

/** What NF4 costs the base and a tuned model, and what is recovered. */
export interface GapRow extends Cell {
  readonly onTest: Gap;
  readonly onText: Gap;
}

type Error = Pick<QuantisedWeight, 'relative' | 'worstBlock'>;

export interface LayerRow extends Error {
  readonly weight: string;
  readonly bits: number;
  /** Of quantising what was merged, with the first seed, by the tuned model; of a weight that no adapter changes there is none. */
  readonly merged: Readonly<Record<string, Error>>;
}

export interface StudiedTask {
  readonly task: string;
  /** Numbers in NF4, and what they take. */
  readonly weights: number;
  readonly bytes: number;
  readonly bits: number;
  readonly layers: readonly LayerRow[];
  readonly scores: readonly ScoreRow[];
  readonly gaps: readonly GapRow[];
}

/** `lora over nf4`. */
export const labelOf = ({ name, base, merged }: Cell): string =>
  `${name === 'none' ? 'untuned' : name} over ${base}${merged ? ', merged to nf4' : ''}`;

const figuresOf = (reports: readonly Report[]): Figures => {
  const rights = reports.flatMap(({ metrics }) => metrics.accuracy ?? metrics.exactMatch ?? []);
  return {
    loss: meanOf(reports.map(({ loss }) => loss)),
    perplexity: meanOf(reports.map(({ perplexity }) => perplexity)),
    divergence: meanOf(reports.map(({ divergence }) => divergence as number)),
    right: rights.length < reports.length ? null : meanOf(rights),
  };
};

/** Models that differ in their seed alone. */
const bySeeds = (models: readonly Judged[]): readonly (readonly Judged[])[] =>
  [...new Set(models.map(labelOf))].map((label) => models.filter((model) => labelOf(model) === label));

const scoreRow = (models: readonly Judged[]): ScoreRow => {
  const { base, name, merged } = models[0]!;
  const figures = (of: (scores: Scores) => Report): Figures => figuresOf(models.map(({ scores }) => of(scores)));
  return {
    ...{ base, name, merged },
    seeds: models.flatMap(({ seed }) => seed ?? []),
    onTest: figures(({ onTest }) => onTest),
    onText: figures(({ onText }) => onText),
  };
};

/** Of every tuned model that is in NF4, beside the base and the model that was tuned by the same method over the base as it is. */
const gapRows = (rows: readonly ScoreRow[]): readonly GapRow[] => {
  const find = (name: string, base: StudiedBase): ScoreRow =>
    rows.find((row) => row.name === name && row.base === base && !row.merged)!;
  return rows
    .filter(({ name, base, merged }) => name !== 'none' && (base === 'nf4' || merged))
    .map((row) => {
      const gap = (of: 'onTest' | 'onText'): Gap => {
        const loss = (one: ScoreRow): number => one[of].loss.mean;
        const untuned = { wide: loss(find('none', '16-bit')), nf4: loss(find('none', 'nf4')) };
        return gapOf(untuned, { wide: loss(find(row.name, '16-bit')), nf4: loss(row) });
      };
      const { base, name, merged } = row;
      return { base, name, merged, onTest: gap('onTest'), onText: gap('onText') };
    });
};

const errorOf = ({ relative, worstBlock }: QuantisedWeight): Error => ({ relative, worstBlock });

const layerRow = (weight: QuantisedWeight, firsts: readonly Judged[]): LayerRow => ({
  ...{ weight: weight.name, bits: weight.bits, ...errorOf(weight) },
  merged: Object.fromEntries(
    firsts.flatMap((model) =>
      model.layers.filter(({ name }) => name === weight.name).map((layer) => [labelOf(model), errorOf(layer)]),
    ),
  ),
});

export const studiedTask = ({ task, quantised: { layers, ...size }, models }: Measured): StudiedTask => {
  const groups = bySeeds(models);
  const scores = groups.map(scoreRow);
  const firsts = groups.map(([first]) => first!);
  return { task, ...size, layers: layers.map((layer) => layerRow(layer, firsts)), scores, gaps: gapRows(scores) };
};

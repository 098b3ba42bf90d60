/** All cases, in the order of the manifest. */
import type { RejectionCase, VectorCase } from '../case.ts';
import { attentionLayerCases } from './attention.ts';
import { elementaryCases } from './elementary.ts';
import { layerCases } from './layers.ts';
import { lossCases } from './losses.ts';
import { lowRankCases } from './low-rank.ts';
import { nf4Cases } from './nf4.ts';
import { optimizerCases } from './optimizers.ts';
import { pacaCases } from './paca.ts';
import { rejectionCases } from './rejections.ts';
import { selectionCases } from './selection.ts';
import { trainingCases } from './training.ts';

export const vectorCases: readonly VectorCase[] = [
  ...elementaryCases,
  ...layerCases,
  ...attentionLayerCases,
  ...lossCases,
  ...pacaCases,
  ...lowRankCases,
  ...nf4Cases,
  ...selectionCases,
  ...optimizerCases,
  ...trainingCases,
];

export const rejections: readonly RejectionCase[] = rejectionCases;

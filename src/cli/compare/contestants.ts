/**
 * Who takes part in a comparison, and the run that each trial of one is. A contestant that draws lots (the columns of PaCA,
 * the A of LoRA) runs with several seeds; the others would only repeat themselves. Data, their order and the number of
 * steps are the same for all.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { Result } from '../../spec/errors.ts';
import { effective, parseText } from '../text/config.ts';
import { learningRates, RANK, type TextInput } from '../text/settings.ts';
import { type ComparedMethod, type Comparison, isQuantised, slug, type Task, type Untuned } from './settings.ts';

export interface Contestant {
  /** `paca, random`. */
  readonly name: string;
  readonly method: Exclude<ComparedMethod, Untuned>;
  /** Over the base in NF4. */
  readonly quantised: boolean;
  /** How columns are chosen; null for other methods. */
  readonly select: string | null;
  readonly drawsLots: boolean;
}

/** One run: of a contestant on a task, with a learning rate and a seed. */
export interface Trial {
  /** A name for its files. */
  readonly id: string;
  readonly task: Task;
  readonly contestant: Contestant;
  /** Of the method's default learning rate. */
  readonly factor: number;
  readonly learningRate: number;
  readonly seed: number;
  readonly config: TextInput;
}

export const contestantsOf = ({ methods, selects }: Comparison): readonly Contestant[] =>
  methods.flatMap((method): readonly Contestant[] => {
    if (method === 'none' || method === 'nf4') return [];
    const quantised = isQuantised(method);
    if (method === 'paca' || method === 'qpaca') {
      const chosen = selects.map((select) => ({
        select,
        name: `${method}, ${select}`,
        drawsLots: select === 'random',
      }));
      return chosen.map((one) => ({ ...one, method, quantised }));
    }
    return [{ name: method, method, select: null, drawsLots: method !== 'full', quantised }];
  });

/** The method as a run knows it: over NF4 it has the same name. */
export const methodOf = ({ method }: Contestant): NonNullable<TextInput['method']> => {
  if (method === 'lora-fa' || method === 'qlora') return 'lora';
  return method === 'qpaca' ? 'paca' : method;
};

/** The seed of the first trial. */
const FIRST_SEED = 0;

/** The keys that have an effect on the method. `pacaRank`: where it is not the rank of all; s stays what it is. */
const configOf = (
  { shared }: Comparison,
  { input }: Task,
  c: Contestant,
  learningRate: number,
  seed: number,
  pacaRank: number | null,
): TextInput => {
  const { rank = RANK, alpha } = shared;
  const own =
    c.select === null || pacaRank === null ? null : { rank: pacaRank, alpha: ((alpha ?? rank) * pacaRank) / rank };
  return effective({
    ...shared,
    ...input,
    ...own,
    method: methodOf(c),
    learningRate,
    freezeA: c.method === 'lora-fa' ? true : undefined,
    select: c.select ?? undefined,
    selectSeed: c.drawsLots ? seed : undefined,
    samples: 0,
  });
};

/** A trial. Errors: a config that no run would take. */
export const trialOf = (
  comparison: Comparison,
  given: Task,
  contestant: Contestant,
  factor: number,
  seed: number,
  pacaRank: number | null,
): Result<Trial> => {
  const learningRate = factor * learningRates[methodOf(contestant)];
  const task = contestant.quantised ? { ...given, input: { ...given.input, base: given.quantisedBase } } : given;
  const config = configOf(comparison, task, contestant, learningRate, seed, pacaRank);
  const rate = `x${String(factor).replace('+', '').replace('-', 'm').replace('.', '_')}`;
  const id = [task.id, slug(contestant.name), rate, `seed${seed}`].join('.');
  return pipe(
    parseText(config, `${task.name}, ${contestant.name}`),
    E.map((parsed) => ({ id, task, contestant, factor, learningRate, seed, config: parsed })),
  );
};

/** The seeds beyond the first, with which the best learning rate runs again. */
export const laterSeeds = ({ seeds }: Comparison, { drawsLots }: Contestant): readonly number[] =>
  drawsLots ? Array.from({ length: seeds - 1 }, (_, i) => FIRST_SEED + 1 + i) : [];

/** The trials among which the learning rate is chosen. */
export const firstTrials = (
  comparison: Comparison,
  task: Task,
  contestant: Contestant,
  pacaRank: number | null,
): Result<readonly Trial[]> =>
  pipe(
    comparison.rateFactors,
    E.traverseArray((factor) => trialOf(comparison, task, contestant, factor, FIRST_SEED, pacaRank)),
  );

/** JSONL files as token sequences, and as the batches of a run. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type BatchPlan, batchIndices, stepsPerEpoch } from '../../data/batches.ts';
import { type Packing, planRows, type Row, tokenBatch, tokenBatches } from '../../data/packing.ts';
import { type Sample, samplesFromJsonl } from '../../data/records.ts';
import { type SequenceReport, sequencesFromSamples, type TokenSequence } from '../../data/sequences.ts';
import { splitSamples } from '../../data/split.ts';
import { sha256Hex } from '../../io/digest.ts';
import { fail, orThrow, type PacaError, type Result } from '../../spec/errors.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import { readBytes } from '../package-root.ts';
import { type Base, paddingOf } from './base.ts';
import type { DataSettings, TextSettings } from './settings.ts';

export interface TextData {
  readonly train: readonly TokenSequence[];
  readonly rows: readonly Row[];
  readonly packing: Packing;
  readonly padding: number;
  readonly validation: readonly HostBatch[];
  readonly test: readonly Sample[];
  readonly report: SequenceReport;
  /** SHA-256 of the files that training and validation read. */
  readonly digests: readonly string[];
}

type Task<A> = TE.TaskEither<PacaError, A>;

interface File {
  readonly samples: readonly Sample[];
  readonly digest: string;
}

const readFile = (path: string, format: DataSettings['format']): Task<File> =>
  pipe(
    () => readBytes(path),
    TE.bindTo('bytes'),
    TE.bind('digest', ({ bytes }) => TE.fromTask(() => sha256Hex(bytes))),
    TE.bind('samples', ({ bytes }) => TE.fromEither(samplesFromJsonl(new TextDecoder().decode(bytes), format, path))),
  );

/** The samples that train and those that validate. */
const parts = (file: File, other: File | null, s: DataSettings): Result<readonly [Sample[], Sample[]]> => {
  if (other !== null) return E.right([[...file.samples], [...other.samples]]);
  const fraction = s.validation as number;
  return pipe(
    splitSamples(file.samples.length, { fraction }, s.dataSeed),
    E.map(({ train, validation }) => {
      const pick = (indices: Int32Array): Sample[] => Array.from(indices, (i) => file.samples[i] as Sample);
      return [pick(train), pick(validation)] as const;
    }),
  );
};

const assemble = (base: Base, s: DataSettings, files: readonly File[]): Result<TextData> => {
  const [file, ...others] = files as [File, ...File[]];
  const [held, test] = typeof s.validation === 'string' ? others : [null, others[0]];
  const { tokenizer } = base;
  const config = { maxLength: s.maxLength, lossOn: s.lossOn };
  const packing: Packing = s.pack
    ? { pack: true, length: s.maxLength, across: s.attendAcross }
    : { pack: false, padToMultipleOf: 8 };
  const padding = paddingOf(base);
  return pipe(
    E.Do,
    E.bind('split', () => parts(file, held ?? null, s)),
    E.bind('train', ({ split: [train] }) => sequencesFromSamples(train, tokenizer, config)),
    E.bind('held', ({ split: [, validation] }) => sequencesFromSamples(validation, tokenizer, config)),
    E.bind('rows', ({ train }) =>
      train.sequences.length > 0
        ? planRows(train.sequences, packing)
        : fail('DataError', 'samples from which something is learnt', 'none', s.data),
    ),
    E.bind('validation', ({ held: { sequences } }) =>
      sequences.length === 0 ? E.right([]) : tokenBatches(sequences, s.batchSize, packing, padding),
    ),
    E.map(({ train, rows, validation }) => ({
      train: train.sequences,
      ...{ rows, packing, padding, validation },
      test: test?.samples ?? [],
      report: train.report,
      digests: [file, ...(held ? [held] : [])].map(({ digest }) => digest),
    })),
  );
};

/** Errors name the file and the line. */
export const loadData = (base: Base, s: DataSettings): Task<TextData> => {
  const paths = [
    s.data,
    ...(typeof s.validation === 'string' ? [s.validation] : []),
    ...(s.test === null ? [] : [s.test]),
  ];
  return pipe(
    paths,
    TE.traverseSeqArray((path) => readFile(path, s.format)),
    TE.chainEitherK((files) => assemble(base, s, files)),
  );
};

type BatchSettings = Pick<TextSettings, 'batchSize' | 'gradAccumulation' | 'dataSeed'>;

const planOf = ({ rows }: TextData, { batchSize, gradAccumulation, dataSeed }: BatchSettings): BatchPlan => ({
  examples: rows.length,
  batchSize: Math.min(batchSize * gradAccumulation, rows.length),
  seed: dataSeed,
  dropLast: true,
});

export const stepsOf = (data: TextData, s: BatchSettings): number => stepsPerEpoch(planOf(data, s));

/** The micro-batches of a step: its rows, cut into parts of `batchSize`. */
export const batcher =
  (data: TextData, s: BatchSettings) =>
  (step: number): readonly HostBatch[] => {
    const indices = batchIndices(planOf(data, s), step);
    return Array.from({ length: Math.ceil(indices.length / s.batchSize) }, (_, i) => {
      const rows = Array.from(indices.subarray(i * s.batchSize, (i + 1) * s.batchSize), (row) => data.rows[row] as Row);
      return orThrow(tokenBatch(data.train, rows, data.packing, data.padding));
    });
  };

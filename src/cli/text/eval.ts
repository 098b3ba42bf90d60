/** `paca eval`: what a language model makes of a file of answers: their loss, and how many it gives itself. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import { tokenBatches } from '../../data/packing.ts';
import { type RecordFormat, recordFormats, type Sample, samplesFromJsonl } from '../../data/records.ts';
import { type SequenceReport, sequencesFromSamples } from '../../data/sequences.ts';
import { crossEntropy, type Loss } from '../../layers/losses.ts';
import { elementary64 } from '../../spec/elementary/index.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { meanDivergence } from '../../train/divergence.ts';
import { evaluateClassifier } from '../../train/evaluate.ts';
import type { HostBatch } from '../../train/host-batch.ts';
import { closing, openBackend } from '../backend.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { readBytes } from '../package-root.ts';
import { count, parseWith, path } from '../schema.ts';
import { formatCount, formatPercent } from '../show/format.ts';
import { endProgress, showProgress, startProgress } from '../show/progress.ts';
import { renderTable } from '../show/table.ts';
import { loadAdapted } from './adapted.ts';
import { type Base, openBase, paddingOf } from './base.ts';
import { completeLine } from './choices.ts';
import { isPlainText, type Judged, judge, type Speaker } from './judge.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

const where = 'eval';

const schema = v.strictObject({
  base: path,
  adapter: v.optional(path),
  data: path,
  /** A model of the same tokens, from which the divergence is told. */
  reference: v.optional(path),
  format: v.optional(v.picklist(['auto', ...recordFormats] as ['auto', ...RecordFormat[]]), 'auto'),
  choices: v.optional(v.pipe(v.array(v.pipe(v.string(), v.minLength(1))), v.minLength(2))),
  batchSize: v.optional(count, 8),
  /** Tokens of a record at most; the model's positions if not given. */
  maxLength: v.optional(v.pipe(v.number(), v.integer(), v.minValue(2))),
  json: v.optional(v.boolean(), false),
  backend: v.optional(v.string()),
  threads: v.optional(count),
});

const keys: readonly string[] = Object.keys(schema.entries);

type Input = v.InferOutput<typeof schema>;

/** What `--json` prints. */
export interface Report {
  readonly model: string;
  readonly adapter: string | null;
  readonly data: string;
  readonly reference: string | null;
  /** Mean over the tokens of the answers, the end of the text among them, as in training. */
  readonly loss: number;
  readonly perplexity: number;
  /** With a reference: the mean over the same tokens of KL(reference ‖ model), in nats. */
  readonly divergence: number | null;
  /** `accuracy` with choices, `exactMatch` of generated answers, `categoryAverage`; none for plain text. */
  readonly metrics: Readonly<Record<string, number>>;
  readonly categories: Readonly<Record<string, number>>;
  readonly samples: number;
  /** Tokens that the loss is a mean over. */
  readonly tokens: number;
}

interface Exam {
  readonly samples: readonly Sample[];
  readonly batches: readonly HostBatch[];
  readonly report: SequenceReport;
}

const readSamples = ({ data, format }: Input): Task<readonly Sample[]> =>
  pipe(
    () => readBytes(data),
    TE.chainEitherK((bytes) =>
      pipe(
        new TextDecoder().decode(bytes).split('\n'),
        E.traverseArrayWithIndex((i, line) => completeLine(line, `${data}:${i + 1}`)),
      ),
    ),
    TE.chainEitherK((lines) => samplesFromJsonl(lines.join('\n'), format, data)),
  );

const examOf = (base: Base, input: Input, samples: readonly Sample[]): Result<Exam> => {
  const { tokenizer, config } = base;
  const { maxLength = config.positions, batchSize, data } = input;
  if (maxLength > config.positions) {
    return fail('ConfigError', `a maxLength of at most ${config.positions} tokens`, String(maxLength), where);
  }
  return pipe(
    sequencesFromSamples(samples, tokenizer, { maxLength, lossOn: 'completion' }),
    E.chain(({ sequences, report }) =>
      sequences.length > 0
        ? pipe(
            tokenBatches(sequences, batchSize, { pack: false, padToMultipleOf: 8 }, paddingOf(base)),
            E.map((batches) => ({ samples, batches, report })),
          )
        : fail('DataError', `an answer within ${maxLength} tokens`, 'none', data),
    ),
  );
};

const idsOf = ({ batches }: Exam): readonly number[] =>
  batches.flatMap(({ inputs }) => Array.from(inputs.data, Number));

/** The reference, if one is asked for. Errors: one that reads the samples as other tokens, or foretells others. */
const openReference = (world: World, base: Base, input: Input, exam: Exam): Task<Base | null> => {
  const { reference, maxLength = base.config.positions } = input;
  if (reference === undefined) return TE.right(null);
  return pipe(
    openBase(world, reference),
    TE.bindTo('other'),
    TE.bind('its', ({ other }) => TE.fromEither(examOf(other, { ...input, maxLength }, exam.samples))),
    TE.chainEitherK(({ other, its }) => {
      const [ids, otherIds] = [idsOf(exam), idsOf(its)];
      return other.config.vocabulary === base.config.vocabulary && ids.every((id, i) => id === otherIds[i])
        ? E.right(other)
        : fail('ConfigError', `a reference with the tokens of ${input.base}`, 'other tokens', reference);
    }),
  );
};

const warnOfCuts = ({ terminal }: World, { samples, truncated, droppedEmpty }: SequenceReport): void => {
  if (truncated === 0) return;
  const cut = `${truncated} of ${samples} records cut to the longest length`;
  terminal.write(`paca: ${cut}, ${droppedEmpty} left without an answer\n`);
};

const mean = (values: readonly number[]): number => values.reduce((sum, x) => sum + x, 0) / values.length;

const metricsOf = ({ by, accuracy, categories }: Judged): Report['metrics'] => ({
  [by === 'choices' ? 'accuracy' : 'exactMatch']: accuracy,
  ...(Object.keys(categories).length > 0 && { categoryAverage: mean(Object.values(categories)) }),
});

/** Plain text asks nothing, so there is nothing to judge. */
const judgeAll = async (
  { terminal, clock }: World,
  speaker: Speaker<Spec>,
  { choices, batchSize }: Input,
  samples: readonly Sample[],
): Promise<Result<Judged | null>> => {
  if (choices === undefined && samples.every(isPlainText)) return E.right(null);
  let progress = startProgress(0, clock());
  const judged = await judge(speaker, samples, choices ?? null, {
    rows: batchSize,
    onRows: (step, total) => {
      progress = showProgress(terminal, { ...progress, total }, { step }, clock());
    },
  });
  endProgress(terminal, progress);
  return judged;
};

const examine = (
  world: World,
  speaker: Speaker<Spec>,
  reference: Base | null,
  input: Input,
  { samples, batches, report }: Exam,
): Task<Report> => {
  const { kernels: k, model, params } = speaker;
  const loss = crossEntropy(k) as Loss<Spec, unknown>;
  const divergence =
    reference === null
      ? TE.right(null)
      : pipe(
          loadAdapted(world, k, reference, null),
          TE.chainTaskK((other) => () => meanDivergence(k, { model: other, params: other.params }, speaker, batches)),
        );
  return pipe(
    TE.Do,
    TE.bind('judged', () => () => judgeAll(world, speaker, input, samples)),
    TE.bind('evaluation', () => TE.fromTask(() => evaluateClassifier(k, model, params, loss, batches))),
    TE.bind('divergence', () => divergence),
    TE.map(
      ({ judged, evaluation, divergence: kl }): Report => ({
        ...{ model: input.base, adapter: input.adapter ?? null, data: input.data, reference: input.reference ?? null },
        loss: evaluation.loss,
        perplexity: elementary64.exp(evaluation.loss),
        divergence: kl,
        metrics: judged === null ? {} : metricsOf(judged),
        categories: judged?.categories ?? {},
        samples: samples.length,
        tokens: report.trainedTokens,
      }),
    ),
  );
};

const names: Readonly<Record<string, string>> = {
  accuracy: 'likeliest choice right',
  exactMatch: 'answer generated to the letter',
  categoryAverage: 'average of the categories',
};

const show = ({ print, columns: width }: World, r: Report): void => {
  print(`${formatCount(r.samples)} record${r.samples === 1 ? '' : 's'}, loss ${r.loss.toFixed(4)} `);
  print(`over ${formatCount(r.tokens)} tokens of answers, `);
  print(`perplexity ${r.perplexity.toPrecision(4)}\n`);
  if (r.divergence !== null) print(`KL(${r.reference} ‖ model): ${r.divergence.toPrecision(4)} nats a token\n`);
  for (const [name, value] of Object.entries(r.metrics)) print(`${names[name]}: ${formatPercent(value)}\n`);
  const rows = Object.entries(r.categories).map(([name, value]) => [name, formatPercent(value)]);
  if (rows.length > 0)
    print(`\n${renderTable([{ header: 'category', align: 'left' }, { header: 'right' }], rows, { width })}\n`);
};

const run = (world: World, input: Input): Task<ExitCode> =>
  pipe(
    TE.Do,
    TE.bind('base', () => openBase(world, input.base)),
    TE.bind('samples', () => readSamples(input)),
    TE.bind('exam', ({ base, samples }) => TE.fromEither(examOf(base, input, samples))),
    TE.chainFirst(({ exam: { report } }) => TE.fromIO(() => warnOfCuts(world, report))),
    TE.bind('reference', ({ base, exam }) => openReference(world, base, input, exam)),
    TE.bind('backend', () => () => openBackend(input)),
    TE.chain(({ base, reference, exam, backend }) => () => {
      const { kernels } = backend;
      const report = pipe(
        loadAdapted(world, kernels, base, input.adapter ?? null),
        TE.chain((model) => examine(world, { kernels, base, model, params: model.params }, reference, input, exam)),
      );
      return closing(backend, report);
    }),
    TE.map((report): ExitCode => {
      if (input.json) printJson(world, report);
      else show(world, report);
      return 0;
    }),
  );

const texts: readonly string[] = ['base', 'adapter', 'data', 'reference', 'format', 'backend'];

export const evalText: Command = {
  summary: 'loss, perplexity and right answers of a language model on a JSONL file',
  usage:
    'paca eval --base FOLDER|OWNER/NAME [--adapter FOLDER] --data FILE.jsonl [--format auto|text|completion|messages|alpaca|sharegpt]\n' +
    `          [--choices '["yes", "no"]'] [--reference FOLDER|OWNER/NAME] [--batch-size 8] [--max-length N]\n` +
    '          [--backend NAME] [--threads N] [--json]',
  keys: keys.filter((key) => !texts.includes(key) && key !== 'json'),
  texts,
  switches: ['json'],
  run: async (world, { positionals, values }) =>
    positionals.length > 0
      ? fail('ConfigError', 'flags alone', positionals.join(' '), where)
      : pipe(
          TE.fromEither(parseWith(schema, keys, values, where)),
          TE.chain((input) => run(world, input)),
        )(),
};

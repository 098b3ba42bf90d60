/** `paca plan`: what fine-tuning a model would need, from its config.json alone. No weight is read and nothing is run. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type TrainingMethod, trainingMethods } from '../../methods/adapt.ts';
import type { LlamaConfig } from '../../models/llama/config.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { parseStrictJson } from '../../spec/strict-json.ts';
import { type ByOp, longestSequence, type PlannedBytes, planner } from '../../train/plan.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { readInput } from '../input.ts';
import { readBytes } from '../package-root.ts';
import { formatBytes, formatCount, formatPercent } from '../show/format.ts';
import { renderTable } from '../show/table.ts';
import { baseFolder, isConfig } from '../text/base-folder.ts';
import { type ModelConfig, parseModelConfig } from '../text/model-config.ts';
import { type PlanInput, parsePlan, planKeys } from './settings.ts';

/** What `--json` prints. */
interface Report {
  readonly model: string;
  readonly method: TrainingMethod;
  readonly rank: number | null;
  readonly batch: number;
  readonly seq: number;
  readonly bytes: PlannedBytes;
  readonly byOp: ByOp;
  /** The most bytes that `longestSeq` may need. */
  readonly memory: number;
  readonly longestSeq: number;
}

const sequenceOf = ({ sequence }: PlanInput, { positions }: LlamaConfig): Result<number> =>
  sequence !== null && sequence > positions
    ? fail('ConfigError', `a sequence of at most ${positions} tokens`, String(sequence), 'sequence')
    : E.right(sequence ?? Math.min(512, positions));

/** From the file that was named, or that of the base, of which nothing else is fetched. */
const readModel = (world: World, { base, config }: PlanInput): TE.TaskEither<PacaError, ModelConfig> =>
  pipe(
    base === null
      ? TE.right(config)
      : pipe(
          baseFolder(world, base, isConfig),
          TE.map((folder) => `${folder}/${config}`),
        ),
    TE.chain((file) =>
      pipe(
        () => readBytes(file),
        TE.chainEitherK((bytes) => parseStrictJson(new TextDecoder().decode(bytes), file)),
        TE.chainEitherK((json) => parseModelConfig(json, file)),
      ),
    ),
  );

/** The methods in turn, over one model. */
const reportsOf = (
  input: PlanInput,
  { config, dtype }: ModelConfig,
  seq: number,
  methods: readonly TrainingMethod[],
): TE.TaskEither<PacaError, readonly Report[]> => {
  const { model, rank, batch, memory } = input;
  const plan = planner({ ...input, config, dtype: input.dtype ?? dtype });
  return pipe(
    methods,
    TE.traverseSeqArray((method) =>
      pipe(
        TE.fromEither(plan(method)),
        TE.map((planned) => ({
          ...{ model, method, batch, seq, memory, rank: method === 'full' ? null : rank },
          bytes: planned.bytesAt(seq),
          byOp: planned.byOpAt(seq),
          longestSeq: longestSequence(planned, config.positions, memory),
        })),
      ),
    ),
  );
};

const show = (
  { print, columns: width }: World,
  { model, batch, recompute, dropBackward, memory }: PlanInput,
  all: readonly Report[],
) => {
  const again = recompute ? ', blocks computed again for the backward pass' : '';
  const dropped =
    dropBackward > 0 ? `, ${formatPercent(dropBackward)} of the branches left out of each backward pass` : '';
  print(`${model}: ${formatCount(batch)} sequences of ${formatCount(all[0]?.seq ?? 0)} tokens${again}${dropped}\n\n`);
  const line = (name: string, cell: (report: Report) => string): readonly string[] => [name, ...all.map(cell)];
  const sized = (name: string, of: (report: Report) => number): readonly string[] =>
    line(name, (report) => formatBytes(of(report)));
  const kept = Object.keys(all[0]?.byOp ?? {}) as readonly (keyof ByOp)[];
  const rows = [
    line('rank', ({ rank }) => (rank === null ? '–' : String(rank))),
    line('numbers that train', ({ bytes }) => formatCount(bytes.trainable / 4)),
    sized('weights', ({ bytes }) => bytes.weights),
    sized('gradients', ({ bytes }) => bytes.gradients),
    sized('optimizer (AdamW)', ({ bytes }) => bytes.optimizer),
    sized('kept for the backward pass', ({ bytes }) => bytes.residual),
    ...kept.filter((op) => all.some(({ byOp }) => byOp[op] > 0)).map((op) => sized(`  of it ${op}`, (r) => r.byOp[op])),
    sized('workspace, about', ({ bytes }) => bytes.workspace),
    sized('total', ({ bytes }) => bytes.total),
    line(`longest sequence in ${formatBytes(memory)}`, ({ longestSeq }) =>
      longestSeq === 0 ? 'none fits' : formatCount(longestSeq),
    ),
  ];
  const columns = [
    { header: '', align: 'left' as const },
    ...all.map(({ method }) => ({ header: method, align: 'right' as const })),
  ];
  print(`${renderTable(columns, rows, { width })}\n`);
};

export const plan: Command = {
  summary: 'the memory that fine-tuning a model needs, from its config alone',
  usage:
    'paca plan --base FOLDER|OWNER/NAME | --config FILE.json [--method paca|lora|dora|moslora|full] [--rank 16]\n' +
    '          [--target-modules all-linear] [--exclude-modules NAMES] [--modules-to-save NAMES]\n' +
    '          [--dtype f32|f16|bf16|nf4] [--batch-size 8] [--sequence 512] [--recompute] [--drop-backward 0]\n' +
    '          [--memory 4GiB] [--json]',
  keys: ['rank', 'targetModules', 'excludeModules', 'modulesToSave', 'batchSize', 'sequence', 'dropBackward'],
  texts: ['base', 'config', 'method', 'dtype', 'memory'],
  switches: ['recompute', 'json'],
  run: (world, args) => {
    const isJson = args.values.json === true;
    return pipe(
      readInput(args, planKeys, parsePlan),
      TE.bindTo('input'),
      TE.bind('model', ({ input }) => readModel(world, input)),
      TE.bind('seq', ({ input, model }) => TE.fromEither(sequenceOf(input, model.config))),
      TE.bind('reports', ({ input, model, seq }) => {
        // Without a method: all side by side, and as JSON, which is of one method, PaCA.
        const methods = input.method === null ? (isJson ? (['paca'] as const) : trainingMethods) : [input.method];
        return reportsOf(input, model, seq, methods);
      }),
      TE.map(({ input, reports }): ExitCode => {
        if (isJson) printJson(world, reports[0]);
        else show(world, input, reports);
        return 0;
      }),
    )();
  },
};

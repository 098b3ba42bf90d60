/** `paca bench`: how fast products and training steps are here, and how long a sequence can be trained in so much memory. */
import * as E from 'fp-ts/lib/Either.js';
import * as v from 'valibot';
import type { AnyBackend } from '../../../backends/resolve.ts';
import { type TrainingMethod, trainingMethods } from '../../methods/adapt.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { type BackendChoice, closing, openBackend } from '../backend.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { bytes, count, parseWith } from '../schema.ts';
import { formatBytes, formatCount, formatMs, formatPercent } from '../show/format.ts';
import { renderTable } from '../show/table.ts';
import { defaultSizes, type GemmReport, measureProducts, type ProductSize } from './gemm.ts';
import { type LongestReport, measureLongest } from './longest.ts';
import { llamaConfig, llamaSizes } from './problems.ts';
import { measureStep, type StepReport, type StepSettings } from './step.ts';

const choice = { backend: v.optional(v.string()), threads: v.optional(count) };

/** `512x512x512`: m, n and k. */
const size = v.pipe(
  v.string(),
  v.check((text) => /^[1-9]\d*x[1-9]\d*x[1-9]\d*$/.test(text), 'MxNxK, as in 256x1408x512'),
  v.transform((text): ProductSize => {
    const [m = 0, n = 0, k = 0] = text.split('x').map(Number);
    return { m, n, k };
  }),
);

const gemmSchema = v.strictObject({
  ...choice,
  sizes: v.optional(v.array(size)),
  /** The most for each product. */
  seconds: v.optional(v.pipe(v.number(), v.gtValue(0)), 1),
});
const stepSchema = v.strictObject({
  ...choice,
  model: v.optional(v.picklist(['mlp', 'llama']), 'mlp'),
  method: v.optional(v.picklist(trainingMethods), 'full'),
  rank: v.optional(count, 16),
  dtype: v.optional(v.picklist(['f32', 'nf4']), 'f32'),
  batchSize: v.optional(count, 256),
  width: v.optional(count, 512),
  steps: v.optional(count, 40),
});

const longestSchema = v.strictObject({
  ...choice,
  methods: v.optional(v.array(v.picklist(trainingMethods)), [...trainingMethods]),
  rank: v.optional(count, 16),
  memory: v.optional(bytes, '256MiB'),
});

/** Options of `step` that only the MLP has. */
const ofMlp: readonly string[] = ['batchSize', 'width'] satisfies readonly (keyof StepSettings)[];

const where = (action: string): string => `bench ${action}`;

const keysOf = (schema: { readonly entries: object }): readonly string[] => Object.keys(schema.entries);

const showProducts = ({ print, columns: width }: World, report: GemmReport): void => {
  const { backend, threads, peakGflops, steadiness, results } = report;
  print(`${backend}, ${threads} thread${threads === 1 ? '' : 's'}`);
  print(peakGflops === null ? '\n' : `; peak of one core ${peakGflops.toFixed(1)} GFLOP/s\n`);
  if (steadiness !== null && steadiness < 0.95) print('The machine was busy: these figures are void.\n');
  const headers = ['product', 'layout', 'GFLOP/s', 'of the peak'];
  const rows = results.map(({ m, n, k, layout, gflops, ofPeak }) => [
    `${m}×${k} · ${k}×${n}`,
    layout,
    gflops.toFixed(1),
    ofPeak === null ? '–' : formatPercent(ofPeak),
  ]);
  print(
    `${renderTable(
      headers.map((header) => ({ header })),
      rows,
      { width },
    )}\n`,
  );
};

/** What a step was of. */
const describe = ({ model, batchSize, width, method, rank, dtype }: StepReport): string => {
  const { layers, tokens } = llamaSizes;
  const what =
    model === 'mlp'
      ? `mlp ${width}→${4 * width}→${width}, ${batchSize} rows`
      : `llama of ${layers} layers, width ${width}, ${batchSize}×${tokens} tokens`;
  if (rank === null) return `${what}, ${method}`;
  const over = dtype === 'f32' ? '' : ` over ${dtype}`;
  return `${what}, ${method} of ${method === 'paca' ? `${rank} columns` : `rank ${rank}`}${over}`;
};

const showStep = ({ print }: World, r: StepReport): void => {
  print(`${r.backend}, ${r.threads} thread${r.threads === 1 ? '' : 's'}: ${describe(r)}\n`);
  const unit = r.model === 'mlp' ? 'rows' : 'tokens';
  print(`${formatMs(r.msPerStep)} a step, ${formatCount(r.tokensPerSecond)} ${unit} a second; `);
  print(`${formatCount(r.trainable)} numbers train, ${formatBytes(r.residualBytes)} kept for the backward pass, `);
  print(`peak memory ${formatBytes(r.peakBytes)}\n`);
};

const showLongest = ({ print, columns: width }: World, { memory, rank, results }: LongestReport): void => {
  const { layers, width: features } = llamaConfig;
  print(`llama of ${layers} layers, width ${features}, f32, one sequence, rank ${rank}, in ${formatBytes(memory)}\n\n`);
  const lora = results.find(({ method }) => method === 'lora')?.measured;
  const headers = ['method', 'longest sequence', 'planned', 'beside LoRA'].map((header) => ({ header }));
  const rows = results.map(({ method, measured, planned }) => [
    method,
    formatCount(measured),
    `${formatCount(planned)} (${signed(planned / measured - 1)})`,
    lora === undefined ? '–' : signed(measured / lora - 1),
  ]);
  print(`${renderTable(headers, rows, { width })}\n`);
};

const signed = (fraction: number): string => `${fraction < 0 ? '−' : '+'}${formatPercent(Math.abs(fraction))}`;

/** Options that the model or the method makes no use of, and ranks above the number of columns. */
const checkStep = (flags: object, { model, method, rank, dtype, width }: StepSettings): Result<null> => {
  const wrong = (expected: string, came: unknown): Result<never> =>
    fail('ConfigError', expected, String(came), where('step'));
  if (method === 'full' && 'rank' in flags) {
    return wrong("--method paca, lora, dora or moslora, without which 'rank' has no effect", rank);
  }
  if (method === 'full' && dtype !== 'f32') return wrong('--dtype f32, in which weights train in full', dtype);
  const own = model === 'mlp' ? undefined : Object.entries(flags).find(([name]) => ofMlp.includes(name));
  if (own !== undefined) return wrong(`--model mlp, without which '${own[0]}' has no effect`, own[1]);
  return checkColumns('step', [method], rank, model === 'mlp' ? width : llamaSizes.width);
};

/** PaCA cannot choose more columns than there are. */
const checkColumns = (
  action: string,
  chosen: readonly TrainingMethod[],
  rank: number,
  columns: number,
): Result<null> =>
  chosen.includes('paca') && rank > columns
    ? fail('ConfigError', `a rank of at most ${columns}`, String(rank), where(action))
    : E.right(null);

/** Opens the backend, measures, shows. */
const measuring = async <A>(
  world: World,
  json: boolean,
  given: BackendChoice,
  measure: (backend: AnyBackend) => A,
  show: (world: World, report: A) => void,
): Promise<Result<ExitCode>> => {
  const backend = await openBackend(given);
  if (E.isLeft(backend)) return backend;
  const report = await closing(backend.right, () => measure(backend.right));
  if (json) printJson(world, report);
  else show(world, report);
  return E.right(0);
};

const actions: Readonly<Record<string, (world: World, json: boolean, flags: object) => Promise<Result<ExitCode>>>> = {
  gemm: async (world, json, flags) => {
    const input = parseWith(gemmSchema, keysOf(gemmSchema), flags, where('gemm'));
    if (E.isLeft(input)) return input;
    const { backend, threads, sizes = defaultSizes, seconds } = input.right;
    const measure = (b: AnyBackend): GemmReport => measureProducts(b, sizes, seconds, world.clock);
    return measuring(world, json, { backend, threads }, measure, showProducts);
  },
  step: async (world, json, flags) => {
    const input = parseWith(stepSchema, keysOf(stepSchema), flags, where('step'));
    if (E.isLeft(input)) return input;
    const { backend, threads, ...settings } = input.right;
    const checked = checkStep(flags, settings);
    if (E.isLeft(checked)) return checked;
    return measuring(world, json, { backend, threads }, (b) => measureStep(b, settings, world.clock), showStep);
  },
  longest: async (world, json, flags) => {
    const input = parseWith(longestSchema, keysOf(longestSchema), flags, where('longest'));
    if (E.isLeft(input)) return input;
    const checked = checkColumns('longest', input.right.methods, input.right.rank, llamaSizes.width);
    if (E.isLeft(checked)) return checked;
    const report = await measureLongest(input.right);
    if (E.isLeft(report)) return report;
    if (json) printJson(world, report.right);
    else showLongest(world, report.right);
    return E.right(0);
  },
};

export const bench: Command = {
  summary: 'how fast matrix products and training steps are here, and the longest sequence that trains',
  usage:
    "paca bench gemm [--sizes '[512x512x512, ...]'] [--seconds 1] [--backend NAME] [--threads N] [--json]\n" +
    '       paca bench step [--model mlp|llama] [--method full|paca|lora|dora|moslora] [--rank 16] [--dtype f32|nf4]\n' +
    '                       [--steps 40] [--batch-size 256] [--width 512] [--backend NAME] [--threads N] [--json]\n' +
    "       paca bench longest [--memory 256MiB] [--methods '[paca, lora]'] [--rank 16]\n" +
    '                          [--backend NAME] [--threads N] [--json]',
  keys: ['threads', 'sizes', 'seconds', 'rank', 'batchSize', 'width', 'steps', 'methods'],
  texts: ['backend', 'model', 'method', 'dtype', 'memory'],
  switches: ['json'],
  run: async (world, { positionals, values }) => {
    const [name = '', ...rest] = positionals;
    if (rest.length > 0) return fail('ConfigError', 'one measurement', rest.join(' '), 'bench');
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    const { json, ...flags } = values;
    return action === undefined
      ? fail('ConfigError', `one of ${Object.keys(actions).join(', ')}`, `'${name}'`, 'bench')
      : action(world, json === true, flags);
  },
};

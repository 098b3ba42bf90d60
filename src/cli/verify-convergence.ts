/** `paca verify-convergence`: the smoothness along a run, the descent inequality at each step, ‖g‖² against its bound. */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import type { Store } from '../io/store.ts';
import { nodeStore } from '../io/store-node.ts';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import { gradientBound, type StepMeasure } from '../train/convergence.ts';
import { closing, openBackend } from './backend.ts';
import { median } from './bench/statistics.ts';
import { type Command, type ExitCode, printJson, type World } from './command.ts';
import { type Measured, measureRun } from './digits/verify-convergence.ts';
import { count, parseWith } from './schema.ts';
import { lineChart } from './show/svg.ts';

const CHART = 'convergence.svg';

/** What the theorem does not cover of what is measured here: mlp and cnn have ReLU, and cnn max-pooling. */
const KINKS =
  'the theorem asks for a gradient all along a step; ReLU and max-pooling have kinks, and a step across one is measured, not proved';

const SMOOTH = 'the model has a gradient at every point, as the theorem asks for';

const schema = v.strictObject({
  steps: v.optional(count, Number.MAX_SAFE_INTEGER),
  backend: v.optional(v.string()),
  threads: v.optional(count),
});
const keys: readonly string[] = Object.keys(schema.entries);

const writeChart = (store: Store, measures: readonly StepMeasure[]): Promise<Result<void>> => {
  const chart = lineChart({
    title: 'the gradient that trains, and what bounds it',
    xLabel: 'step',
    yLabel: 'squared norm',
    logY: true,
    series: [
      { name: '‖g‖²', points: measures.map((m) => [m.step + 1, m.squaredGradient]) },
      { name: 'bound', points: measures.map((m) => [m.step + 1, gradientBound(m) ?? Number.NaN]), dashed: true },
    ],
  });
  return store.write(CHART, new TextEncoder().encode(chart));
};

interface Summary {
  readonly steps: number;
  /** Steps at which the descent inequality holds, and its counterpart from below. */
  readonly held: number;
  /** Steps that went down the tangent, for which there is a bound of ‖g‖². */
  readonly descending: number;
  readonly beta: { readonly median: number; readonly largest: number };
  readonly chart: string;
  /** Whether the theorem covers every step, but for rounding and for β, which is sampled. */
  readonly note: string;
  readonly measures: readonly StepMeasure[];
}

const summaryOf = (folder: string, { measures, kinks }: Measured): Summary => ({
  steps: measures.length,
  held: measures.filter(({ holds }) => holds).length,
  descending: measures.filter(({ descent }) => descent > 0).length,
  beta: { median: median(measures.map(({ beta }) => beta)), largest: Math.max(...measures.map(({ beta }) => beta)) },
  chart: `${folder}/${CHART}`,
  note: kinks ? KINKS : SMOOTH,
  measures,
});

const show = ({ print }: World, s: Summary): void => {
  print(
    `L(θ + d) ≤ L(θ) + ⟨g, d⟩ + β/2·‖d‖², and the like from below, held at ${s.held} of ${s.steps} steps, each on its own batch, in f64\n`,
  );
  print(`${s.note}\n`);
  print(
    `β along the steps: median ${s.beta.median.toPrecision(3)}, largest ${s.beta.largest.toPrecision(3)} (sampled)\n`,
  );
  print(`${s.descending} steps went down the gradient; ‖g‖² and its bound: ${s.chart}\n`);
};

const verify = (
  world: World,
  folder: string,
  input: v.InferOutput<typeof schema>,
  json: boolean,
): TE.TaskEither<PacaError, ExitCode> =>
  pipe(
    () => openBackend(input),
    TE.chain((backend) => () => closing(backend, measureRun(world, backend, nodeStore(folder), folder, input.steps))),
    TE.chainFirst(
      ({ measures }) =>
        () =>
          writeChart(nodeStore(folder), measures),
    ),
    TE.map((measured): ExitCode => {
      const summary = summaryOf(folder, measured);
      if (json) printJson(world, summary);
      else show(world, summary);
      return summary.held === summary.steps ? 0 : 1;
    }),
  );

export const verifyConvergence: Command = {
  summary: 'the bound of the convergence theorem, measured along a run of the digits models',
  usage: 'paca verify-convergence RUN [--steps N] [--backend NAME] [--threads N] [--json]',
  keys,
  texts: [],
  switches: ['json'],
  run: (world, { positionals, values }) => {
    const { json, ...rest } = values;
    const [folder, ...others] = positionals;
    return pipe(
      TE.fromEither(
        folder === undefined || others.length > 0
          ? fail('ConfigError', 'the folder of one run', `${positionals.length} words`, 'arguments')
          : parseWith(schema, keys, rest, 'verify-convergence'),
      ),
      TE.chain((input) => verify(world, folder ?? '', input, json === true)),
    )();
  },
};

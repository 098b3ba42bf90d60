/** A trial carried out: one fine-tuning run in a process of its own, and what it left. A trial that is done is not run again. */
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Store } from '../../io/store.ts';
import { nodeStore } from '../../io/store-node.ts';
import { fail, type PacaError } from '../../spec/errors.ts';
import { parseStrictJson } from '../../spec/strict-json.ts';
import type { QuantiseReport } from '../adapters/quantise.ts';
import type { World } from '../command.ts';
import { childJson } from '../run/child.ts';
import { pointsOf } from '../run/follow.ts';
import { type Logged, readEvents } from '../run/run-folder.ts';
import type { Report as EvalReport } from '../text/eval.ts';
import type { TextResult } from '../text/session.ts';
import type { TextInput } from '../text/settings.ts';
import type { Trial } from './contestants.ts';

/** A step at which the run was validated. */
export interface Validated {
  readonly step: number;
  readonly loss: number;
  /** Since the first step, validation aside; choosing the columns is not in it. */
  readonly seconds: number;
}

export interface Outcome {
  readonly trial: Trial;
  readonly result: TextResult;
  readonly curve: readonly Validated[];
  /** The training loss of each step. */
  readonly training: readonly (readonly [step: number, loss: number])[];
  /** The loss on text of the base's own kind afterwards; null without such text. */
  readonly ownText: number | null;
}

type Task<A> = TE.TaskEither<PacaError, A>;

const encode = (value: unknown): Uint8Array => new TextEncoder().encode(`${JSON.stringify(value, null, 2)}\n`);

const readDone = (store: Store, name: string): Task<unknown> =>
  pipe(
    store.list,
    TE.chain((names) =>
      names.includes(name)
        ? pipe(
            () => store.read(name),
            TE.chainEitherK((bytes) => parseStrictJson(new TextDecoder().decode(bytes), name)),
          )
        : TE.right(null),
    ),
  );

/** What `compute` gives, kept in a file of that name, from which it is read the next time. */
export const kept = <A>(store: Store, name: string, compute: Task<A>): Task<A> =>
  pipe(
    readDone(store, name),
    TE.chain((done) =>
      done !== null
        ? TE.right(done as A)
        : pipe(
            compute,
            TE.chainFirst((value) => () => store.write(name, encode(value))),
          ),
    ),
  );

/** What was logged on the way, and the end. */
const curveOf = (events: readonly Logged[], { steps, loss }: TextResult): readonly Validated[] => {
  const times = pointsOf(events, 'step', (e) => e.ms);
  const seconds = (step: number): number =>
    times.filter(([at]) => at <= step).reduce((sum, [, ms]) => sum + ms / 1000, 0);
  const points = pointsOf(events, 'eval', (e) => (e.metrics as { loss?: number }).loss);
  return [...points.filter(([step]) => step < steps), [steps, loss as number] as const].map(([step, value]) => ({
    ...{ step, loss: value, seconds: seconds(step) },
  }));
};

/** What `paca eval` says of a model on a file. Keys that are not given are left to it. */
export const evaluated = (
  world: World,
  { base, backend, threads }: Pick<TextInput, 'base' | 'backend' | 'threads'>,
  on: {
    readonly data: string;
    readonly adapter: string | null;
    readonly choices?: readonly string[] | null | undefined;
    readonly format?: string | undefined;
    readonly reference?: string;
  },
): Task<EvalReport> => {
  const { choices, ...others } = on;
  const given = { base, ...others, backend, threads, choices: choices && JSON.stringify(choices) };
  const flags = Object.entries(given).flatMap(([name, value]) => (value == null ? [] : [`--${name}`, String(value)]));
  return pipe(
    childJson(world, ['eval', ...flags]),
    TE.map((report) => report as EvalReport),
  );
};

/** The loss of a base, or of what a run made of it, on text of the base's own kind. */
export const ownTextLoss = (
  world: World,
  model: Pick<TextInput, 'base' | 'backend' | 'threads'>,
  ownText: string | null,
  adapter: string | null,
): Task<number | null> =>
  ownText === null
    ? TE.right(null)
    : pipe(
        evaluated(world, model, { data: ownText, adapter }),
        TE.map(({ loss }) => loss),
      );

/** Something done to a file or a folder, or why it could not be. */
const onDisk =
  (path: string, act: () => Promise<void>): Task<void> =>
  () =>
    act().then(
      () => E.right(undefined),
      (error: Error) => fail('FileError', 'a place that can be written', error.message, path),
    );

const finetune = (world: World, folder: string, trial: Trial): Task<TextResult> => {
  const [config, run] = [join(folder, `${trial.id}.json`), join(folder, trial.id)];
  return pipe(
    TE.fromIO(() => world.terminal.write(`paca: run ${trial.id}\n`)),
    TE.chain(() => onDisk(config, () => writeFile(config, encode(trial.config)))),
    TE.chain(() => nodeStore(run).list),
    TE.chain((names) => {
      const resume = names.includes('config.json') ? ['--resume'] : [];
      return childJson(world, ['finetune', config, '--run', run, ...resume]);
    }),
    TE.map((result) => result as TextResult),
  );
};

/** A run that ended in numbers that are not finite: its learning rate was too high. */
interface Diverged {
  readonly diverged: string;
}

const orDiverged = (run: Task<TextResult>): Task<TextResult | Diverged> =>
  pipe(
    run,
    TE.orElse(
      (e): Task<TextResult | Diverged> => (e.tag === 'NonFiniteError' ? TE.right({ diverged: e.came }) : TE.left(e)),
    ),
  );

/** Runs a trial in `folder`, or reads what an earlier session left of it; null if it diverged. */
export const carryOut = (world: World, folder: string, trial: Trial): Task<Outcome | null> => {
  const store = nodeStore(folder);
  const run = orDiverged(finetune(world, folder, trial));
  return pipe(
    kept<TextResult | Diverged>(store, `${trial.id}.result.json`, run),
    TE.chain((result): Task<Outcome | null> => {
      if ('diverged' in result) return TE.right(null);
      const ownText = ownTextLoss(world, trial.config, trial.task.ownText, result.adapter);
      return pipe(
        TE.Do,
        TE.bind('events', () => () => readEvents(nodeStore(join(folder, trial.id)), Number.POSITIVE_INFINITY)),
        TE.bind('ownText', () => kept(store, `${trial.id}.own-text.json`, ownText)),
        TE.map(({ events, ownText }) => ({
          ...{ trial, result, ownText },
          curve: curveOf(events, result),
          training: pointsOf(events, 'step', (e) => e.loss),
        })),
      );
    }),
  );
};

/** In a folder that a command made: what the command said. */
const SAID = 'paca.json';

/** A folder of a model that a command writes, made once, and what the command said: it has its name when it is whole. */
export const madeOnce = <A>(world: World, out: string, argv: readonly string[]): Task<A> => {
  const half = `${out}.half`;
  const make = pipe(
    onDisk(half, () => rm(half, { recursive: true, force: true })),
    TE.chain(() => childJson(world, [...argv, '--out', half])),
    TE.chainFirst((said) => () => nodeStore(half).write(SAID, encode(said))),
    TE.chainFirst(() => onDisk(out, () => rename(half, out))),
  );
  return pipe(
    readDone(nodeStore(out), SAID),
    TE.chain((said) => (said === null ? make : TE.right(said))),
    TE.map((said) => said as A),
  );
};

/** The base of a task in NF4, and the error of each layer. */
export const quantised = (world: World, { input, quantisedBase }: Trial['task']): Task<QuantiseReport> =>
  madeOnce(world, quantisedBase, ['quantise', '--base', input.base]);

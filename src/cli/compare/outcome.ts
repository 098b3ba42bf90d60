/** A trial carried out: one fine-tuning run in a process of its own, and what it left. A trial that is done is not run again. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Store } from '../../io/store.ts';
import { nodeStore } from '../../io/store-node.ts';
import { fail, type PacaError } from '../../spec/errors.ts';
import { parseStrictJson } from '../../spec/strict-json.ts';
import type { World } from '../command.ts';
import { childJson } from '../run/child.ts';
import { pointsOf } from '../run/follow.ts';
import { type Logged, readEvents } from '../run/run-folder.ts';
import type { TextResult } from '../text/session.ts';
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

const curveOf = (events: readonly Logged[]): readonly Validated[] => {
  const times = new Map(pointsOf(events, 'step', (e) => e.ms));
  return pointsOf(events, 'eval', (e) => (e.metrics as { loss?: number }).loss).map(([step, loss]) => {
    const ms = [...times].filter(([at]) => at <= step).reduce((sum, [, time]) => sum + time, 0);
    return { step, loss, seconds: ms / 1000 };
  });
};

/** The loss of a base, or of what a run made of it, on text of the base's own kind. */
export const ownTextLoss = (
  world: World,
  base: string,
  ownText: string | null,
  adapter: string | null,
): Task<number | null> => {
  if (ownText === null) return TE.right(null);
  const argv = ['eval', '--base', base, '--data', ownText, ...(adapter === null ? [] : ['--adapter', adapter])];
  return pipe(
    childJson(world, argv),
    TE.map((report) => (report as { readonly loss: number }).loss),
  );
};

const finetune = (world: World, folder: string, trial: Trial): Task<TextResult> => {
  const [config, run] = [join(folder, `${trial.id}.json`), join(folder, trial.id)];
  const write: Task<void> = () =>
    writeFile(config, encode(trial.config)).then(
      () => E.right(undefined),
      (error: Error) => fail('FileError', 'a file that can be written', error.message, config),
    );
  return pipe(
    write,
    TE.chain(() => nodeStore(run).list),
    TE.chain((names) => {
      const resume = names.includes('config.json') ? ['--resume'] : [];
      return childJson(world, ['finetune', config, '--run', run, ...resume]);
    }),
    TE.map((result) => result as TextResult),
  );
};

const without = ({ loss }: TextResult, { id }: Trial): PacaError => ({
  tag: 'ConfigError',
  expected: 'a validation part, by which learning rates are chosen',
  came: String(loss),
  where: id,
});

/** Runs a trial in `folder`, or reads what an earlier session left of it. */
export const carryOut = (world: World, folder: string, trial: Trial): Task<Outcome> => {
  const store = nodeStore(folder);
  return pipe(
    TE.Do,
    TE.bind('result', () => kept(store, `${trial.id}.result.json`, finetune(world, folder, trial))),
    TE.chainFirst(({ result }) => (result.loss === null ? TE.left(without(result, trial)) : TE.right(null))),
    TE.bind('events', () => () => readEvents(nodeStore(join(folder, trial.id)), Number.POSITIVE_INFINITY)),
    TE.bind('ownText', ({ result }) =>
      kept(
        store,
        `${trial.id}.own-text.json`,
        ownTextLoss(world, trial.task.input.base, trial.task.ownText, result.adapter),
      ),
    ),
    TE.map(({ result, events, ownText }) => ({ trial, result, curve: curveOf(events), ownText })),
  );
};

/** The base in NF4, made once: what an earlier session left half is made anew. */
export const quantised = (world: World, base: string, out: string): Task<void> =>
  pipe(
    nodeStore(out).list,
    TE.chain((names): Task<unknown> => {
      if (names.includes('config.json')) return TE.right(null);
      return pipe(
        () => rm(out, { recursive: true, force: true }).then(() => E.right(null)),
        TE.chain(() => childJson(world, ['quantise', '--base', base, '--out', out])),
      );
    }),
    TE.map(() => undefined),
  );

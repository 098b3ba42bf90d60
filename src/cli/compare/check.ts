/** What a comparison finds wrong before its first run begins: a run that fails after an hour has cost an hour. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { checkRanks } from '../run/selection.ts';
import type { Base } from '../text/base.ts';
import { loadData, stepsOf, type TextData } from '../text/data.ts';
import { readTest } from '../text/judge.ts';
import { checkSettings } from '../text/session.ts';
import { dataSettings, textSettings } from '../text/settings.ts';
import { contestantsOf, firstTrials, type Trial } from './contestants.ts';
import type { Task as ComparedTask, Comparison } from './settings.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

/** The first trials of all contestants on a task. Errors: a config that no run would take. */
const trialsOn = (comparison: Comparison, task: ComparedTask, pacaRank: number | null): Result<readonly Trial[]> =>
  pipe(
    contestantsOf(comparison),
    E.traverseArray((contestant) => firstTrials(comparison, task, contestant, pacaRank)),
    E.map((trials) => trials.flat()),
  );

/** Every run's config; a key that no method heeds is refused. `command`: whose it is. */
export const checkTrials = (comparison: Comparison, command: string): Result<null> =>
  pipe(
    comparison.tasks,
    E.traverseArray((task) => trialsOn(comparison, task, null)),
    E.chain((trials) => {
      const heeded = new Set(trials.flat().flatMap(({ config }) => Object.keys(config)));
      const idle = Object.keys(comparison.shared).find((key) => !heeded.has(key));
      if (trials.flat().length === 0) {
        return fail('ConfigError', 'a method that trains', comparison.methods.join(', '), 'methods');
      }
      return idle === undefined
        ? E.right(null)
        : fail('ConfigError', 'keys that have an effect on a method here', `'${idle}'`, command);
    }),
  );

/** The base bears the run's settings, and each weight its rank. */
const checkTrial =
  (base: Base, data: TextData) =>
  ({ config }: Trial): Result<unknown> =>
    pipe(
      checkSettings(textSettings(config, stepsOf(data, dataSettings(config))), base),
      E.chain((settings) => checkRanks(base.architecture, settings)),
    );

/** Text of the base's own kind, as its loss is measured on. */
const checkOwnText = (base: Base, { input, ownText }: ComparedTask): Task<unknown> =>
  ownText === null
    ? TE.right(null)
    : loadData(base, { ...dataSettings({ base: input.base, data: ownText }), validation: 0 });

const checkValidation = ({ validation }: TextData, { name }: ComparedTask): Result<null> =>
  validation.length > 0
    ? E.right(null)
    : fail('ConfigError', 'a validation part, by which learning rates are chosen', 'no sample in it', name);

/** The files of a task, and each of its trials over its base. */
export const checkTask = (
  comparison: Comparison,
  task: ComparedTask,
  base: Base,
  pacaRank: number | null,
): Task<unknown> =>
  pipe(
    TE.Do,
    TE.bind('trials', () => TE.fromEither(trialsOn(comparison, task, pacaRank))),
    TE.bind('data', ({ trials }) => loadData(base, dataSettings((trials[0] as Trial).config))),
    TE.chainFirstEitherK(({ data }) => checkValidation(data, task)),
    TE.chainFirstEitherK(({ data }) => readTest(base, data.test, task.input.choices ?? null)),
    TE.chainFirst(() => checkOwnText(base, task)),
    TE.chainEitherK(({ trials, data }) => E.traverseArray(checkTrial(base, data))(trials)),
  );

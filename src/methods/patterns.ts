/**
 * Numbers by module, as PEFT's `rank_pattern` and `alpha_pattern` give them: a key is a regular expression of the whole
 * path, or of its end behind a dot; the first that matches wins.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import type { PacaError, Result } from '../spec/errors.ts';
import { excerpt } from '../spec/strict-json.ts';

export type Patterns = readonly (readonly [matches: RegExp, value: number])[];

const patternOf = (key: string, where: string): Result<RegExp> =>
  pipe(
    E.tryCatch(() => new RegExp(`^(?:.*\\.)?(?:${key})$`, 'u'), String),
    E.mapLeft(
      (why): PacaError => ({
        tag: 'ConfigError',
        expected: 'a regular expression',
        came: `${excerpt(key)} (${excerpt(why)})`,
        where,
      }),
    ),
  );

/** Errors: a key that is no regular expression. */
export const patternsOf = (values: Readonly<Record<string, number>>, where: string): Result<Patterns> =>
  pipe(
    Object.entries(values),
    E.traverseArray(([key, value]) =>
      pipe(
        patternOf(key, where),
        E.map((matches) => [matches, value] as const),
      ),
    ),
  );

/** The module's own number, or the common one. */
export const valueAt = (patterns: Patterns, path: string, otherwise: number): number =>
  patterns.find(([matches]) => matches.test(path))?.[1] ?? otherwise;

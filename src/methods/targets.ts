/**
 * Which modules a method adapts, as PEFT reads `target_modules` and `exclude_modules`: a string is a regular expression
 * that must match the whole path, a list matches the whole path or its dotted suffix, and `all-linear` is every module
 * but the output head. Exclusions win.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';

export type ModulePattern = string | readonly string[];

export interface Targets {
  readonly targetModules: ModulePattern;
  readonly excludeModules?: ModulePattern;
}

type Matches = (path: string) => boolean;

const matcher = (pattern: ModulePattern, where: string): Result<Matches> => {
  if (typeof pattern !== 'string') {
    return E.right((path) => pattern.some((name) => path === name || path.endsWith(`.${name}`)));
  }
  return pipe(
    E.tryCatch(
      () => new RegExp(`^(?:${pattern})$`, 'u'),
      (e) => String(e),
    ),
    E.bimap(
      (why) => ({
        tag: 'ConfigError' as const,
        expected: 'a regular expression',
        came: `'${pattern}' (${why})`,
        where,
      }),
      (re) => (path: string) => re.test(path),
    ),
  );
};

/**
 * The paths that are adapted, in their own order; an error if there is none.
 *
 * @example
 * ```ts
 * import { matchTargets, orThrow } from 'paca-ts';
 *
 * const paths = ['h.0.q_proj', 'h.0.k_proj', 'lm_head'];
 * orThrow(matchTargets({ targetModules: ['q_proj'] }, paths, 'lm_head')); // => ['h.0.q_proj']
 * orThrow(matchTargets({ targetModules: 'all-linear' }, paths, 'lm_head')); // => ['h.0.q_proj', 'h.0.k_proj']
 * ```
 */
export const matchTargets = (
  { targetModules, excludeModules = [] }: Targets,
  paths: readonly string[],
  head: string,
): Result<readonly string[]> =>
  pipe(
    targetModules === 'all-linear'
      ? E.right<never, Matches>((path) => path !== head)
      : matcher(targetModules, 'targetModules'),
    E.chain((included) =>
      pipe(
        matcher(excludeModules, 'excludeModules'),
        E.map((excluded) => paths.filter((path) => included(path) && !excluded(path))),
      ),
    ),
    E.chain((chosen) =>
      chosen.length > 0
        ? E.right(chosen)
        : fail(
            'ConfigError',
            `a pattern that matches some of ${paths.join(', ')}`,
            show(targetModules),
            'targetModules',
          ),
    ),
  );

const show = (pattern: ModulePattern): string => (typeof pattern === 'string' ? `'${pattern}'` : pattern.join(', '));

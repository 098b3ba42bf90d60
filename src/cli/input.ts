/** A command's config: the file that it names, if any, with the flags over it. */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import { type Arguments, parseConfigFile } from './args.ts';
import { readBytes } from './package-root.ts';

/** Keys that say the same thing in two ways: a flag of one takes the place of the other in the file. */
const rivals: Readonly<Record<string, string>> = { steps: 'epochs', epochs: 'steps' };

/** `keys`: the flags that belong to the config; `parse` checks the whole and says where a fault lies. */
export const readInput = <A>(
  { positionals, values }: Arguments,
  keys: readonly string[],
  parse: (input: unknown, where: string) => Result<A>,
): TE.TaskEither<PacaError, A> => {
  const flags = Object.fromEntries(Object.entries(values).filter(([key]) => keys.includes(key)));
  const replaced = Object.keys(flags).map((key) => rivals[key]);
  const [path, ...rest] = positionals;
  if (rest.length > 0) return TE.fromEither(fail('ConfigError', 'one config file', rest.join(' '), 'arguments'));
  if (path === undefined) return TE.fromEither(parse(flags, 'arguments'));
  return pipe(
    () => readBytes(path),
    TE.chainEitherK((bytes) => parseConfigFile(new TextDecoder().decode(bytes), path)),
    TE.chainEitherK((file) => {
      const kept = Object.fromEntries(Object.entries(file).filter(([key]) => !replaced.includes(key)));
      return parse({ ...kept, ...flags }, path);
    }),
  );
};

/** Input held to a schema: an unknown key, and a value of the wrong kind, are errors that say where they stand. */
import * as E from 'fp-ts/lib/Either.js';
import * as v from 'valibot';
import { fail, type Result } from '../spec/errors.ts';

/** `keys`: those of the schema, to be listed where another is given. */
export const parseWith = <A>(
  schema: v.GenericSchema<unknown, A>,
  keys: readonly string[],
  input: unknown,
  where: string,
): Result<A> => {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    return fail('ConfigError', 'a mapping of keys to values', JSON.stringify(input) ?? 'nothing', where);
  }
  const unknown = Object.keys(input).find((key) => !keys.includes(key));
  if (unknown !== undefined) return fail('ConfigError', `one of ${keys.join(', ')}`, `'${unknown}'`, where);
  const parsed = v.safeParse(schema, input, { abortEarly: true });
  if (parsed.success) return E.right(parsed.output);
  const [issue] = parsed.issues;
  return fail('ConfigError', issue.expected ?? issue.message, issue.received, `${where}: ${v.getDotPath(issue)}`);
};

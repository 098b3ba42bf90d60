/** Input held to a schema: an unknown key, and a value of the wrong kind, are errors that say where they stand. */
import * as E from 'fp-ts/lib/Either.js';
import * as v from 'valibot';
import { fail, type Result } from '../spec/errors.ts';

/** The values that configs are made of. */
export const count: v.GenericSchema<number> = v.pipe(v.number(), v.integer(), v.minValue(1));
export const positive: v.GenericSchema<number> = v.pipe(v.number(), v.finite(), v.gtValue(0));
/** 0 ≤ x < 1. */
export const share: v.GenericSchema<number> = v.pipe(v.number(), v.minValue(0), v.ltValue(1));
export const seed: v.GenericSchema<number> = v.pipe(v.number(), v.safeInteger());
export const path: v.GenericSchema<string> = v.pipe(v.string(), v.minLength(1));
/** PEFT's `target_modules`: a pattern for whole paths, or the ends of paths. */
export const modules: v.GenericSchema<string | string[]> = v.union([v.string(), v.array(v.string())]);

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

const units: Readonly<Record<string, number>> = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 };
const size = /^(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB|TiB)$/;

/** `8GiB`, as bytes. */
export const bytes: v.GenericSchema<unknown, number> = v.pipe(
  v.string(),
  v.check((text) => size.test(text), 'a size in B, KiB, MiB, GiB or TiB, as in 8GiB'),
  v.transform((text): number => {
    const [, number, unit = ''] = size.exec(text) as RegExpExecArray;
    return Math.floor(Number(number) * (units[unit] as number));
  }),
);

/** A config's keys among `own`, and the others. */
export const splitKeys = (
  input: unknown,
  own: readonly string[],
): readonly [own: Record<string, unknown>, others: Record<string, unknown>] => {
  const entries = Object.entries(Object(input));
  const part = (mine: boolean): Record<string, unknown> =>
    Object.fromEntries(entries.filter(([key]) => own.includes(key) === mine));
  return [part(true), part(false)];
};

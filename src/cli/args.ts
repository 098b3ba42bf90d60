/**
 * Command lines: `paca COMMAND [FILE] [--key value …]`. Flags are the config's keys, `--learning-rate` and
 * `--learningRate` alike; values are read as YAML, so `50` is a number and `[a, b]` a list. Unknown flags are refused.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { parse as parseYaml } from 'yaml';
import { fail, type Result } from '../spec/errors.ts';

export interface Arguments {
  readonly positionals: readonly string[];
  /** Values by key, in camel case; `true` for switches. */
  readonly values: Readonly<Record<string, unknown>>;
}

export interface Accepted {
  /** Flags that take a value. */
  readonly keys: readonly string[];
  /** Flags that take none. */
  readonly switches: readonly string[];
}

const camel = (flag: string): string => flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The flag of a key: `--learning-rate`. */
export const kebab = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const readYaml = (text: string, where: string): Result<unknown> =>
  E.tryCatch(
    (): unknown => parseYaml(text),
    (e) => ({ tag: 'ConfigError' as const, expected: 'YAML or JSON', came: String(e).split('\n')[0] ?? '', where }),
  );

/** The arguments after the command's name. */
export const parseArguments = (argv: readonly string[], { keys, switches }: Accepted): Result<Arguments> => {
  const positionals: string[] = [];
  const values: Record<string, unknown> = {};
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string;
    if (!word.startsWith('--')) {
      positionals.push(word);
      continue;
    }
    const [flag = '', ...inline] = word.slice(2).split('=');
    const key = camel(flag);
    if (Object.hasOwn(values, key)) return fail('ConfigError', `--${flag} once`, 'it twice', 'arguments');
    if (switches.includes(key)) {
      if (inline.length > 0) return fail('ConfigError', `--${flag} without a value`, `'${word}'`, 'arguments');
      values[key] = true;
      continue;
    }
    if (!keys.includes(key)) {
      const known = [...keys, ...switches].map(kebab).join(' ');
      return fail('ConfigError', `one of ${known}`, `'${word}'`, 'arguments');
    }
    const text = inline.length > 0 ? inline.join('=') : argv[++i];
    if (text === undefined) return fail('ConfigError', `a value after --${flag}`, 'nothing', 'arguments');
    const value = readYaml(text, `--${flag}`);
    if (E.isLeft(value)) return value;
    values[key] = value.right;
  }
  return E.right({ positionals, values });
};

/** The mapping that a config file holds. */
export const parseConfigFile = (text: string, where: string): Result<Readonly<Record<string, unknown>>> =>
  pipe(
    readYaml(text, where),
    E.chain((value) =>
      typeof value === 'object' && value !== null && !Array.isArray(value)
        ? E.right(value as Readonly<Record<string, unknown>>)
        : fail('ConfigError', 'a mapping of keys to values', JSON.stringify(value) ?? 'nothing', where),
    ),
  );

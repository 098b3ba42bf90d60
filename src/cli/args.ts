/**
 * Command lines: `paca COMMAND [FILE] [--key value …]`. Flags are the config's keys, `--learning-rate` and
 * `--learningRate` alike; values are read as YAML, so `50` is a number and `[a, b]` a list; a text is taken as it stands. Unknown flags
 * are refused.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { parseDocument } from 'yaml';
import { fail, type Result } from '../spec/errors.ts';

export interface Arguments {
  readonly positionals: readonly string[];
  /** Values by key, in camel case; `true` for switches. */
  readonly values: Readonly<Record<string, unknown>>;
}

export interface Accepted {
  /** Flags that take a value, in YAML. */
  readonly keys: readonly string[];
  /** Flags whose value is taken as it stands. */
  readonly texts: readonly string[];
  /** Flags that take none. */
  readonly switches: readonly string[];
}

const camel = (flag: string): string => flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** The flag of a key: `--learning-rate`. */
export const kebab = (key: string): string => `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** What YAML only warns of, an unknown tag for one, is refused too. */
const parseYaml = (text: string): unknown => {
  const document = parseDocument(text, { logLevel: 'error' });
  const [wrong] = [...document.errors, ...document.warnings];
  if (wrong !== undefined) throw wrong;
  return document.toJS();
};

const readYaml = (text: string, where: string): Result<unknown> =>
  E.tryCatch(
    () => parseYaml(text),
    (e) => ({ tag: 'ConfigError' as const, expected: 'YAML or JSON', came: String(e).split('\n')[0] ?? '', where }),
  );

/** The text of a flag's value: what follows `=`, or the next word, unless that is a flag itself. */
const valueText = (flag: string, inline: readonly string[], next: string | undefined): Result<string> => {
  const text = inline.length > 0 ? inline.join('=') : next;
  const isFlag = inline.length === 0 && text?.startsWith('--');
  return text && !isFlag
    ? E.right(text)
    : fail('ConfigError', `a value after --${flag}`, text ? `'${text}'` : 'nothing', 'arguments');
};

/** The arguments after the command's name. */
export const parseArguments = (argv: readonly string[], { keys, texts, switches }: Accepted): Result<Arguments> => {
  const positionals: string[] = [];
  const values: Record<string, unknown> = {};
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] as string;
    if (!/^-./.test(word)) {
      positionals.push(word);
      continue;
    }
    const [flag = '', ...inline] = word.slice(2).split('=');
    const key = word.startsWith('--') ? camel(flag) : word;
    if (Object.hasOwn(values, key)) return fail('ConfigError', `--${flag} once`, 'it twice', 'arguments');
    if (switches.includes(key)) {
      if (inline.length > 0) return fail('ConfigError', `--${flag} without a value`, `'${word}'`, 'arguments');
      values[key] = true;
      continue;
    }
    const isText = texts.includes(key);
    if (!isText && !keys.includes(key)) {
      const known = [...texts, ...keys, ...switches].map(kebab).join(' ');
      return fail('ConfigError', `one of ${known}`, `'${word}'`, 'arguments');
    }
    const text = valueText(flag, inline, inline.length > 0 ? undefined : argv[++i]);
    const value = E.isRight(text) && !isText ? readYaml(text.right, `--${flag}`) : text;
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

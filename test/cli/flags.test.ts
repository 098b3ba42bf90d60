/** Command lines and config files as values: what is read, what is refused, and that no text makes the parser throw. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { type Accepted, parseArguments, parseConfigFile } from '../../src/cli/args.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';

const accepted: Accepted = { keys: ['learningRate', 'rank', 'select'], texts: ['run'], switches: ['json', 'dryRun'] };

const valuesOf = (...argv: readonly string[]) => orThrow(parseArguments(argv, accepted)).values;

const errorOf = (...argv: readonly string[]) => {
  const result = parseArguments(argv, accepted);
  return E.isLeft(result) ? result.left : null;
};

describe('parseArguments', () => {
  it.each<[readonly string[], Readonly<Record<string, unknown>>]>([
    [[], {}],
    [['--learning-rate', '0.1'], { learningRate: 0.1 }],
    [['--learningRate=1e-3'], { learningRate: 0.001 }],
    [['--rank', '-1'], { rank: -1 }],
    [['--select', '[a, "b c"]'], { select: ['a', 'b c'] }],
    [['--select==x=y'], { select: '=x=y' }],
    [['--select=--x'], { select: '--x' }],
    [['--json', '--dry-run'], { json: true, dryRun: true }],
    [['--dryRun', '--rank', '3'], { dryRun: true, rank: 3 }],
  ])('%j', (argv, values) => {
    expect(valuesOf(...argv)).toEqual(values);
  });

  it('takes a text as it stands', () => {
    for (const text of ['2024', 'null', '#1', 'a: b', '[x', 'a folder', '-', '-x']) {
      expect(valuesOf('--run', text)).toEqual({ run: text });
    }
  });

  it('keeps words that are no flags in their order', () => {
    const { positionals } = orThrow(parseArguments(['a', '--rank', '3', 'b', '-', '--json', 'c'], accepted));
    expect(positionals).toEqual(['a', 'b', '-', 'c']);
  });

  it.each<[readonly string[], string]>([
    [['--rank'], 'nothing'],
    [['--rank', ''], 'nothing'],
    [['--rank='], 'nothing'],
    [['--run', ''], 'nothing'],
    [['--run', '--json'], "'--json'"],
    [['--rank', '--json'], "'--json'"],
    [['--rank', '1', '--rank', '2'], 'it twice'],
    [['--learning-rate', '1', '--learningRate', '1'], 'it twice'],
    [['--json', '--json'], 'it twice'],
    [['--json=true'], "'--json=true'"],
    [['-rank', '8'], "'-rank'"],
    [['-h'], "'-h'"],
    [['--'], "'--'"],
    [['--Rank', '8'], "'--Rank'"],
    [['--constructor', '8'], "'--constructor'"],
    [['--__proto__', '8'], "'--__proto__'"],
  ])('refuses %j', (argv, came) => {
    expect(errorOf(...argv)).toMatchObject({ tag: 'ConfigError', came, where: 'arguments' });
  });

  it('names every flag to one who misspells it', () => {
    expect(errorOf('--rnak', '1')?.expected).toBe('one of --run --learning-rate --rank --select --json --dry-run');
  });

  it('names the flag whose value is no YAML', () => {
    expect(errorOf('--select', '[a')).toMatchObject({ tag: 'ConfigError', where: '--select' });
  });

  it('reads every number and list of words back', () => {
    const value = fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.integer(),
      fc.array(fc.stringMatching(/^[a-z.0-9]*$/)),
    );
    fc.assert(
      fc.property(value, (v) => {
        expect(valuesOf('--rank', JSON.stringify(v))).toEqual({ rank: JSON.parse(JSON.stringify(v)) });
      }),
    );
  });

  it('returns for any words', () => {
    const word = fc.oneof(fc.string(), fc.constantFrom('--rank', '--run', '--json', '--select', '=', '--', '-'));
    fc.assert(
      fc.property(fc.array(word), (argv) => {
        const error = errorOf(...argv);
        if (error !== null) expect(error.tag).toBe('ConfigError');
      }),
      { numRuns: 300 },
    );
  });
});

describe('parseConfigFile', () => {
  it('reads YAML and JSON alike', () => {
    const expected = { rank: 8, select: ['a', 'b'] };
    expect(orThrow(parseConfigFile('rank: 8 # columns\nselect: [a, b]\n', 'f'))).toEqual(expected);
    expect(orThrow(parseConfigFile(JSON.stringify(expected), 'f'))).toEqual(expected);
  });

  it.each([
    ['nothing', ''],
    ['a comment', '# rank: 8\n'],
    ['a word', 'rank'],
    ['a list', '- rank\n'],
    ['a number', '8'],
    ['no YAML', 'rank: [8\n'],
    ['a key twice', 'rank: 8\nrank: 9\n'],
    ['two documents', 'rank: 8\n---\nrank: 9\n'],
    ['an alias of nothing', 'rank: *nobody\n'],
    ['a tag that nobody knows', 'rank: !columns 8\n'],
    ['tabs for indentation', 'a:\n\tb: 1\n'],
    [
      'an alias bomb',
      `a: &a [x, x]\n${[...'bcdefghijk'].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefghijk'[i]}`)}]`).join('\n')}\n`,
    ],
  ])('refuses %s, and names the file', (_, text) => {
    const result = parseConfigFile(text, 'config.yaml');
    expect(E.isLeft(result) && result.left).toMatchObject({ tag: 'ConfigError', where: 'config.yaml' });
    expect(E.isLeft(result) && result.left.came).not.toContain('\n');
  });

  it('returns for any text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...' \n:-[]{}#&*!|>\'"%@`,?x1~<') }), (text) => {
        const result = parseConfigFile(text, 'f');
        if (E.isRight(result)) expect(typeof result.right).toBe('object');
        else expect(result.left.tag).toBe('ConfigError');
      }),
      { numRuns: 500 },
    );
  });
});

/** Strict JSON against JSON.parse: the same value, or a refusal where JSON.parse refuses or a key comes twice. */

import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { showError } from '../../src/spec/errors.ts';
import { excerpt, maxDepth, parseStrictJson } from '../../src/spec/strict-json.ts';

const shown = (text: string): string =>
  E.match(showError, (value) => `accepted ${JSON.stringify(value)}`)(parseStrictJson(text, 'x.json'));

describe('parseStrictJson', () => {
  test('is JSON.parse on text that JSON.stringify wrote', () => {
    const options = { stringUnit: 'binary', noNullPrototype: false } as const;
    fc.assert(
      fc.property(fc.jsonValue(options), fc.constantFrom(undefined, 1, '\t'), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(parseStrictJson(text, '')).toEqual(E.right(JSON.parse(text)));
      }),
      { numRuns: 100 },
    );
  });

  test('refuses what JSON.parse refuses', () => {
    const pieces = ['{', '}', '[', ']', '"', ':', ',', '\\', '1', 'a', ' ', '"k"', '"k":', 'true', '\\"', '\\u0041'];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 8 }), (parts) => {
        const text = parts.join('');
        const parsed = E.tryCatch(
          () => JSON.parse(text) as unknown,
          () => 'refused',
        );
        const strict = parseStrictJson(text, '');
        if (E.isLeft(parsed)) expect(E.isLeft(strict)).toBe(true);
        if (E.isRight(strict)) expect(strict).toEqual(parsed);
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    ['{"a":1,"a":1}', 'the key "a" twice'],
    ['{"a":1,"b":2,"\\u0061":3}', 'the key "a" twice'],
    ['[{"x":{"k":[],"k" \n\t:0}}]', 'the key "k" twice'],
    ['{"a":{"b":1},"a":2}', 'the key "a" twice'],
    ['{"":1,"":2}', 'the key "" twice'],
    ['{"__proto__":1,"__proto__":2}', 'the key "__proto__" twice'],
    ['{"a\\\\":1,"a\\\\":2}', 'the key "a\\\\" twice'],
  ])('refuses %s', (text, message) => {
    expect(shown(text)).toContain(message);
  });

  test.each([
    '{"a":{"a":{"a":1}},"b":{"a":1}}',
    '[{"a":1},{"a":1}]',
    '{"a":"a","b":"a"}',
    '{"a":"\\"b\\":","b":"{\\"b\\":"}',
    '{"a":["b","b"],"b":[]}',
    '{"a":1,"A":2,"a ":3}',
  ])('takes %s', (text) => {
    expect(shown(text)).toBe(`accepted ${text}`);
  });

  test('bounds the depth, brackets in strings aside', () => {
    const nested = (n: number): string => '['.repeat(n) + ']'.repeat(n);
    expect(shown(nested(maxDepth))).toMatch(/^accepted/);
    expect(shown(nested(maxDepth + 1))).toContain('more than 64 open brackets');
    expect(shown(`"${nested(1000)}"`)).toMatch(/^accepted/);
    expect(shown(`[${'[],'.repeat(1000)}1]`)).toMatch(/^accepted/);
  });
});

test('excerpt shows JSON and cuts it', () => {
  expect(excerpt({ a: [1] })).toBe('{"a":[1]}');
  expect(excerpt(undefined)).toBe('nothing');
  expect(excerpt('x'.repeat(1000)).length).toBeLessThan(90);
});

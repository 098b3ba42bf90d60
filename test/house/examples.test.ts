/**
 * The example check: what it finds in documents and docstrings, and that a stated value that is wrong cannot pass.
 */
import { describe, expect, it } from 'vitest';
import { withAssertions } from '../../scripts/examples/assert.ts';
import { examplesInMarkdown, examplesInSource } from '../../scripts/examples/extract.ts';

const text = (...lines: readonly string[]): string => lines.join('\n');

describe('examples in Markdown', () => {
  it('finds ts blocks and sh blocks marked run, and no others', () => {
    const found = examplesInMarkdown(
      'a.md',
      text(
        '```ts',
        'one();',
        '```',
        '```sh',
        'no',
        '```',
        '```sh run',
        'yes',
        '```',
        '```json',
        '{}',
        '```',
        '```',
        'x',
        '```',
      ),
    );
    expect(found).toEqual([
      { file: 'a.md', line: 2, language: 'ts', code: '\none();', run: true },
      { file: 'a.md', line: 8, language: 'sh', code: 'yes', run: true },
    ]);
  });

  it('keeps the line numbers of the document, also of a block inside a list', () => {
    const [example] = examplesInMarkdown(
      'a.md',
      text('- item', '', '  ```ts', '  if (a) {', '    b();', '  }', '  ```'),
    );
    expect(example).toMatchObject({ line: 4, code: text('', '', '', 'if (a) {', '  b();', '}') });
  });

  it('joins a continued block to the ts block before it, each line in its place', () => {
    const document = text(
      '```ts',
      'one();',
      '```',
      '',
      '```sh run',
      'x',
      '```',
      '```ts continued',
      'two();',
      '```',
      '```ts',
      'three();',
      '```',
    );
    const found = examplesInMarkdown('a.md', document).filter(({ language }) => language === 'ts');
    const [first, second, ...rest] = found;
    expect(rest).toEqual([]);
    expect(first?.code.split('\n')).toEqual(['', 'one();', '', '', '', '', '', '', 'two();']);
    expect(second?.code.trim()).toBe('three();');
  });

  it('only type-checks a block marked types-only, and reads longer fences to their end', () => {
    expect(examplesInMarkdown('a.md', text('````ts types-only', 'a;', '```', 'b;', '````'))).toEqual([
      { file: 'a.md', line: 2, language: 'ts', code: text('', 'a;', '```', 'b;'), run: false },
    ]);
  });
});

describe('examples in docstrings', () => {
  it('finds the ts blocks below each @example, and takes all of it where there is no fence', () => {
    const source = text(
      '/**',
      ' * Head.',
      ' *',
      ' * @example',
      ' * ```ts',
      ' * fenced();',
      ' * ```',
      ' * @example a title',
      ' * bare();',
      ' *',
      ' * @returns nothing',
      ' */',
      'export const a = 1;',
      "const s = '/** @example */';",
    );
    const found = examplesInSource('src/a.ts', source);
    expect(found.map(({ line, code }) => [line, code.trim()])).toEqual([
      [6, 'fenced();'],
      [9, 'bare();'],
    ]);
    for (const { line, code } of found) expect(code.split('\n')[line - 1]).toBe(code.trim());
  });

  it('finds them in a header that documents no declaration', () => {
    expect(examplesInSource('src/a.ts', text('/**', ' * @example', ' * a();', ' */', '', '// end'))).toHaveLength(1);
  });

  it('finds none in an ordinary comment, nor a block outside an @example', () => {
    expect(
      examplesInSource(
        'src/a.ts',
        text('/* @example', 'a(); */', '/**', ' * ```ts', ' * a();', ' * ```', ' */', 'f();'),
      ),
    ).toEqual([]);
  });
});

/** Runs code that was rewritten, with the assertion it calls replaced by one that records. */
const checkedIn = (code: string): readonly (readonly [unknown, unknown])[] => {
  const [body = ''] = withAssertions(code).code.split('\nimport { deepStrictEqual');
  const pairs: [unknown, unknown][] = [];
  new Function('expectInExample', body)((actual: unknown, expected: unknown) => pairs.push([actual, expected]));
  return pairs;
};

describe('stated values', () => {
  it('compares an expression, the argument of console.log, and a declared name', () => {
    expect(
      checkedIn(text('1 + 1; // => 3', 'console.log([1]); // => [2]', 'const a = { b: 1 }; // => { b: 2 }', 'a')),
    ).toEqual([
      [2, 3],
      [[1], [2]],
      [{ b: 1 }, { b: 2 }],
    ]);
  });

  it('compares a statement of several lines by the mark on its last line', () => {
    expect(checkedIn(text('[1, 2]', '  .map((x) => x * 2)', '  .join(); // => "2,4"'))).toEqual([['2,4', '2,4']]);
  });

  it('keeps every line where it was', () => {
    const code = text('', 'f();', 'g(1); // => 2', 'h();');
    const { code: rewritten } = withAssertions(code);
    const lines = rewritten.split('\n');
    expect([lines[1], lines[3]]).toEqual(['f();', 'h();']);
    expect(lines[2]).toContain('g(1)');
  });

  it('reports a mark that no assertion came of, so that none passes unseen', () => {
    expect(withAssertions(text('f(() => {', '  g(); // => 1', '});', '// => 2', 'a; // => 3')).unchecked).toEqual([
      2, 4,
    ]);
    expect(withAssertions(text('const a = 1, b = 2; // => 1')).unchecked).toEqual([1]);
  });
});

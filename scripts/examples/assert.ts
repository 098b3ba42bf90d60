/**
 * Turns `expression; // => value` into an assertion. Pure: from code to code, line for line.
 *
 * `value` is an expression, compared by `assert.deepStrictEqual`. The statement is an expression, a `console.log` of one
 * argument (the argument counts), or the declaration of one name (its value counts); it stands at the top level.
 */
import ts from 'typescript';

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Added below the code, so that the lines above keep their numbers. */
const helper = `
import { deepStrictEqual as deepStrictEqualOfExample } from 'node:assert/strict';
function expectInExample(actual: unknown, expected: unknown): void {
  deepStrictEqualOfExample(actual, expected);
}
`;

const expectedAfter = (text: string, node: ts.Node): string | undefined =>
  (ts.getTrailingCommentRanges(text, node.end) ?? [])
    .map(({ pos, end }) => /^\/\/\s*=>\s*(.+)$/.exec(text.slice(pos, end))?.[1])
    .find((expected) => expected !== undefined);

/** The argument of a `console.log`, or the expression itself. */
const subjectOf = (node: ts.Expression): ts.Expression => {
  const isLog = ts.isCallExpression(node) && /^console\s*\.\s*log$/.test(node.expression.getText());
  return (isLog && node.arguments.length === 1 ? node.arguments[0] : undefined) ?? node;
};

const editOf = (node: ts.Statement, expected: string): readonly Edit[] => {
  if (ts.isExpressionStatement(node)) {
    const { expression } = node;
    const text = `expectInExample(${subjectOf(expression).getText()}, ${expected})`;
    return [{ start: expression.getStart(), end: expression.end, text }];
  }
  if (!ts.isVariableStatement(node) || node.declarationList.declarations.length !== 1) return [];
  const name = node.declarationList.declarations[0]?.name.getText();
  return [{ start: node.end, end: node.end, text: ` expectInExample(${name}, ${expected});` }];
};

/** The code with its assertions, or the lines whose `// =>` follows no statement of that kind. */
export const withAssertions = (code: string): { readonly code: string; readonly unchecked: readonly number[] } => {
  const source = ts.createSourceFile('example.ts', code, ts.ScriptTarget.Latest, true);
  const edits = source.statements.flatMap((statement) => {
    const expected = expectedAfter(code, statement);
    return expected === undefined ? [] : editOf(statement, expected);
  });
  const lineOf = (position: number): number => source.getLineAndCharacterOfPosition(position).line + 1;
  const checked = new Set(edits.map(({ end }) => lineOf(end)));
  const marked = code.split('\n').flatMap((line, i) => (/\/\/\s*=>/.test(line) ? [i + 1] : []));
  const rewritten = edits.reduceRight(
    (text, { start, end, text: put }) => text.slice(0, start) + put + text.slice(end),
    code,
  );
  return { code: rewritten + helper, unchecked: marked.filter((line) => !checked.has(line)) };
};

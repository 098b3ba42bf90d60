/**
 * Rule: no function whose bits differ between engines. `Math.exp` and its like, and `**`, are left to `src/spec`.
 *
 * An object is `Math` if its type is, so an alias (`const M = Math`), a destructuring and `Math['exp']` are seen too.
 * `**` is allowed between integer constants, where every engine is exact, and between bigints.
 */
import ts from 'typescript';
import { forEachNode, type Rule, type Subject, type Violation, violation } from './rule.ts';

const forbidden: ReadonlySet<string> = new Set(
  'exp expm1 log log1p log2 log10 pow sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh cbrt hypot random'.split(
    ' ',
  ),
);

const exactFunction = 'a function of src/spec: engines differ in the last bits';
const plainUse = 'Math.name, with the name in plain sight';

const typeOf = ({ program }: Subject, node: ts.Node): ts.Type => program.getTypeChecker().getTypeAtLocation(node);

const isMath = (subject: Subject, node: ts.Node): boolean => {
  const { name, declarations = [] } = typeOf(subject, node).getSymbol() ?? {};
  return name === 'Math' && declarations.some((d) => subject.program.isSourceFileDefaultLibrary(d.getSourceFile()));
};

const named = (subject: Subject, node: ts.Node, name: string | undefined): readonly Violation[] => {
  if (name === undefined) return [violation(subject, node, 'reads a computed name from Math', plainUse)];
  return forbidden.has(name) ? [violation(subject, node, `uses Math.${name}`, exactFunction)] : [];
};

/** The name that an element access reads, where its type says so. */
const nameOf = (subject: Subject, node: ts.Expression): string | undefined => {
  const type = typeOf(subject, node);
  return type.isStringLiteral() ? type.value : undefined;
};

const inPattern = (subject: Subject, pattern: ts.ObjectBindingPattern): readonly Violation[] =>
  pattern.elements.flatMap((element) => {
    const name = element.propertyName ?? element.name;
    const literal = ts.isIdentifier(name) || ts.isStringLiteral(name) ? name.text : undefined;
    return named(subject, element, element.dotDotDotToken === undefined ? literal : undefined);
  });

/** Whether `Math` is used where this rule follows it: before a dot or a bracket, or on the right of `const … =`. */
const isFollowed = ({ parent }: ts.Identifier): boolean =>
  ts.isPropertyAccessExpression(parent) ||
  ts.isElementAccessExpression(parent) ||
  ts.isVariableDeclaration(parent) ||
  ts.isTypeQueryNode(parent) ||
  ts.isTypeReferenceNode(parent);

export const mathRule: Rule = forEachNode((subject, node) => {
  if (ts.isPropertyAccessExpression(node) && isMath(subject, node.expression))
    return named(subject, node, node.name.text);
  if (ts.isElementAccessExpression(node) && isMath(subject, node.expression))
    return named(subject, node, nameOf(subject, node.argumentExpression));
  if (ts.isObjectBindingPattern(node)) {
    const { initializer } = node.parent;
    return initializer !== undefined && isMath(subject, initializer) ? inPattern(subject, node) : [];
  }
  if (ts.isIdentifier(node) && node.text === 'Math' && isMath(subject, node) && !isFollowed(node))
    return [violation(subject, node, 'hands on Math as a value', plainUse)];
  return [];
});

const isExactOperand = (subject: Subject, node: ts.Expression): boolean => {
  if (ts.isParenthesizedExpression(node)) return isExactOperand(subject, node.expression);
  if (ts.isPrefixUnaryExpression(node)) return isExactOperand(subject, node.operand);
  const type = typeOf(subject, node);
  return (type.flags & ts.TypeFlags.BigIntLike) !== 0 || (type.isNumberLiteral() && Number.isInteger(type.value));
};

export const powerRule: Rule = forEachNode((subject, node) => {
  if (!ts.isBinaryExpression(node)) return [];
  const { kind } = node.operatorToken;
  if (kind === ts.SyntaxKind.AsteriskAsteriskEqualsToken) return [violation(subject, node, 'uses **=', exactFunction)];
  if (kind !== ts.SyntaxKind.AsteriskAsteriskToken) return [];
  const exact = isExactOperand(subject, node.left) && isExactOperand(subject, node.right);
  return exact
    ? []
    : [violation(subject, node, 'uses **', 'integer constants on both sides, or a function of src/spec')];
});

/**
 * Rule: a browser-safe file uses no Node: no builtin module, and no global that only Node's types declare.
 *
 * Which globals are Node's is not listed here: a name is Node's if every declaration of it stands in `@types/node`.
 */
import { isBuiltin } from 'node:module';
import ts from 'typescript';
import { mayUseNode } from './house.ts';
import { referencesOf } from './imports.ts';
import { descendants, type Rule, type Subject, type Violation, violation } from './rule.ts';

const nodeFiles = 'only in src/cli and in *-node.ts files of src/io and of a backend';

const globalKinds =
  ts.SymbolFlags.Variable |
  ts.SymbolFlags.Function |
  ts.SymbolFlags.Class |
  ts.SymbolFlags.Interface |
  ts.SymbolFlags.Namespace;

const isNodeGlobal = ({ program }: Subject, node: ts.Identifier): boolean => {
  const symbol = program.getTypeChecker().getSymbolAtLocation(node);
  const declarations = symbol?.declarations ?? [];
  return (
    symbol !== undefined &&
    (symbol.flags & globalKinds) !== 0 &&
    declarations.length > 0 &&
    declarations.every((d) => d.getSourceFile().fileName.includes('/@types/node/'))
  );
};

/** The right half of `NodeJS.Timeout`: the left half is reported. */
const isMember = (node: ts.Identifier): boolean => ts.isQualifiedName(node.parent) && node.parent.right === node;

/** `import.meta.dirname` and its like, which browsers lack. */
const isNodeMeta = (node: ts.Node): node is ts.PropertyAccessExpression =>
  ts.isPropertyAccessExpression(node) &&
  ts.isMetaProperty(node.expression) &&
  ['dirname', 'filename', 'main'].includes(node.name.text);

const globalsIn = (subject: Subject): readonly Violation[] =>
  descendants(subject.source).flatMap((node) => {
    if (isNodeMeta(node)) return [violation(subject, node, `uses ${node.getText(subject.source)}`, nodeFiles)];
    if (!ts.isIdentifier(node) || isMember(node) || !isNodeGlobal(subject, node)) return [];
    return [violation(subject, node, `uses the Node global ${node.text}`, nodeFiles)];
  });

export const platformRule: Rule = (subject) => {
  if (mayUseNode(subject.path)) return [];
  const builtins = referencesOf(subject.source).flatMap(({ node, specifier = '' }) =>
    isBuiltin(specifier) ? [violation(subject, node, `imports ${specifier}`, nodeFiles)] : [],
  );
  return [...builtins, ...globalsIn(subject)];
};

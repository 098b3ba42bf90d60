/**
 * Rule: imports point one way, from the later rooms to the earlier ones, and reach a backend by one door only.
 *
 * Type imports, re-exports, dynamic imports and `import('…')` types count like any other.
 */
import { posix } from 'node:path';
import ts from 'typescript';
import { backendRooms, door, isNodeHalf, isRoom, mayImport, mayUseNode, roomOf, roomsBelow } from './house.ts';
import { descendants, type Rule, type Subject, type Violation, violation } from './rule.ts';

export interface Reference {
  readonly node: ts.Node;
  /** `undefined` where it is computed while the program runs. */
  readonly specifier: string | undefined;
  readonly dynamic: boolean;
}

const referenceOf = (node: ts.Node): readonly Reference[] => {
  const reference = (target: ts.Node | undefined, dynamic: boolean): readonly Reference[] => [
    { node, specifier: target !== undefined && ts.isStringLiteralLike(target) ? target.text : undefined, dynamic },
  ];
  if (ts.isImportDeclaration(node)) return reference(node.moduleSpecifier, false);
  if (ts.isExportDeclaration(node)) return node.moduleSpecifier ? reference(node.moduleSpecifier, false) : [];
  if (ts.isImportTypeNode(node))
    return reference(ts.isLiteralTypeNode(node.argument) ? node.argument.literal : undefined, false);
  if (ts.isExternalModuleReference(node)) return reference(node.expression, false);
  if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
    return reference(node.arguments[0], true);
  return [];
};

/** All that a file imports, in any way. */
export const referencesOf = (source: ts.SourceFile): readonly Reference[] => descendants(source).flatMap(referenceOf);

const isRelative = (specifier: string): boolean => /^\.{0,2}\//.test(specifier);

/** What is wrong with an import from `src/`: what would have been right, or `undefined` if nothing is wrong. */
const expectedOfSource = (from: string, to: string): string | undefined => {
  if (to.startsWith('backends/')) {
    if (!from.startsWith('src/cli/')) return 'no backend: only src/cli may import one';
    return to === door ? undefined : `only ${door}`;
  }
  if (!to.startsWith('src/')) return 'a file of src/';
  return mayImport(roomOf(from), roomOf(to)) ? undefined : `rooms: ${roomsBelow(roomOf(from))}`;
};

const expectedOfBackend = (from: string, to: string): string | undefined => {
  if (to.startsWith('src/')) return backendRooms.includes(roomOf(to)) ? undefined : `rooms: ${backendRooms.join(', ')}`;
  if (!to.startsWith('backends/')) return 'a file of src/ or backends/';
  return from === door || roomOf(from) === roomOf(to) ? undefined : 'only files of its own backend';
};

const expectedOfNodeHalf = (from: string, to: string, dynamic: boolean): string | undefined => {
  if (!isNodeHalf(to) || mayUseNode(from) || (from === door && dynamic)) return undefined;
  return `no *-node.ts in a browser-safe file (${door} may import one dynamically)`;
};

const check = (subject: Subject, { node, specifier, dynamic }: Reference): readonly Violation[] => {
  const { path } = subject;
  if (specifier === undefined)
    return mayUseNode(path) ? [] : [violation(subject, node, 'imports a computed name', 'a string literal')];
  if (/^paca-ts(\/|$)/.test(specifier))
    return [
      violation(subject, node, `imports ${specifier}`, 'a relative path: the package does not import itself by name'),
    ];
  if (!isRelative(specifier)) return [];
  const to = posix.join(posix.dirname(path), specifier);
  const direction = path.startsWith('src/') ? expectedOfSource(path, to) : expectedOfBackend(path, to);
  return [direction, expectedOfNodeHalf(path, to, dynamic)].flatMap((expected) =>
    expected === undefined ? [] : [violation(subject, node, `imports ${to}`, expected)],
  );
};

export const importRule: Rule = (subject) => {
  const homeless = subject.path.startsWith('src/') && !isRoom(roomOf(subject.path));
  return [
    ...(homeless ? [violation(subject, subject.source, 'is in no room', `rooms: ${roomsBelow('cli')}`)] : []),
    ...referencesOf(subject.source).flatMap((reference) => check(subject, reference)),
  ];
};

/**
 * What a rule of the house is: a pure function from one source file to the places where it is broken.
 */
import ts from 'typescript';

export interface Violation {
  /** Relative to the root of the package, with `/`. */
  readonly file: string;
  readonly line: number;
  readonly what: string;
  readonly expected: string;
}

/** A file of `src/` or `backends/`, and the types of the program it belongs to. */
export interface Subject {
  readonly path: string;
  readonly source: ts.SourceFile;
  readonly program: ts.Program;
}

export type Rule = (subject: Subject) => readonly Violation[];

/** Every node of a tree, parents first. */
export const descendants = (node: ts.Node): readonly ts.Node[] => {
  const found: ts.Node[] = [];
  const visit = (child: ts.Node): void => {
    found.push(child);
    ts.forEachChild(child, visit);
  };
  visit(node);
  return found;
};

export const violation = ({ path, source }: Subject, node: ts.Node, what: string, expected: string): Violation => ({
  file: path,
  line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1,
  what,
  expected,
});

/** A rule that looks at one node at a time. */
export const forEachNode =
  (look: (subject: Subject, node: ts.Node) => readonly Violation[]): Rule =>
  (subject) =>
    descendants(subject.source).flatMap((node) => look(subject, node));

export const showViolation = (v: Violation): string => `${v.file}:${v.line}: ${v.what}, expected ${v.expected}`;

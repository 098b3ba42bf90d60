/**
 * Rules on the shape of a file: no class in `src/`, and no file that has outgrown one idea.
 */
import ts from 'typescript';
import { forEachNode, type Rule, violation } from './rule.ts';

const mostLines = 400;

export const classRule: Rule = forEachNode((subject, node) =>
  subject.path.startsWith('src/') && ts.isClassLike(node)
    ? [violation(subject, node, 'declares a class', 'functions over plain data')]
    : [],
);

export const lengthRule: Rule = (subject) => {
  const lines = subject.source.text.trimEnd().split('\n').length;
  if (lines <= mostLines) return [];
  return [
    {
      file: subject.path,
      line: lines,
      what: `has ${lines} lines`,
      expected: `at most ${mostLines}: two ideas make two files`,
    },
  ];
};

/**
 * The rules of the house, over a whole program. Pure: reads nothing but the program it is given.
 */
import { posix } from 'node:path';
import type ts from 'typescript';
import { mathRule, powerRule } from './arithmetic.ts';
import { importRule } from './imports.ts';
import { platformRule } from './platform.ts';
import type { Rule, Violation } from './rule.ts';
import { classRule, lengthRule } from './shape.ts';

const rules: readonly Rule[] = [importRule, platformRule, mathRule, powerRule, classRule, lengthRule];

/** Every place in `src/` and `backends/` below `root` that breaks a rule, by file and line. */
export const checkArchitecture = (program: ts.Program, root: string): readonly Violation[] => {
  return program
    .getSourceFiles()
    .map((source) => ({ path: posix.relative(root, source.fileName), source, program }))
    .filter(({ path }) => /^(src|backends)\//.test(path))
    .sort((a, b) => (a.path < b.path ? -1 : 1))
    .flatMap((subject) => rules.flatMap((rule) => rule(subject)).sort((a, b) => a.line - b.line));
};

/**
 * Checks that the sources keep the plan of the house: the direction of imports, browser-safe files free of Node,
 * arithmetic that is the same in every engine, no classes, short files. A plan that no check enforces is a wish.
 *
 * Prints each violation as `file:line: what, expected …`. Exit 0 none, 1 some.
 */
import ts from 'typescript';
import { checkArchitecture } from './architecture/index.ts';
import { showViolation } from './architecture/rule.ts';

const root = ts.sys.getCurrentDirectory();
const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
const { fileNames, options } = ts.parseJsonConfigFileContent({ ...config, include: ['src', 'backends'] }, ts.sys, root);
const violations = checkArchitecture(ts.createProgram(fileNames, options), root);

for (const found of violations) console.log(showViolation(found));
console.log(`architecture: ${fileNames.length} files, ${violations.length} violations`);
process.exitCode = violations.length > 0 || fileNames.length === 0 ? 1 : 0;

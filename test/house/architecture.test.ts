/**
 * The architecture check, tried on planted violations: each rule fires where it should, and only there.
 */
import { join, sep } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { checkArchitecture } from '../../scripts/architecture/index.ts';
import { showViolation } from '../../scripts/architecture/rule.ts';

/** A root with no files of its own: a planted tree lives in memory. */
const root = join(ts.sys.getCurrentDirectory(), 'planted').split(sep).join('/');

const options: ts.CompilerOptions = {
  lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  allowImportingTsExtensions: true,
  noEmit: true,
  strict: true,
  types: ['node'],
};
const disk = ts.createCompilerHost(options);

/** The files of the disk, TypeScript's own declarations most of them, read once for all programs. */
const fromDisk = new Map<string, ts.SourceFile | undefined>();
const readOnce: ts.CompilerHost['getSourceFile'] = (name, version) => {
  if (!fromDisk.has(name)) fromDisk.set(name, disk.getSourceFile(name, version));
  return fromDisk.get(name);
};

/** The violations of a planted tree (path → text), as they are printed. */
const check = (tree: Readonly<Record<string, string>>): readonly string[] => {
  const texts = new Map(Object.entries(tree).map(([path, text]) => [`${root}/${path}`, text]));
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (name) => texts.has(name) || disk.fileExists(name),
    readFile: (name) => texts.get(name) ?? disk.readFile(name),
    getSourceFile: (name, version) => {
      const text = texts.get(name);
      return text === undefined ? readOnce(name, version) : ts.createSourceFile(name, text, version, true);
    },
  };
  return checkArchitecture(ts.createProgram([...texts.keys()], options, host), root).map(showViolation);
};

describe('the direction of imports', () => {
  it('lets a room import itself and the rooms before it', () => {
    expect(
      check({
        'src/methods/a.ts': `import '../spec/x.ts'; import '../layers/x.ts'; export * from './b.ts'; import 'fp-ts/lib/Either.js';`,
        'src/index.ts': `export * from './spec/x.ts'; export type { A } from './vectors/x.ts';`,
        'src/cli/main.ts': `import '../index.ts'; import '../vectors/x.ts'; import '../../backends/resolve.ts';`,
        'backends/wasm/a.ts': `import '../../src/core/x.ts'; import './b.ts'; import type { C } from '../../src/spec/x.ts';`,
        'backends/resolve.ts': `export const wasm = () => import('./wasm/a.ts');`,
      }),
    ).toEqual([]);
  });

  it('refuses a later room, in every kind of import', () => {
    expect(
      check({
        'src/core/a.ts': [
          `import { a } from '../layers/x.ts';`,
          `import type { b } from '../methods/x.ts';`,
          `export { c } from '../data/x.ts';`,
          `export * from '../io/x.ts';`,
          `export const d = () => import('../train/x.ts');`,
          `export type E = import('../cli/x.ts').E;`,
          `import '../index.ts';`,
        ].join('\n'),
      }),
    ).toEqual([
      'src/core/a.ts:1: imports src/layers/x.ts, expected rooms: spec, core',
      'src/core/a.ts:2: imports src/methods/x.ts, expected rooms: spec, core',
      'src/core/a.ts:3: imports src/data/x.ts, expected rooms: spec, core',
      'src/core/a.ts:4: imports src/io/x.ts, expected rooms: spec, core',
      'src/core/a.ts:5: imports src/train/x.ts, expected rooms: spec, core',
      'src/core/a.ts:6: imports src/cli/x.ts, expected rooms: spec, core',
      'src/core/a.ts:7: imports src/index.ts, expected rooms: spec, core',
    ]);
  });

  it('refuses a room of the same floor, the command line in the index, and a file in no room', () => {
    expect(
      check({
        'src/optim/a.ts': `import '../quant/x.ts';`,
        'src/index.ts': `import './cli/main.ts';`,
        'src/util/a.ts': `export {};`,
      }),
    ).toEqual([
      'src/index.ts:1: imports src/cli/main.ts, expected rooms: spec, core, layers, quant, select, optim, methods, models, data, io, train, vectors, index.ts',
      'src/optim/a.ts:1: imports src/quant/x.ts, expected rooms: spec, core, optim',
      'src/util/a.ts:1: is in no room, expected rooms: spec, core, layers, quant, select, optim, methods, models, data, io, train, vectors, index.ts, cli',
    ]);
  });

  it('lets only the command line reach a backend, through the one door', () => {
    expect(
      check({
        'src/train/a.ts': `import '../../backends/resolve.ts';`,
        'src/cli/a.ts': `import '../../backends/wasm/a.ts';`,
        'src/cli/b.ts': `import '../../test/x.ts';`,
      }),
    ).toEqual([
      'src/cli/a.ts:1: imports backends/wasm/a.ts, expected only backends/resolve.ts',
      'src/cli/b.ts:1: imports test/x.ts, expected a file of src/',
      'src/train/a.ts:1: imports backends/resolve.ts, expected no backend: only src/cli may import one',
    ]);
  });

  it('keeps a backend to spec, core and its own files', () => {
    expect(
      check({
        'backends/wasm/a.ts': `import '../../src/layers/x.ts';\nimport '../reference/a.ts';\nimport '../resolve.ts';\nimport '../../bench/x.ts';`,
      }),
    ).toEqual([
      'backends/wasm/a.ts:1: imports src/layers/x.ts, expected rooms: spec, core',
      'backends/wasm/a.ts:2: imports backends/reference/a.ts, expected only files of its own backend',
      'backends/wasm/a.ts:3: imports backends/resolve.ts, expected only files of its own backend',
      'backends/wasm/a.ts:4: imports bench/x.ts, expected a file of src/ or backends/',
    ]);
  });

  it('refuses what it cannot follow: a computed name, the package by its own name', () => {
    expect(
      check({
        'src/core/a.ts': `const name = 'x';\nexport const a = () => import(name);\nimport 'paca-ts/backends';`,
        'backends/wasm/a-node.ts': `const name = 'x';\nexport const a = () => import(name);`,
      }),
    ).toEqual([
      'src/core/a.ts:2: imports a computed name, expected a string literal',
      'src/core/a.ts:3: imports paca-ts/backends, expected a relative path: the package does not import itself by name',
    ]);
  });
});

describe('browser-safe files', () => {
  it('lets the command line and the Node halves of io and of a backend use Node', () => {
    const text = `import { readFileSync } from 'node:fs'; export const a = (): Buffer => readFileSync(process.argv[1] ?? '');`;
    expect(check({ 'src/cli/a.ts': text, 'src/io/a-node.ts': text, 'backends/wasm/a-node.ts': text })).toEqual([]);
  });

  it('refuses builtin modules elsewhere, with or without the prefix', () => {
    expect(
      check({
        'src/io/a.ts': `import 'node:fs';\nimport 'fs/promises';\nexport const a = () => import('node:os');`,
        'src/train/b-node.ts': `import type { Stats } from 'node:fs';`,
        'backends/c-node.ts': `import 'path';`,
      }),
    ).toEqual([
      'backends/c-node.ts:1: imports path, expected only in src/cli and in *-node.ts files of src/io and of a backend',
      'src/io/a.ts:1: imports node:fs, expected only in src/cli and in *-node.ts files of src/io and of a backend',
      'src/io/a.ts:2: imports fs/promises, expected only in src/cli and in *-node.ts files of src/io and of a backend',
      'src/io/a.ts:3: imports node:os, expected only in src/cli and in *-node.ts files of src/io and of a backend',
      'src/train/b-node.ts:1: imports node:fs, expected only in src/cli and in *-node.ts files of src/io and of a backend',
    ]);
  });

  it('refuses globals of Node, and none of the web', () => {
    const used = (path: string): readonly string[] =>
      check({
        [path]: [
          `export const argv = process.argv;`,
          `export const bytes = (b: Buffer) => Buffer.from(b);`,
          `export const dir = __dirname;`,
          `export const meta = import.meta.dirname;`,
          `export const again = globalThis.process;`,
          `export type Timer = NodeJS.Timeout;`,
          `export const web = [new URL('x', import.meta.url), setTimeout(() => console.log(performance.now()), 1), crypto];`,
          `export const own = (process: { argv: number }) => process.argv;`,
        ].join('\n'),
      }).map((line) => line.replace(/, expected.*/, ''));
    expect(used('src/core/a.ts')).toEqual([
      'src/core/a.ts:1: uses the Node global process',
      'src/core/a.ts:2: uses the Node global Buffer',
      'src/core/a.ts:2: uses the Node global Buffer',
      'src/core/a.ts:3: uses the Node global __dirname',
      'src/core/a.ts:4: uses import.meta.dirname',
      'src/core/a.ts:5: uses the Node global process',
      'src/core/a.ts:6: uses the Node global NodeJS',
    ]);
    expect(used('src/cli/a.ts')).toEqual([]);
  });

  it('keeps Node halves out of browser-safe files, but for a dynamic import at the door', () => {
    expect(
      check({
        'src/io/a.ts': `import './files-node.ts';\nimport type { A } from './files-node.ts';\nexport const b = () => import('./files-node.ts');`,
        'src/io/b-node.ts': `import './files-node.ts';`,
        'src/cli/main.ts': `import '../io/files-node.ts';`,
        'backends/resolve.ts': `export const a = () => import('./wasm/host-node.ts');\nimport './wasm/host-node.ts';`,
      }).map((line) => line.replace(/, expected.*/, '')),
    ).toEqual([
      'backends/resolve.ts:2: imports backends/wasm/host-node.ts',
      'src/io/a.ts:1: imports src/io/files-node.ts',
      'src/io/a.ts:2: imports src/io/files-node.ts',
      'src/io/a.ts:3: imports src/io/files-node.ts',
    ]);
  });
});

describe('arithmetic', () => {
  it('allows what every engine computes alike', () => {
    expect(
      check({
        'src/core/a.ts': [
          `const { fround, sqrt } = Math;`,
          `const bits = 24;`,
          `export const a = fround(sqrt(Math.abs(Math['floor'](2)))) + 2 ** -bits + 2 ** (10) + Number(2n ** 3n);`,
          `export const own = { exp: (x: number) => x, pow: 1 }; own.exp(own.pow);`,
          `export const shadow = (Math: { exp: number }) => Math.exp;`,
        ].join('\n'),
      }),
    ).toEqual([]);
  });

  it('refuses a function of Math whose bits differ, however it is reached', () => {
    expect(
      check({
        'src/core/a.ts': [
          `export const a = (x: number) => Math.exp(x);`,
          `export const b = (x: number) => Math['log'](x);`,
          `const { sin, cos: c, ...rest } = Math;`,
          `const M = Math; export const d = M.pow(2, 3);`,
          `export const e = globalThis.Math.tanh(1);`,
          `export const f = (k: 'abs' | 'cbrt') => Math[k](1);`,
          `export const g = (k: keyof Math) => Math[k];`,
          `export const h = [1].map(Math.random);`,
          `export const i = Object.entries(Math);`,
          `export const j = (m: typeof Math) => m.hypot(3, 4);`,
        ].join('\n'),
      }).map((line) => line.replace(/, expected.*/, '')),
    ).toEqual([
      'src/core/a.ts:1: uses Math.exp',
      'src/core/a.ts:2: uses Math.log',
      'src/core/a.ts:3: uses Math.sin',
      'src/core/a.ts:3: uses Math.cos',
      'src/core/a.ts:3: reads a computed name from Math',
      'src/core/a.ts:4: uses Math.pow',
      'src/core/a.ts:5: uses Math.tanh',
      'src/core/a.ts:6: reads a computed name from Math',
      'src/core/a.ts:7: reads a computed name from Math',
      'src/core/a.ts:8: uses Math.random',
      'src/core/a.ts:9: hands on Math as a value',
      'src/core/a.ts:10: uses Math.hypot',
    ]);
  });

  it('names every function that the rule forbids, in backends and on the command line too', () => {
    const names =
      'exp log log2 log10 log1p expm1 pow sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh cbrt hypot random'.split(
        ' ',
      );
    const text = names.map((name) => `Math.${name};`).join('\n');
    for (const path of ['src/spec/a.ts', 'src/cli/a.ts', 'backends/wasm/a-node.ts']) {
      expect(check({ [path]: text })).toEqual(
        names.map(
          (name, k) =>
            `${path}:${k + 1}: uses Math.${name}, expected a function of src/spec: engines differ in the last bits`,
        ),
      );
    }
  });

  it('refuses ** unless both operands are integer constants', () => {
    expect(
      check({
        'backends/wasm/a.ts': [
          `export const a = (x: number) => x ** 2;`,
          `export const b = (k: number) => 2 ** k;`,
          `export const c = 2 ** 0.5;`,
          `let d = 2; d **= 2;`,
        ].join('\n'),
      }).map((line) => line.replace(/, expected.*/, '')),
    ).toEqual([
      'backends/wasm/a.ts:1: uses **',
      'backends/wasm/a.ts:2: uses **',
      'backends/wasm/a.ts:3: uses **',
      'backends/wasm/a.ts:4: uses **=',
    ]);
  });
});

describe('the shape of a file', () => {
  it('refuses classes in src/, declared or not', () => {
    const text = `export class A {}\nexport const B = class {};`;
    expect(check({ 'src/core/a.ts': text, 'backends/wasm/a.ts': text })).toEqual([
      'src/core/a.ts:1: declares a class, expected functions over plain data',
      'src/core/a.ts:2: declares a class, expected functions over plain data',
    ]);
  });

  it('refuses a file of more than 400 lines', () => {
    const lines = (n: number): string => '// line\n'.repeat(n);
    expect(check({ 'src/core/a.ts': lines(400), 'backends/wasm/a.ts': lines(401) })).toEqual([
      'backends/wasm/a.ts:401: has 401 lines, expected at most 400: two ideas make two files',
    ]);
  });

  it('leaves the tests, the benchmarks and the scripts alone', () => {
    const text = `import 'node:fs'; import '../src/cli/main.ts'; export class A {} Math.exp(1);`;
    expect(check({ 'test/core/a.ts': text, 'bench/a.ts': text, 'scripts/a.ts': text })).toEqual([]);
  });
});

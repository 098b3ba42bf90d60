/**
 * Checks the examples of the documentation: every `ts` block of the documents and every `@example` of a docstring is
 * type-checked and executed against the built package, under the package's own name, and each `// => value` must hold;
 * every `sh run` block of the documents is executed. What a reader copies must work.
 *
 * The code is written to dist/examples/, where `import … from 'paca-ts'` finds this package. Examples run in the root of
 * the package, each for at most a minute, a `sh` block for at most two. Exit 0 all held, 1 some did not.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { posix, sep } from 'node:path';
import ts from 'typescript';
import { withAssertions } from './examples/assert.ts';
import { type Example, examplesInMarkdown, examplesInSource } from './examples/extract.ts';

const folder = 'dist/examples';
const atMost = { ts: 60_000, sh: 120_000 };

const filesBelow = (dir: string, ending: string): readonly string[] =>
  (existsSync(dir) ? readdirSync(dir, { recursive: true, encoding: 'utf8' }) : [])
    .map((name) => posix.join(dir, name.split(sep).join('/')))
    .filter((path) => path.endsWith(ending));

/** Every example of the package, in the order of documents. */
const examples: readonly Example[] = [
  ...['README.md', 'CONTRIBUTING.md', ...filesBelow('docs', '.md').filter((path) => !path.startsWith('docs/api/'))]
    .filter(existsSync)
    .flatMap((file) => examplesInMarkdown(file, readFileSync(file, 'utf8'))),
  ...['src', 'backends']
    .flatMap((dir) => filesBelow(dir, '.ts'))
    .flatMap((file) => examplesInSource(file, readFileSync(file, 'utf8'))),
];

const place = ({ file, line }: Example): string => `${file}:${line}`;

/** The path of an example without its ending; distinct examples have distinct paths. */
const pathOf = ({ file, line }: Example): string => `${folder}/${file.replaceAll('/', '.')}.${line}`;

/** Writes an example where the compiler finds it. What is wrong with it before it is compiled, as messages. */
const write = (example: Example): readonly string[] => {
  const { code, unchecked } = withAssertions(example.code);
  writeFileSync(`${pathOf(example)}.ts`, code);
  return unchecked.map((line) => `${example.file}:${line}: // => follows no statement that can be checked`);
};

/** Compiles the examples beside their sources. The messages of the compiler, each at its line of the document. */
const compile = (written: readonly Example[]): readonly string[] => {
  const documents = new Map(written.map((example) => [`${pathOf(example)}.ts`, example.file]));
  const { config } = ts.readConfigFile('tsconfig.json', ts.sys.readFile);
  const settings = { noEmit: false, isolatedDeclarations: false, declaration: false, declarationMap: false };
  const compilerOptions = { ...config.compilerOptions, ...settings, rootDir: folder, outDir: folder };
  const { options } = ts.parseJsonConfigFileContent(
    { compilerOptions, files: [] },
    ts.sys,
    ts.sys.getCurrentDirectory(),
  );
  const program = ts.createProgram([...documents.keys()], options);
  return [...ts.getPreEmitDiagnostics(program), ...program.emit().diagnostics].map(
    ({ file, start = 0, messageText }) => {
      const line = (file?.getLineAndCharacterOfPosition(start).line ?? 0) + 1;
      return `${documents.get(file?.fileName ?? '') ?? file?.fileName}:${line}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
    },
  );
};

/** Runs one example. What went wrong, or nothing. */
const run = (example: Example): readonly string[] => {
  const { language, code } = example;
  const [command, args] =
    language === 'sh'
      ? ['bash', ['-euo', 'pipefail', '-c', code]]
      : [process.execPath, ['--enable-source-maps', `${pathOf(example)}.js`]];
  const { status, signal, stdout, stderr } = spawnSync(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: atMost[language],
    killSignal: 'SIGKILL',
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  return status === 0 ? [] : [`${place(example)}: ended with ${signal ?? status}\n${stdout}${stderr}`];
};

rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const typed = examples.filter(({ language }) => language === 'ts');
const wrong = [...typed.flatMap(write), ...compile(typed)];
const executed = wrong.length > 0 ? [] : examples.filter((example) => example.run);
const failed = [...wrong, ...executed.flatMap(run)];

for (const message of failed) console.error(message);
console.log(`examples: ${typed.length} type-checked, ${executed.length} executed, ${failed.length} failed`);
process.exitCode = failed.length > 0 ? 1 : 0;

/**
 * Compiles the kernels: `assembly/` into `backends/wasm/generated/`, once without and once with relaxed SIMD; and the
 * program of their workers into a text.
 *
 * All are written as strings in TypeScript files, so that Node, Deno and browsers load them like any other source,
 * without file access or fetch. Plain JavaScript, as it runs before anything is compiled. Does nothing if all is up to
 * date.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import asc from 'assemblyscript/asc';
import ts from 'typescript';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const folder = 'backends/wasm/generated';
const worker = 'backends/wasm/worker.ts';

/** Vectors are handed between functions of the module only, never to JavaScript: nothing to be warned of. */
const AS112_VECTORS_IN_SIGNATURES = '112';

/** The bytes of a target of asconfig.json. @param {string} target @returns {Promise<Uint8Array>} */
const compile = async (target) => {
  /** @type {Uint8Array[]} */
  const outputs = [];
  const { error, stderr } = await asc.main(
    [
      '--config',
      'asconfig.json',
      '--target',
      target,
      '--disableWarning',
      AS112_VECTORS_IN_SIGNATURES,
      '-o',
      'out.wasm',
    ],
    { writeFile: (_, content) => void outputs.push(/** @type {Uint8Array} */ (content)) },
  );
  const [bytes] = outputs;
  if (error === null && bytes !== undefined) return bytes;
  process.stderr.write(`${stderr}\nassembly: target ${target} does not compile\n`);
  process.exit(1);
};

/** @param {string} name @param {string} doc @param {string} variable @param {string} value */
const write = (name, doc, variable, value) =>
  writeFileSync(
    join(folder, `${name}.ts`),
    `/** ${doc}; written by scripts/build-wasm.js. */\nexport const ${variable}: string = ${JSON.stringify(value)};\n`,
  );

/** The program of a worker as a classic script: its types and its exports taken away. */
const workerText = () => {
  const { outputText } = ts.transpileModule(readFileSync(worker, 'utf8'), {
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, removeComments: true },
  });
  return outputText.replace(/^export /gm, '').replace(/^\{\};\n/m, '');
};

/** @param {string} path */
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

const inputs = [
  ...readdirSync('assembly').map((name) => join('assembly', name)),
  ...['asconfig.json', 'package-lock.json', 'scripts/build-wasm.js', worker],
];
const outputs = ['baseline', 'relaxed', 'worker'].map((name) => join(folder, `${name}.ts`));

const isUpToDate = Math.max(...inputs.map(modified)) < Math.min(...outputs.map(modified));

if (!isUpToDate) {
  const [baseline, relaxed] = [await compile('baseline'), await compile('relaxed')];
  mkdirSync(folder, { recursive: true });
  write('baseline', 'The kernels', 'base64', Buffer.from(baseline).toString('base64'));
  write('relaxed', 'The kernels with relaxed SIMD', 'base64', Buffer.from(relaxed).toString('base64'));
  write('worker', 'The program of a worker, a classic script', 'workerSource', workerText());
}

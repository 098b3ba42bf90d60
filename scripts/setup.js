/**
 * Makes a clone ready to run: installs the dependencies and compiles the sources, each only where needed.
 *
 * Runs before `npm start`, `npm test` and the checks, so that each of them works on a fresh clone. It needs Node and
 * npm and nothing else, hence plain JavaScript. It says what it does in a line on stderr; stdout is left to the command
 * that follows.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

/** The folders that are compiled, and the stamp that says when they last were. */
const sources = ['src', 'backends', 'assembly', 'bench', 'demo', 'scripts'];
const settings = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'asconfig.json'];

/** Sources that the build writes itself. */
const generated = join('backends', 'wasm', 'generated');
const stamp = 'dist/.built';
const program = 'dist/src/cli/main.js';

/** @param {string} path */
const modified = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

/** The peers of bench/peers, where they are installed, are not sources. @param {string} path */
const isInstalled = (path) => path.split(sep).includes('node_modules');

/** Every file below a folder. @param {string} dir @returns {string[]} */
const filesBelow = (dir) =>
  existsSync(dir)
    ? readdirSync(dir, { recursive: true, encoding: 'utf8' })
        .map((name) => join(dir, name))
        .filter((path) => !isInstalled(path))
    : [];

/** Runs npm with its output on stderr, and ends this process if it fails. @param {string} why @param {string[]} args */
const npm = (why, args) => {
  process.stderr.write(`paca: ${why}\n`);
  const cli = process.env.npm_execpath ?? '';
  const [command, first] = cli.endsWith('npm-cli.js') ? [process.execPath, [cli]] : ['npm', []];
  const { status } = spawnSync(command, [...first, ...args], { stdio: ['ignore', 2, 2] });
  if (status !== 0) {
    process.stderr.write(`paca: npm ${args.join(' ')} failed\n`);
    process.exit(1);
  }
};

const installed = () => modified('node_modules/.package-lock.json') >= modified('package-lock.json');

const built = () => {
  const own = sources.flatMap(filesBelow).filter((path) => path.endsWith('.ts') && !path.startsWith(generated));
  const inputs = [...settings, ...own];
  return existsSync(generated) && inputs.every((path) => modified(path) <= modified(stamp));
};

/** Whether an output is left of a source that is gone: a test or a package would still find it. */
const hasLeftovers = () =>
  sources
    .flatMap((dir) => filesBelow(join('dist', dir)))
    .some((path) => path.endsWith('.js') && !existsSync(path.replace(/^dist./, '').replace(/\.js$/, '.ts')));

const build = () => {
  const started = new Date();
  npm('compiling the sources', ['run', 'build', '--silent']);
  if (existsSync(program)) chmodSync(program, 0o755);
  writeFileSync(stamp, '');
  utimesSync(stamp, started, started); // not the end: a file saved while the compiler ran is newer than this
};

if (!installed()) npm('installing the dependencies', ['ci', '--no-audit', '--no-fund', '--loglevel=error']);
if (hasLeftovers()) rmSync('dist', { recursive: true });
if (!built()) build();

/**
 * The golden vectors in Chromium: the reference, and WebAssembly with one thread and with two, must have the digest of
 * the manifest; in a page that is not cross-origin isolated, WebAssembly says that it runs on one thread.
 *
 *   node dist/scripts/check-browser.js PLAYWRIGHT_CORE CHROMIUM
 *
 * PLAYWRIGHT_CORE is the folder of that npm package, CHROMIUM the program. Prints a line for each run; exit code 1 if one
 * fails.
 */
import { readFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import { join, normalize } from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import { rolldown } from 'rolldown';
import { packageRoot } from '../src/cli/package-root.ts';

/** The little of playwright-core that is used. */
interface Page {
  readonly goto: (url: string) => Promise<unknown>;
  readonly evaluate: <A>(expression: string) => Promise<A>;
  readonly waitForFunction: (expression: string, arg: undefined, options: { timeout: number }) => Promise<unknown>;
  readonly close: () => Promise<void>;
}
interface Browser {
  readonly newPage: () => Promise<Page>;
  readonly close: () => Promise<void>;
}
interface Playwright {
  readonly chromium: {
    readonly launch: (options: { executablePath: string; args: readonly string[] }) => Promise<Browser>;
  };
}

interface PageReport {
  readonly digest: string;
  readonly passed: number;
  readonly failed: number;
  readonly threads: number;
  readonly why: string;
  readonly isolated: boolean;
}

const ISOLATED = '/isolated/';
const ISOLATION = { 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp' };

const flags = ['--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking'].concat([
  '--disable-component-update',
  '--disable-sync',
]);

/** Milliseconds that the page may take to load its program. */
const PATIENCE = 30_000;

const root = packageRoot();

/** The page's program: a file, and one for each part that is loaded only when it is needed. */
const bundle = async (): Promise<ReadonlyMap<string, string>> => {
  const build = await rolldown({
    input: { page: join(root, 'test', 'browser', 'page.ts') },
    external: /^node:/,
    platform: 'browser',
    logLevel: 'silent',
  });
  const { output } = await build.generate({ format: 'esm', entryFileNames: '[name].js' });
  await build.close();
  return new Map(output.flatMap((o) => (o.type === 'chunk' ? [[`/${o.fileName}`, o.code] as const] : [])));
};

const html = '<!doctype html><title>paca-ts</title><script type="module" src="/page.js"></script>';

const answer = async (path: string, response: ServerResponse): Promise<void> => {
  const isPage = path === '/' || path === ISOLATED;
  const type = isPage ? 'text/html' : path.endsWith('.js') ? 'text/javascript' : 'application/octet-stream';
  const headers = { 'Content-Type': type, ...(path === '/' ? {} : ISOLATION) };
  try {
    const body = isPage ? html : (scripts.get(path) ?? (await readFile(join(root, normalize(path)))));
    response.writeHead(200, headers).end(body);
  } catch {
    response.writeHead(404).end();
  }
};

const scripts = await bundle();
const server = createServer((request, response) => {
  void answer(new URL(request.url ?? '/', 'http://localhost').pathname, response);
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const address = server.address();
const origin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;

const [playwright = '', program = ''] = process.argv.slice(2);
const { chromium } = (await import(pathToFileURL(join(playwright, 'index.mjs')).href)) as Playwright;
const browser = await chromium.launch({ executablePath: program, args: flags });

const manifest = JSON.parse(await readFile(join(root, 'vectors', 'v1', 'manifest.json'), 'utf8')) as { digest: string };

/** Runs the suite in a fresh page. */
const verifyIn = async (path: string, backend: string, threads: number): Promise<PageReport> => {
  const page = await browser.newPage();
  await page.goto(origin + path);
  await page.waitForFunction('globalThis.verify', undefined, { timeout: PATIENCE });
  const report = await page.evaluate<PageReport>(`verify('${backend}', ${threads})`);
  await page.close();
  return report;
};

let failures = 0;
for (const [path, backend, wanted, threads] of [
  [ISOLATED, 'reference', 1, 1],
  [ISOLATED, 'wasm', 1, 1],
  [ISOLATED, 'wasm', 2, 2],
  ['/', 'wasm', 2, 1],
] as const) {
  const report = await verifyIn(path, backend, wanted);
  const saysSo = threads === wanted || report.why.includes('not cross-origin isolated');
  const isGood =
    report.failed === 0 &&
    report.digest === manifest.digest &&
    report.threads === threads &&
    saysSo &&
    report.isolated === (path === ISOLATED);
  failures += isGood ? 0 : 1;
  const what = `${backend}, ${report.threads} of ${wanted} threads, ${report.isolated ? '' : 'not '}isolated`;
  process.stdout.write(
    `${isGood ? 'passed' : 'FAILED'}  ${what}: ${report.passed} cases, ${report.digest} ${report.why}\n`,
  );
}
await browser.close();
server.close();
server.closeAllConnections();
process.exitCode = failures === 0 ? 0 : 1;

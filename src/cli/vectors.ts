/** `paca vectors generate` and `paca vectors verify`: the golden vectors as files, and a backend held to them. */
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { resolveBackend } from '../../backends/resolve.ts';
import type { Files } from '../io/store.ts';
import { nodeStore } from '../io/store-node.ts';
import { fail, type Result } from '../spec/errors.ts';
import { generateSuite } from '../vectors/generate.ts';
import { SUITE_VERSION } from '../vectors/manifest.ts';
import { type Report, verifySuite } from '../vectors/verify.ts';
import { closing, openBackend } from './backend.ts';
import { type Command, type ExitCode, printJson, type World } from './command.ts';
import { packageRoot, readBytes } from './package-root.ts';

const suiteFolder = (): string => join(packageRoot(), 'vectors', `v${SUITE_VERSION}`);

/** The files of each folder of the suite; '' is the suite's own. */
const byFolder = (files: Files): ReadonlyMap<string, Files> => {
  const folders = new Map<string, Map<string, Uint8Array>>();
  for (const [path, bytes] of files) {
    const [name = '', folder = ''] = path.split('/').reverse();
    folders.set(folder, (folders.get(folder) ?? new Map()).set(name, bytes));
  }
  return folders;
};

const generate = async (world: World, json: boolean): Promise<Result<ExitCode>> => {
  const f64 = await resolveBackend('reference-f64');
  const f32 = await resolveBackend('reference');
  if (E.isLeft(f64)) return f64;
  if (E.isLeft(f32)) return f32;
  const files = await generateSuite({ f64: f64.right.kernels, f32: f32.right.kernels });
  const store = nodeStore(suiteFolder());
  for (const [folder, content] of byFolder(files)) {
    const written =
      folder === ''
        ? await store.write('manifest.json', content.get('manifest.json') ?? new Uint8Array())
        : await store.writeGroup(folder, content);
    if (E.isLeft(written)) return written;
  }
  const bytes = [...files.values()].reduce((sum, f) => sum + f.length, 0);
  if (json) printJson(world, { version: SUITE_VERSION, files: files.size, bytes });
  else world.print(`${files.size} files, ${bytes} bytes in ${suiteFolder()}\n`);
  return E.right(0);
};

const show = ({ print }: World, r: Report): void => {
  for (const { case: id, reason } of r.failures) print(`FAILED  ${id}: ${reason}\n`);
  print(`${r.backend} (${r.conformance}, ${r.threads} thread${r.threads === 1 ? '' : 's'}): `);
  print(`${r.passed} passed, ${r.failed} failed, ${r.skipped} skipped\n`);
  print(`largest error: ${r.worst.fraction.toPrecision(3)} of its bound, in ${r.worst.case}\n`);
  print(`digest: ${r.digest}\n`);
};

const verify = async (world: World, values: Readonly<Record<string, unknown>>): Promise<Result<ExitCode>> => {
  const choice = { backend: values.backend as string | undefined, threads: values.threads as number | undefined };
  const backend = await openBackend(choice);
  if (E.isLeft(backend)) return backend;
  const report = await closing(backend.right, () =>
    verifySuite(backend.right, (name) => readBytes(join(suiteFolder(), name))),
  );
  if (E.isLeft(report)) return report;
  if (values.json) printJson(world, report.right);
  else show(world, report.right);
  return E.right(report.right.failed === 0 ? 0 : 1);
};

export const vectors: Command = {
  summary: 'the golden vectors: generate them, or hold a backend to them',
  usage: 'paca vectors generate [--json]\n       paca vectors verify [--backend NAME] [--threads N] [--json]',
  keys: ['threads'],
  texts: ['backend'],
  switches: ['json'],
  run: async (world, { positionals, values }) => {
    const [action, ...rest] = positionals;
    if (rest.length > 0) return fail('ConfigError', 'one action', rest.join(' '), 'vectors');
    if (action === 'verify') return verify(world, values);
    if (action !== 'generate') return fail('ConfigError', 'generate or verify', `'${action ?? ''}'`, 'vectors');
    return values.backend === undefined && values.threads === undefined
      ? generate(world, values.json === true)
      : fail('ConfigError', 'no --backend: vectors come from the two references', '--backend', 'vectors generate');
  },
};

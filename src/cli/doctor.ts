/** `paca doctor`: which backends work here, and why the others do not. */
import * as E from 'fp-ts/lib/Either.js';
import { inspectBackends, resolveBackend } from '../../backends/resolve.ts';
import { fail } from '../spec/errors.ts';
import { type Command, printJson } from './command.ts';
import { formatBytes } from './show/format.ts';
import { renderTable } from './show/table.ts';

/** The runtime that this runs in, with its version. */
const runtimeName = (): string => {
  const { Deno } = globalThis as { Deno?: { version: { deno: string } } };
  return Deno === undefined ? `node ${process.versions.node}` : `deno ${Deno.version.deno}`;
};

export const doctor: Command = {
  summary: 'which backends work here, and why the others do not',
  usage: 'paca doctor [--json]',
  keys: [],
  texts: [],
  switches: ['json'],
  run: async (world, { positionals, values }) => {
    if (positionals.length > 0) return fail('ConfigError', 'no arguments', positionals.join(' '), 'doctor');
    const runtime = runtimeName();
    const backends = await inspectBackends();
    const backend = await resolveBackend();
    if (E.isLeft(backend)) return backend;
    const { name: chosen, dispose } = backend.right;
    await dispose();
    if (values.json) printJson(world, { runtime, backends, chosen });
    else {
      const rows = backends.map((b) => [
        b.name,
        b.available ? 'yes' : 'no',
        b.available ? String(b.threads) : '',
        b.why,
      ]);
      const columns = ['backend', 'works', 'threads', 'what it is, or why not'].map((header) => ({ header }));
      world.print(`${runtime}, ${chosen} is chosen\n\n${renderTable(columns, rows, { width: world.columns })}\n`);
      const engine = backends.find(({ name }) => name === 'wasm');
      const has = (feature: boolean | undefined): string => (feature ? 'yes' : 'no');
      world.print(`\nWebAssembly here: SIMD ${has(engine?.simd)}, relaxed SIMD ${has(engine?.relaxedSimd)}, `);
      world.print(`at most ${formatBytes(engine?.memoryLimit ?? 0)} of tensors\n`);
    }
    return E.right(0);
  },
};

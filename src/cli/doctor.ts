/** `paca doctor`: which backends work here, and why the others do not. */
import * as E from 'fp-ts/lib/Either.js';
import { backendName, inspectBackends } from '../../backends/resolve.ts';
import { type Command, printJson } from './command.ts';
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
  switches: ['json'],
  run: async (world, { values }) => {
    const runtime = runtimeName();
    const backends = await inspectBackends();
    const chosen = backendName();
    if (values.json) printJson(world, { runtime, backends, chosen });
    else {
      const rows = backends.map(({ name, available, why }) => [name, available ? 'yes' : 'no', why]);
      const columns = ['backend', 'works', 'what it is, or why not'].map((header) => ({ header }));
      world.print(`${runtime}, ${chosen} is chosen\n\n${renderTable(columns, rows, { width: world.columns })}\n`);
    }
    return E.right(backends.some(({ name, available }) => name === chosen && available) ? 0 : 1);
  },
};

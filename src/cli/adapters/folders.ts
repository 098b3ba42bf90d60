/** The folders that adapter commands read and write. */
import { readdir } from 'node:fs/promises';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type * as v from 'valibot';
import { type AdapterFile, readAdapter } from '../../io/adapter.ts';
import { attempt, ifExists } from '../../io/files-node.ts';
import { nodeSource } from '../../io/source-node.ts';
import type { Store } from '../../io/store.ts';
import { fail, type PacaError } from '../../spec/errors.ts';
import type { Arguments } from '../args.ts';
import type { World } from '../command.ts';
import { readInput } from '../input.ts';
import { parseWith } from '../schema.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

/** The folder does not exist or is empty: what is written overwrites nothing and stands alone. */
const checkFresh = (folder: string): Task<void> =>
  pipe(
    attempt('a folder that is new or empty', folder, () => ifExists(() => readdir(folder), [] as string[])),
    TE.chain((found) =>
      found.length === 0
        ? TE.right(undefined)
        : TE.fromEither(fail('FileError', 'a folder that is new or empty', `${found.length} entries`, folder)),
    ),
  );

/** The flags of a command that writes a folder, `out`, once that was found to be free. */
export const readFresh = <A extends { readonly out: string }>(
  args: Arguments,
  schema: v.GenericSchema<unknown, A>,
  keys: readonly string[],
): Task<A> =>
  pipe(
    readInput(args, keys, (input, where) => parseWith(schema, keys, input, where)),
    TE.chainFirst(({ out }) => checkFresh(out)),
  );

/** The adapter in a folder; what was dropped is said on the terminal. */
export const openAdapter = ({ terminal }: World, folder: string): Task<AdapterFile> =>
  pipe(
    () => readAdapter(nodeSource(folder), folder),
    TE.map(({ adapter, warnings }) => {
      for (const warning of warnings) terminal.write(`paca: ${warning}\n`);
      return adapter;
    }),
  );

/** Writes the files one after the other, in their order. */
export const writeFiles = (store: Store, files: readonly (readonly [name: string, bytes: Uint8Array])[]): Task<void> =>
  pipe(
    files,
    TE.traverseSeqArray(
      ([name, bytes]) =>
        () =>
          store.write(name, bytes),
    ),
    TE.map(() => undefined),
  );

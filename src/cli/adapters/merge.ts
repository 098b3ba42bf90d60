/**
 * `paca merge`: an adapter merged into the weights of its base, as a folder that needs no PEFT. The weights are written
 * first, in one file, and config.json last: a folder that has it is whole. In memory is one tensor at a time, with a few
 * copies.
 */
import { join, resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import type { AnyBackend } from '../../../backends/resolve.ts';
import { checkMerge, type Merge, mergedParts, mergedTypes } from '../../io/merge-adapter.ts';
import { type StorageType, storageTypes } from '../../io/narrow-host.ts';
import { writeParts } from '../../io/parts-node.ts';
import { readAll, type Source } from '../../io/source.ts';
import { nodeStore } from '../../io/store-node.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import type { Spec } from '../../spec/tensor.ts';
import { type BackendChoice, openBackend } from '../backend.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { readInput } from '../input.ts';
import { parseWith, path } from '../schema.ts';
import { formatCount } from '../show/format.ts';
import { companions } from '../text/base-folder.ts';
import { openModelFolder } from '../text/model-folder.ts';
import { checkFresh, openAdapter, writeFiles } from './folders.ts';

const schema = v.strictObject({
  base: path,
  adapter: path,
  out: path,
  dtype: v.optional(v.picklist(storageTypes)),
  backend: v.optional(v.string()),
  threads: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});
const keys = Object.keys(schema.entries);

type Task<A> = TE.TaskEither<PacaError, A>;

const CONFIG = 'config.json';

/** The config comes last. */
const copied = (source: Source): Task<readonly (readonly [string, Uint8Array])[]> =>
  pipe(
    source.list,
    TE.chain((names) =>
      pipe(
        [...names.filter((name) => companions.test(name)), CONFIG],
        TE.traverseSeqArray((name) =>
          pipe(
            () => readAll(source, name),
            TE.map((bytes) => [name, bytes] as const),
          ),
        ),
      ),
    ),
  );

/** The backend, if it is an exact one: merged weights are to be the same everywhere. */
const openExact = (choice: BackendChoice): Task<AnyBackend> =>
  pipe(
    () => openBackend(choice),
    TE.chain((backend) => async () => {
      if (backend.conformance === 'exact') return E.right(backend);
      await backend.dispose();
      return fail(
        'BackendError',
        'an exact backend, which merges to the same bits everywhere',
        backend.name,
        'backend',
      );
    }),
  );

/** Writes `model.safetensors`; the largest rounding error in it. */
const writeMerged = (merge: Merge<Spec>, folder: string): Task<number> => {
  let largest = 0;
  async function* parts(): AsyncGenerator<Result<Uint8Array>> {
    for await (const part of mergedParts(merge)) {
      if (E.isRight(part)) largest = Math.max(largest, part.right.error);
      yield E.map(({ bytes }: { readonly bytes: Uint8Array }) => bytes)(part);
    }
  }
  return pipe(
    () => writeParts(join(folder, 'model.safetensors'), parts()),
    TE.map(() => largest),
  );
};

/** The config goes along unchanged, so a type that was asked for may be another than it says. */
const noteType = ({ terminal }: World, asked: StorageType | undefined, said: StorageType): void => {
  if (asked === undefined || asked === said) return;
  terminal.write(`paca: config.json, which is copied unchanged, says ${said}: load the model in ${asked}\n`);
};

export const merge: Command = {
  summary: 'an adapter merged into the weights of its base',
  usage:
    'paca merge --base FOLDER|OWNER/NAME --adapter FOLDER --out FOLDER [--dtype f32|f16|bf16]\n' +
    '           [--backend NAME] [--threads N] [--json]',
  keys: ['threads'],
  texts: keys.filter((key) => key !== 'threads'),
  switches: ['json'],
  run: (world, args) =>
    pipe(
      readInput(args, keys, (input, where) => parseWith(schema, keys, input, where)),
      TE.bindTo('input'),
      TE.chainFirst(({ input }) => checkFresh(input.out)),
      TE.bind('adapter', ({ input }) => openAdapter(world, input.adapter)),
      TE.bind('model', ({ input }) => openModelFolder(world, input.base)),
      TE.chainFirst(({ adapter, model: { checkpoint, maps } }) => TE.fromEither(checkMerge(checkpoint, adapter, maps))),
      TE.bind('files', ({ model }) => copied(model.source)),
      TE.bind('backend', ({ input }) => openExact(input)),
      TE.bind(
        'largestError',
        ({ input, adapter, model: { checkpoint }, backend: { kernels, dispose } }) =>
          async () => {
            const result = await writeMerged({ kernels, checkpoint, adapter, dtype: input.dtype ?? null }, input.out)();
            await dispose();
            return result;
          },
      ),
      TE.chainFirst(({ input, files }) => writeFiles(nodeStore(input.out), files)),
      TE.map(({ input, adapter, model: { checkpoint, dtype: said }, largestError }): ExitCode => {
        const modules = Object.keys(adapter.modules).length;
        const dtype = mergedTypes({ checkpoint, adapter, dtype: input.dtype ?? null }).join(', ');
        const folder = resolve(input.out);
        noteType(world, input.dtype, said);
        if (args.values.json === true) {
          printJson(world, { model: folder, method: adapter.method, modules, dtype, largestError });
        } else {
          world.print(`${adapter.method} merged into ${formatCount(modules)} modules, stored as ${dtype}: ${folder}\n`);
          world.print(`largest rounding error of a weight  ${largestError.toPrecision(3)}\n`);
        }
        return 0;
      }),
    )(),
};

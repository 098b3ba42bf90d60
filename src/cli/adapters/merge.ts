/**
 * `paca merge`: an adapter merged into the weights of its base, as a folder that needs no PEFT. The weights are written
 * first, in one file, and config.json last: a folder that has it is whole. In memory is one tensor at a time, with a few
 * copies.
 */
import { resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import type { AnyBackend } from '../../../backends/resolve.ts';
import { checkMerge, hasNf4, type MergedType, mergedParts, mergedTypes } from '../../io/merge-adapter.ts';
import { type StorageType, storageTypes } from '../../io/narrow-host.ts';
import { fail, type PacaError } from '../../spec/errors.ts';
import { type BackendChoice, closing, openBackend } from '../backend.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { path } from '../schema.ts';
import { formatCount } from '../show/format.ts';
import { openModelFolder } from '../text/model-folder.ts';
import { openAdapter, readFresh } from './folders.ts';
import { computeTypes, copied, quantisationTable, writeCopied, writeWeights } from './model-files.ts';

const schema = v.strictObject({
  base: path,
  adapter: path,
  out: path,
  dtype: v.optional(v.picklist([...storageTypes, 'nf4'] as const)),
  backend: v.optional(v.string()),
  threads: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});
const keys = Object.keys(schema.entries);

type Task<A> = TE.TaskEither<PacaError, A>;

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

/** The config's type goes along unchanged, so one that was asked for may be another than it says. */
const noteType = ({ terminal }: World, asked: MergedType | undefined, said: StorageType): void => {
  if (asked === undefined || asked === 'nf4' || asked === said) return;
  terminal.write(`paca: config.json, which is copied unchanged, says ${said}: load the model in ${asked}\n`);
};

export const merge: Command = {
  summary: 'an adapter merged into the weights of its base',
  usage:
    'paca merge --base FOLDER|OWNER/NAME --adapter FOLDER --out FOLDER [--dtype f32|f16|bf16|nf4]\n' +
    '           [--backend NAME] [--threads N] [--json]',
  keys: ['threads'],
  texts: keys.filter((key) => key !== 'threads'),
  switches: ['json'],
  run: (world, args) =>
    pipe(
      readFresh(args, schema, keys),
      TE.bindTo('input'),
      TE.bind('adapter', ({ input }) => openAdapter(world, input.adapter)),
      TE.bind('model', ({ input }) => openModelFolder(world, input.base)),
      TE.chainFirst(({ input, adapter, model: { checkpoint, architecture } }) =>
        TE.fromEither(checkMerge(checkpoint, adapter, architecture, input.adapter)),
      ),
      TE.let('plan', ({ input, adapter, model: { checkpoint, quantisable, dtype } }) => ({
        ...{ checkpoint, adapter, quantisable, computed: computeTypes[dtype], dtype: input.dtype ?? null },
      })),
      TE.let('types', ({ plan }) => mergedTypes(plan)),
      TE.bind('files', ({ model, plan }) => copied(model.source, hasNf4(plan), plan.computed)),
      TE.bind('backend', ({ input }) => openExact(input)),
      TE.bind(
        'written',
        ({ input, plan, backend }) =>
          () =>
            closing(backend, writeWeights(mergedParts({ ...plan, kernels: backend.kernels }), input.out)),
      ),
      TE.chainFirst(({ input, files }) => writeCopied(input.out, files)),
      TE.map(({ input, adapter, types, model: { dtype: said }, written: { largestError, layers } }): ExitCode => {
        const modules = Object.keys(adapter.modules).length;
        const saved = Object.keys(adapter.saved ?? {}).length;
        const dtype = types.join(', ');
        const folder = resolve(input.out);
        noteType(world, input.dtype, said);
        if (args.values.json === true) {
          const more = { ...(saved > 0 && { saved }), ...(layers.length > 0 && { layers }) };
          printJson(world, { model: folder, method: adapter.method, modules, dtype, largestError, ...more });
        } else {
          if (layers.length > 0) world.print(`${quantisationTable(layers, world)}\n`);
          const whole = saved > 0 ? `, ${formatCount(saved)} tensors replaced` : '';
          world.print(`${adapter.method} merged into ${formatCount(modules)} modules${whole}, `);
          world.print(`stored as ${dtype}: ${folder}\n`);
          world.print(`largest rounding error of a weight  ${largestError.toPrecision(3)}\n`);
        }
        return 0;
      }),
    )(),
};

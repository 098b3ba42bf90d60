/** `paca convert`: a PaCA adapter as an equal LoRA adapter, for whatever serves LoRA alone. */
import { resolve } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import { type AdapterFile, encodeAdapter } from '../../io/adapter.ts';
import type { PacaAdapterFile } from '../../io/adapter-paca.ts';
import { linearMaps } from '../../io/adapter-places.ts';
import { savedOver } from '../../io/adapter-saved.ts';
import { loraAdapterOf } from '../../io/convert-adapter.ts';
import { nodeStore } from '../../io/store-node.ts';
import { sitesOf } from '../../models/architecture.ts';
import { fail, type Result } from '../../spec/errors.ts';
import { type Command, type ExitCode, printJson } from '../command.ts';
import { path } from '../schema.ts';
import { formatCount } from '../show/format.ts';
import { openModelFolder } from '../text/model-folder.ts';
import { openAdapter, readFresh, writeFiles } from './folders.ts';

const schema = v.strictObject({ adapter: path, to: v.picklist(['lora']), base: path, out: path });
const keys = Object.keys(schema.entries);

const checkPaca = (adapter: AdapterFile, where: string): Result<PacaAdapterFile> =>
  adapter.method === 'paca'
    ? E.right(adapter)
    : fail('ConfigError', 'an adapter of PaCA', `one of ${adapter.method}`, where);

export const convert: Command = {
  summary: 'a PaCA adapter as an equal LoRA adapter',
  usage: 'paca convert --adapter FOLDER --to lora --base FOLDER|OWNER/NAME --out FOLDER [--json]',
  keys: [],
  texts: keys,
  switches: ['json'],
  run: (world, args) =>
    pipe(
      readFresh(args, schema, keys),
      TE.bindTo('input'),
      TE.bind('adapter', ({ input }) =>
        pipe(
          openAdapter(world, input.adapter),
          TE.chainEitherK((adapter) => checkPaca(adapter, input.adapter)),
        ),
      ),
      TE.bind('model', ({ input }) => openModelFolder(world, input.base)),
      TE.chainFirst(({ input, adapter, model }) =>
        TE.fromEither(savedOver(model.architecture, adapter, input.adapter)),
      ),
      TE.bind('lora', ({ adapter, model: { architecture } }) =>
        TE.fromEither(loraAdapterOf(adapter, linearMaps(sitesOf(architecture)))),
      ),
      // The config comes last: a folder with one is whole.
      TE.chainFirst(({ input, lora }) => writeFiles(nodeStore(input.out), [...encodeAdapter(lora)])),
      TE.map(({ input, lora }): ExitCode => {
        const modules = Object.keys(lora.modules).length;
        const adapter = resolve(input.out);
        if (args.values.json === true) printJson(world, { adapter, method: 'lora', rank: lora.rank, modules });
        else world.print(`LoRA of rank ${lora.rank} over ${formatCount(modules)} modules: ${adapter}\n`);
        return 0;
      }),
    )(),
};

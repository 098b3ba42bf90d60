/**
 * `paca quantise`: the linear maps of a model in NF4, as bitsandbytes stores them, tensor by tensor: what is in memory is
 * one weight, with its quantised form. Embedding, norms and head stay as they are, as transformers has it.
 */
import { resolve } from 'node:path';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import { storedAs } from '../../io/merge-adapter.ts';
import { type QuantisedWeight, rewrittenParts } from '../../io/rewrite-checkpoint.ts';
import { fail } from '../../spec/errors.ts';
import { isNf4 } from '../../spec/nf4.ts';
import { bytesOf, sizeOf } from '../../spec/tensor.ts';
import { type Command, type ExitCode, printJson } from '../command.ts';
import { path } from '../schema.ts';
import { formatBytes, formatCount } from '../show/format.ts';
import { openModelFolder } from '../text/model-folder.ts';
import { readFresh } from './folders.ts';
import { computeTypes, copied, quantisationTable, writeCopied, writeWeights } from './model-files.ts';

/** What `--json` prints. */
export interface QuantiseReport {
  readonly model: string;
  /** Of the linear maps together. */
  readonly weights: number;
  readonly bytes: number;
  readonly bits: number;
  readonly layers: readonly QuantisedWeight[];
}

const schema = v.strictObject({ base: path, out: path });
const keys = Object.keys(schema.entries);

export const quantise: Command = {
  summary: 'the linear maps of a model in NF4, which takes 4.13 bits a weight',
  usage: 'paca quantise --base FOLDER|OWNER/NAME --out FOLDER [--json]',
  keys: [],
  texts: keys,
  switches: ['json'],
  run: (world, args) =>
    pipe(
      readFresh(args, schema, keys),
      TE.bindTo('input'),
      TE.bind('model', ({ input }) => openModelFolder(world, input.base)),
      TE.chainFirst(({ input, model: { checkpoint } }) => {
        const already = checkpoint.names.find((name) => isNf4(checkpoint.spec(name)!.dtype));
        return already === undefined
          ? TE.right(undefined)
          : TE.fromEither(fail('ConfigError', 'a base of f32, f16 or bf16', `${already} in NF4`, input.base));
      }),
      TE.bind('files', ({ model }) => copied(model.source, true, computeTypes[model.dtype])),
      TE.bind('written', ({ input, model: { checkpoint, quantisable, dtype } }) =>
        writeWeights(
          rewrittenParts({
            checkpoint,
            typeOf: storedAs('nf4', quantisable),
            changed: () => null,
            computed: computeTypes[dtype],
          }),
          input.out,
        ),
      ),
      TE.chainFirst(({ input, files }) => writeCopied(input.out, files)),
      TE.map(({ input, model: { checkpoint }, written: { layers } }): ExitCode => {
        const shapes = layers.map(({ name }) => checkpoint.spec(name)!.shape);
        const weights = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0);
        const bytes = shapes.reduce((sum, shape) => sum + bytesOf({ dtype: 'nf4', shape }), 0);
        const model = resolve(input.out);
        const report: QuantiseReport = { model, weights, bytes, bits: (8 * bytes) / weights, layers };
        if (args.values.json === true) printJson(world, report);
        else {
          world.print(`${quantisationTable(layers, world)}\n`);
          world.print(`${formatCount(weights)} numbers in ${formatBytes(bytes)}, `);
          world.print(`${report.bits.toFixed(3)} bits each: ${model}\n`);
        }
        return 0;
      }),
    )(),
};

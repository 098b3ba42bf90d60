/** A Hugging Face folder written again: its weights in one file, its config fitted to them, and what goes along unchanged. */
import { join } from 'node:path';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { StorageType } from '../../io/narrow-host.ts';
import type { ComputeType } from '../../io/nf4-file.ts';
import { writeParts } from '../../io/parts-node.ts';
import type { QuantisedWeight, WrittenPart } from '../../io/rewrite-checkpoint.ts';
import { readAll, type Source } from '../../io/source.ts';
import { nodeStore } from '../../io/store-node.ts';
import type { PacaError, Result } from '../../spec/errors.ts';
import { type JsonObject, readJsonObject } from '../../spec/strict-json.ts';
import type { World } from '../command.ts';
import { renderTable } from '../show/table.ts';
import { companions } from '../text/base-folder.ts';
import { writeFiles } from './folders.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

const CONFIG = 'config.json';

/** How transformers calls the types of storage. */
export const computeTypes: Readonly<Record<StorageType, ComputeType>> = {
  f32: 'float32',
  f16: 'float16',
  bf16: 'bfloat16',
};

const quantization = (computed: ComputeType): JsonObject => ({
  quant_method: 'bitsandbytes',
  _load_in_4bit: true,
  _load_in_8bit: false,
  load_in_4bit: true,
  load_in_8bit: false,
  bnb_4bit_compute_dtype: computed,
  bnb_4bit_quant_storage: 'uint8',
  bnb_4bit_quant_type: 'nf4',
  bnb_4bit_use_double_quant: true,
  llm_int8_enable_fp32_cpu_offload: false,
  llm_int8_has_fp16_weight: false,
  llm_int8_skip_modules: null,
});

const KEY = 'quantization_config';

/** Where the object that begins at `from` ends. */
const endOfObject = (text: string, from: number): number => {
  let depth = 0;
  for (const { 0: token, index } of text.slice(from).matchAll(/"(?:[^"\\]|\\.)*"|[{}]/g)) {
    if (token === '{') depth += 1;
    if (token === '}') depth -= 1;
    if (depth === 0) return from + index + 1;
  }
  return text.length;
};

const withQuantization = (text: string, computed: ComputeType): string => {
  const value = JSON.stringify(quantization(computed), null, 2).replace(/\n/g, '\n  ');
  return text.replace(/\s*\}\s*$/, `,\n  "${KEY}": ${value}\n}\n`);
};

const withoutQuantization = (text: string): string => {
  const found = /(,\s*)?"quantization_config"\s*:\s*/.exec(text);
  if (found === null) return text;
  const rest = text.slice(endOfObject(text, found.index + found[0].length));
  return text.slice(0, found.index) + (found[1] === undefined ? rest.replace(/^\s*,/, '') : rest);
};

/**
 * The config, with `quantization_config` only where some weights are in NF4; else unchanged. It is edited as text: readers
 * in Python tell 6 from 6.0.
 */
const fitted = (bytes: Uint8Array, hasNf4: boolean, computed: ComputeType): Result<Uint8Array> =>
  pipe(
    readJsonObject(bytes, CONFIG),
    E.map(({ [KEY]: given = null }) => {
      if ((given !== null) === hasNf4) return bytes;
      const text = new TextDecoder().decode(bytes);
      return new TextEncoder().encode(hasNf4 ? withQuantization(text, computed) : withoutQuantization(text));
    }),
  );

type NamedFiles = readonly (readonly [name: string, bytes: Uint8Array])[];

/** The files beside the weights; the config comes last: a folder that has it is whole. */
export const copied = (source: Source, hasNf4: boolean, computed: ComputeType): Task<NamedFiles> =>
  pipe(
    source.list,
    TE.chain((names) =>
      pipe(
        [...names.filter((name) => companions.test(name)), CONFIG],
        TE.traverseSeqArray((name) =>
          pipe(
            () => readAll(source, name),
            TE.chainEitherK((bytes) => (name === CONFIG ? fitted(bytes, hasNf4, computed) : E.right(bytes))),
            TE.map((bytes) => [name, bytes] as const),
          ),
        ),
      ),
    ),
  );

/** What writing the weights told. */
export interface Written {
  /** The largest rounding error of a number stored in 16 bits, or 0. */
  readonly largestError: number;
  /** The weights that were quantised, in the order of the file. */
  readonly layers: readonly QuantisedWeight[];
}

/** Writes `model.safetensors`. */
export const writeWeights = (parts: AsyncGenerator<Result<WrittenPart>>, folder: string): Task<Written> => {
  let largestError = 0;
  const layers: QuantisedWeight[] = [];
  async function* bytes(): AsyncGenerator<Result<Uint8Array>> {
    for await (const part of parts) {
      if (E.isRight(part)) {
        largestError = Math.max(largestError, part.right.error);
        if (part.right.quantised !== null) layers.push(part.right.quantised);
      }
      yield E.map((written: WrittenPart) => written.bytes)(part);
    }
  }
  return pipe(
    () => writeParts(join(folder, 'model.safetensors'), bytes()),
    TE.map(() => ({ largestError, layers })),
  );
};

/** {@link copied} files written to a folder. */
export const writeCopied = (folder: string, files: NamedFiles): Task<void> => writeFiles(nodeStore(folder), files);

/** The error of quantising, layer by layer, as a table. */
export const quantisationTable = (
  layers: readonly QuantisedWeight[],
  { columns: width }: Pick<World, 'columns'>,
): string =>
  renderTable(
    [
      { header: 'weight', align: 'left' },
      { header: 'bits', align: 'right' },
      { header: 'largest error', align: 'right' },
      { header: '‖Ŵ − W‖ / ‖W‖', align: 'right' },
      { header: 'worst block', align: 'right' },
    ],
    layers.map(({ name, bits, largest, relative, worstBlock }) => [
      ...[name, bits.toFixed(3), largest.toPrecision(3)],
      ...[relative.toFixed(4), worstBlock.toFixed(4)],
    ]),
    { width },
  );

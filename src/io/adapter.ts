/**
 * Adapters in the interchange of Hugging Face PEFT: `adapter_config.json` and `adapter_model.safetensors`, of PaCA, of
 * LoRA and DoRA, and of MosLoRA in a layout of our own.
 *
 * Law: `decodeAdapter(encodeAdapter(a))` is `a`.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';
import { excerpt, type JsonObject, readJsonObject } from '../spec/strict-json.ts';
import { CONFIG, checkTargets, unknownKeys } from './adapter-config.ts';
import { encodeLoraAdapter, type LowRankAdapterFile, loraKeys, readLora } from './adapter-lora.ts';
import { encodePacaAdapter, type PacaAdapterFile, pacaKeys, readPaca } from './adapter-paca.ts';
import { unsavedNames } from './adapter-saved.ts';
import { TENSORS } from './adapter-tensors.ts';
import { decodeSafetensors } from './safetensors.ts';
import { readAll, type Source } from './source.ts';
import type { Files } from './store.ts';

export type AdapterFile = PacaAdapterFile | LowRankAdapterFile;

export interface ReadAdapter {
  readonly adapter: AdapterFile;
  /** What was dropped, one line each. */
  readonly warnings: readonly string[];
}

const PICKLE = 'adapter_model.bin';

const kinds = {
  PACA: { keys: pacaKeys, read: readPaca },
  LORA: { keys: loraKeys, read: readLora },
  MOSLORA: { keys: loraKeys, read: readLora },
} as const;

const kindOf = ({ peft_type: type }: JsonObject, where: string): Result<(typeof kinds)[keyof typeof kinds]> =>
  type === 'PACA' || type === 'LORA' || type === 'MOSLORA'
    ? E.right(kinds[type])
    : fail('ConfigError', 'PACA, LORA or MOSLORA', excerpt(type), `${where}, peft_type`);

const required = (files: Files, name: string, where: string): Result<Uint8Array> => {
  const bytes = files.get(name);
  if (bytes !== undefined) return E.right(bytes);
  return name === TENSORS && files.has(PICKLE)
    ? fail(
        'FileError',
        `${TENSORS} (save_pretrained with safe_serialization=True writes it)`,
        `${PICKLE}, a pickle`,
        where,
      )
    : fail('FileError', `a file ${name}`, 'none', where);
};

/**
 * The adapter in the files of its folder, which `where` names in errors; 16-bit tensors are widened, PaCA's columns are
 * sorted. Other files are not looked at.
 * Errors: no such file, or not of its format; another `peft_type`; a setting that is not supported and not off; a module
 * that lacks a tensor or that `target_modules` does not match; a tensor that is no module's or does not fit the rank;
 * indices that are negative or repeated.
 */
export const decodeAdapter = (files: Files, where: string): Result<ReadAdapter> => {
  const at = `${where}/${CONFIG}`;
  return pipe(
    required(files, CONFIG, where),
    E.chain((bytes) => readJsonObject(bytes, at)),
    E.bindTo('config'),
    E.bind('kind', ({ config }) => kindOf(config, at)),
    E.bind('bytes', () => required(files, TENSORS, where)),
    E.bind('file', ({ bytes }) => decodeSafetensors(bytes, `${where}/${TENSORS}`)),
    E.bind('adapter', ({ config, kind, file }): Result<AdapterFile> => kind.read(config, file.tensors, where)),
    E.bind('matched', ({ adapter }) => checkTargets(adapter, Object.keys(adapter.modules), at)),
    E.map(({ config, kind, adapter, matched }) => ({
      adapter,
      warnings: [
        ...unknownKeys(config, kind.keys, at),
        ...matched,
        ...unsavedNames(adapter.modulesToSave ?? [], adapter.saved ?? {}, at),
      ],
    })),
  );
};

/** {@link decodeAdapter} over the files of a folder. */
export const readAdapter = async (source: Source, where: string): Promise<Result<ReadAdapter>> => {
  const names = await source.list();
  if (E.isLeft(names)) return names;
  const files = new Map<string, Uint8Array>();
  for (const name of names.right.filter((each) => each === CONFIG || each === TENSORS)) {
    const bytes = await readAll(source, name);
    if (E.isLeft(bytes)) return bytes;
    files.set(name, bytes.right);
  }
  return decodeAdapter(names.right.includes(PICKLE) ? new Map([...files, [PICKLE, new Uint8Array()]]) : files, where);
};

/** The two files of an adapter. */
export const encodeAdapter = (adapter: AdapterFile): Files =>
  adapter.method === 'paca' ? encodePacaAdapter(adapter) : encodeLoraAdapter(adapter);

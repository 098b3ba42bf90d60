/** A base as it is named on the command line: a folder, or else a model on a Hugging Face hub, which is fetched. */
import { existsSync } from 'node:fs';
import process from 'node:process';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { fetchFromHub, hubOf, parseHubName } from '../../io/hub-node.ts';
import type { PacaError } from '../../spec/errors.ts';
import type { World } from '../command.ts';
import { formatBytes } from '../show/format.ts';

/** What describes a model and its tokens, and goes along unchanged with a merged model: how to generate, tokenizer, licence. */
export const companions: RegExp =
  /^(generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json$|^(merges|vocab)\.txt$|^chat_template\.jinja$|^(tokenizer|spiece|sentencepiece\.bpe)\.model$|^(LICEN[CS]E|NOTICE)(\.\w+)?$/;

const CONFIG = 'config.json';
const WHOLE = 'model.safetensors';

/** Which files of a repository are a model's: its weights whole, or the index and its shards. */
const isModelFile = (name: string, all: readonly string[]): boolean =>
  name === CONFIG ||
  companions.test(name) ||
  (all.includes(WHOLE) ? name === WHOLE : /^model(-\d+-of-\d+)?\.safetensors(\.index\.json)?$/.test(name));

/** The one file that says what a model is. */
export const isConfig = (name: string): boolean => name === CONFIG;

/** The folder of a base. `wanted`: which files are fetched where it is none. What is fetched is told on the terminal. */
export const baseFolder = (
  { terminal }: Pick<World, 'terminal'>,
  base: string,
  wanted: (name: string, all: readonly string[]) => boolean = isModelFile,
): TE.TaskEither<PacaError, string> => {
  const name = existsSync(base) ? null : parseHubName(base);
  return name === null
    ? TE.right(base)
    : () =>
        fetchFromHub(hubOf(process.env), name, wanted, {
          onFile: (file, bytes) => terminal.write(`paca: fetching ${base}, ${file}, ${formatBytes(bytes)}\n`),
          onOffline: (commit) => terminal.write(`paca: ${base} as it was fetched before, commit ${commit}\n`),
        });
};

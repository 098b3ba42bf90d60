/** A Hugging Face folder opened: its architecture, its tokenizer, its weights yet unread. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type Tokenizer, tokenizerFromFiles } from '../../data/tokenizer.ts';
import { type Checkpoint, openCheckpoint } from '../../io/checkpoint.ts';
import { digestOfFiles } from '../../io/digest-node.ts';
import { type GenerationConfig, parseGenerationConfig } from '../../io/generation-config.ts';
import { parseLlamaConfig } from '../../io/llama-config.ts';
import type { Source } from '../../io/source.ts';
import { nodeSource } from '../../io/source-node.ts';
import type { Architecture, Weights } from '../../models/architecture.ts';
import type { LlamaConfig } from '../../models/llama/config.ts';
import { type LlamaOptions, llama } from '../../models/llama/llama.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import type { JsonObject } from '../../spec/strict-json.ts';
import type { HostTensor } from '../../spec/tensor.ts';
import type { World } from '../command.ts';
import { baseFolder } from './base-folder.ts';
import { readJson, readText } from './files.ts';

export interface Base {
  readonly folder: string;
  readonly config: LlamaConfig;
  readonly architecture: Architecture;
  readonly tokenizer: Tokenizer;
  readonly checkpoint: Checkpoint;
  /** How the model is meant to speak. */
  readonly generation: GenerationConfig;
}

/** Tokens that end a text: the tokenizer's own, and those that the folder says. */
export const stopsOf = ({ tokenizer: { eos }, generation: { stops } }: Base): readonly number[] => [
  ...new Set([...(eos === null ? [] : [eos]), ...stops]),
];

/** What fills a batch: any token of the vocabulary serves where nothing is learnt. */
export const paddingOf = ({ tokenizer }: Base): number => tokenizer.pad ?? tokenizer.eos ?? 0;

const GENERATION = 'generation_config.json';

type Task<A> = TE.TaskEither<PacaError, A>;

const tokenizerOf = (source: Source): Task<Tokenizer> =>
  pipe(
    TE.Do,
    TE.bind('names', () => source.list),
    TE.bind('tokenizer', () => readJson(source, 'tokenizer.json')),
    TE.bind('config', () => readJson(source, 'tokenizer_config.json')),
    TE.bind('chat', ({ names }) =>
      names.includes('chat_template.jinja') ? readText(source, 'chat_template.jinja') : TE.right(null),
    ),
    TE.chainEitherK(({ tokenizer, config, chat }) =>
      tokenizerFromFiles({ tokenizer, config, ...(chat !== null && { chatTemplate: chat }) }),
    ),
  );

const checkVocabulary = (tokenizer: Tokenizer, { vocabulary }: LlamaConfig): Result<Tokenizer> =>
  tokenizer.vocabularySize <= vocabulary
    ? E.right(tokenizer)
    : fail('ConfigError', `at most ${vocabulary} tokens`, String(tokenizer.vocabularySize), 'tokenizer.json');

/** From generation_config.json; without one, config.json may say which tokens end a text. */
const generationOf = (source: Source, config: JsonObject): Task<GenerationConfig> =>
  pipe(
    () => source.list(),
    TE.chain((names) =>
      names.includes(GENERATION)
        ? pipe(
            readJson(source, GENERATION),
            TE.chainEitherK((json) => parseGenerationConfig(json, GENERATION)),
          )
        : TE.fromEither(parseGenerationConfig({ eos_token_id: config.eos_token_id }, 'config.json')),
    ),
  );

/** A base in a folder. Errors say which file of it is at fault. */
export const openFolder = (folder: string, options: LlamaOptions = {}): Task<Base> => {
  const source = nodeSource(folder);
  return pipe(
    TE.Do,
    TE.bind('json', () => readJson(source, 'config.json')),
    TE.bind('config', ({ json }) => TE.fromEither(parseLlamaConfig(json, 'config.json'))),
    TE.bind('generation', ({ json }) => generationOf(source, json as JsonObject)),
    TE.bind('tokenizer', ({ config }) =>
      pipe(
        tokenizerOf(source),
        TE.chainEitherK((tokenizer) => checkVocabulary(tokenizer, config)),
      ),
    ),
    TE.bind('checkpoint', () => () => openCheckpoint(source, folder)),
    TE.map(({ json: _, ...opened }) => ({
      ...opened,
      folder,
      architecture: llama(opened.config, options),
    })),
    TE.mapLeft((e) => ({ ...e, where: `${folder}: ${e.where}` })),
  );
};

/** A base by its folder or its name on a hub. */
export const openBase = (world: Pick<World, 'terminal'>, base: string, options: LlamaOptions = {}): Task<Base> =>
  pipe(
    baseFolder(world, base),
    TE.chain((folder) => openFolder(folder, options)),
  );

/** What of a base makes the bits of a run, beside its weights. */
const described: readonly string[] = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'chat_template.jinja'];

/** Changes with any bit of the weights, the model's description or its tokenizer; not with the folder. */
export const baseDigest = ({ folder, checkpoint }: Base): Task<string> => {
  const source = nodeSource(folder);
  return pipe(
    () => source.list(),
    TE.map((names) => [...described.filter((name) => names.includes(name)), ...checkpoint.files]),
    TE.chain((names) => () => digestOfFiles(source, names)),
  );
};

/** Every weight in host memory, for a selection that reads them. */
export const hostWeights = async ({ checkpoint }: Base): Promise<Result<Weights>> => {
  const weights: Record<string, HostTensor> = {};
  for (const name of checkpoint.names) {
    const tensor = await checkpoint.read(name);
    if (E.isLeft(tensor)) return tensor;
    weights[name] = tensor.right;
  }
  return E.right(weights);
};

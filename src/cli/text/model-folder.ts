/** The model of a Hugging Face folder without its tokenizer: its architecture, its weights yet unread. */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type Checkpoint, openCheckpoint } from '../../io/checkpoint.ts';
import type { StorageType } from '../../io/narrow-host.ts';
import type { Source } from '../../io/source.ts';
import { nodeSource } from '../../io/source-node.ts';
import { type Architecture, sitesOf } from '../../models/architecture.ts';
import { llama } from '../../models/llama/llama.ts';
import type { PacaError } from '../../spec/errors.ts';
import type { World } from '../command.ts';
import { baseFolder } from './base-folder.ts';
import { readJson } from './files.ts';
import { parseModelConfig } from './model-config.ts';

interface ModelFolder {
  readonly source: Source;
  /** What config.json says that weights are stored in. */
  readonly dtype: StorageType;
  /** Without its tables of positions. */
  readonly architecture: Architecture;
  /** The linear maps but the output head: what NF4 is for, as transformers has it. */
  readonly quantisable: readonly string[];
  readonly checkpoint: Checkpoint;
}

const openFolder = (folder: string): TE.TaskEither<PacaError, ModelFolder> => {
  const source = nodeSource(folder);
  return pipe(
    readJson(source, 'config.json'),
    TE.chainEitherK((content) => parseModelConfig(content, 'config.json')),
    TE.mapLeft((e) => ({ ...e, where: e.where.startsWith('config.json') ? `${folder}: ${e.where}` : e.where })),
    TE.bind('checkpoint', () => () => openCheckpoint(source, folder)),
    TE.map(({ config, dtype, checkpoint }) => {
      // Nothing here depends on the positions, whose tables would take a while.
      const architecture = llama({ ...config, positions: 1 });
      const quantisable = sitesOf(architecture)
        .map(({ path }) => path)
        .filter((path) => path !== architecture.head);
      return { source, checkpoint, dtype, architecture, quantisable };
    }),
  );
};

/** By its folder or its name on a hub. Errors say which file of the folder is at fault. */
export const openModelFolder = (world: Pick<World, 'terminal'>, base: string): TE.TaskEither<PacaError, ModelFolder> =>
  pipe(baseFolder(world, base), TE.chain(openFolder));

/** The model of a Hugging Face folder without its tokenizer: its linear maps, its weights yet unread. */
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { type LinearMaps, linearMaps } from '../../io/adapter-places.ts';
import { type Checkpoint, openCheckpoint } from '../../io/checkpoint.ts';
import type { StorageType } from '../../io/narrow-host.ts';
import type { Source } from '../../io/source.ts';
import { nodeSource } from '../../io/source-node.ts';
import { sitesOf } from '../../models/architecture.ts';
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
  readonly maps: LinearMaps;
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
      // The maps do not depend on the positions, whose tables would take a while.
      const architecture = llama({ ...config, positions: 1 });
      const maps = linearMaps(sitesOf(architecture));
      const quantisable = [...maps.keys()].filter((path) => path !== architecture.head);
      return { source, checkpoint, dtype, maps, quantisable };
    }),
  );
};

/** By its folder or its name on a hub. Errors say which file of the folder is at fault. */
export const openModelFolder = (world: Pick<World, 'terminal'>, base: string): TE.TaskEither<PacaError, ModelFolder> =>
  pipe(baseFolder(world, base), TE.chain(openFolder));

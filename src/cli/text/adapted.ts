/**
 * A base with what a fine-tuning run left of it, as one model: a PEFT folder over the base's weights, or the
 * `model.safetensors` of full fine-tuning in their place. Nothing of it trains.
 *
 * Law: a module that the adapter does not name is the base's, to the bit.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import type { Kernels } from '../../core/fused.ts';
import { type AdapterFile, readAdapter } from '../../io/adapter.ts';
import { CONFIG } from '../../io/adapter-config.ts';
import { savedOver } from '../../io/adapter-saved.ts';
import { treatmentAt } from '../../io/adapter-treatment.ts';
import { checkpointWith, openCheckpoint } from '../../io/checkpoint.ts';
import { loadModel } from '../../io/load-model.ts';
import { nodeSource } from '../../io/source-node.ts';
import type { Treatment } from '../../methods/adapt.ts';
import type { Site } from '../../methods/operation.ts';
import { type Architecture, sitesOf } from '../../models/architecture.ts';
import type { Model } from '../../models/model.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { excerpt } from '../../spec/strict-json.ts';
import type { Spec } from '../../spec/tensor.ts';
import type { World } from '../command.ts';
import type { Base } from './base.ts';

type Task<A> = TE.TaskEither<PacaError, A>;
type TreatmentOf = (site: Site) => Treatment;

const frozen: Treatment = { method: 'frozen' };

/**
 * What an adapter makes of each place. `where`: the adapter's folder.
 * Errors: a module that is no linear map of the architecture.
 */
const treatmentsOf = (adapter: AdapterFile, architecture: Architecture, where: string): Result<TreatmentOf> => {
  const paths = sitesOf(architecture).flatMap(({ path, operation }) => (operation.kind === 'linear' ? [path] : []));
  const stray = Object.keys(adapter.modules).find((path) => !paths.includes(path));
  if (stray !== undefined) {
    return fail('ConfigError', `modules that are linear maps of ${architecture.name}`, excerpt(stray), where);
  }
  return E.right(({ path }) => treatmentAt(adapter, path, false));
};

const withAdapter = (world: Pick<World, 'terminal'>, k: Kernels<Spec>, base: Base, folder: string): Task<Model<Spec>> =>
  pipe(
    () => readAdapter(nodeSource(folder), folder),
    TE.chainEitherK(({ adapter, warnings }) => {
      for (const warning of warnings) world.terminal.write(`paca: ${warning}\n`);
      return pipe(
        treatmentsOf(adapter, base.architecture, folder),
        E.bindTo('treatmentOf'),
        E.bind('saved', () => savedOver(base.architecture, adapter, folder)),
      );
    }),
    TE.chain(
      ({ treatmentOf, saved }) =>
        () =>
          loadModel(k, base.architecture, checkpointWith(base.checkpoint, saved), treatmentOf),
    ),
  );

const replaced = (k: Kernels<Spec>, { architecture }: Base, folder: string): Task<Model<Spec>> =>
  pipe(
    () => openCheckpoint(nodeSource(folder), folder),
    TE.chain((checkpoint) => () => loadModel(k, architecture, checkpoint, () => frozen)),
  );

const isWholeModel = (names: readonly string[]): boolean =>
  !names.includes(CONFIG) && names.some((name) => /^model\.safetensors(\.index\.json)?$/.test(name));

/**
 * The model of a base and a folder over it, or of the base alone. What the adapter's reader warns of goes to the terminal.
 * Errors: a folder with neither an adapter nor a whole model; an adapter or weights that do not fit the base.
 */
export const loadAdapted = (
  world: Pick<World, 'terminal'>,
  k: Kernels<Spec>,
  base: Base,
  folder: string | null,
): Task<Model<Spec>> =>
  folder === null
    ? () => loadModel(k, base.architecture, base.checkpoint, () => frozen)
    : pipe(
        () => nodeSource(folder).list(),
        TE.chain((names) => (isWholeModel(names) ? replaced(k, base, folder) : withAdapter(world, k, base, folder))),
      );

/** `paca finetune` of the digits models: one run in a folder of its own, resumable. */
import { join } from 'node:path';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { nodeStore } from '../../io/store-node.ts';
import type { PacaError } from '../../spec/errors.ts';
import type { Arguments } from '../args.ts';
import { closing, openBackend } from '../backend.ts';
import { type ExitCode, printJson, type World } from '../command.ts';
import { claimFolder } from '../run/run-folder.ts';
import { formatPercent } from '../show/format.ts';
import { loadDigits } from './data.ts';
import { architectureOf, plan } from './experiment.ts';
import { type RunResult, runSession, type Session } from './session.ts';
import { type FinetuneInput, runIdentity, type Settings, settingsOf } from './settings.ts';

/** `runs/digits-mlp-paca`, unless another folder is named. */
const folderOf = ({ values }: Arguments, { task, model, method }: Settings): string =>
  (values.run as string | undefined) ?? join('runs', `${task}-${model}-${method}`);

const open = (
  world: World,
  args: Arguments,
  input: FinetuneInput,
): TE.TaskEither<PacaError, Session & { readonly close: () => Promise<void> }> => {
  const settings = settingsOf(input);
  return pipe(
    TE.Do,
    TE.let('folder', () => folderOf(args, settings)),
    TE.bind('backend', () => () => openBackend(input)),
    TE.chainFirst(
      ({ backend }) =>
        () =>
          plan(backend.kernels, settings),
    ),
    TE.bind('task', () => () => loadDigits(settings)),
    TE.bind('identity', ({ backend }) => TE.fromTask(() => runIdentity(settings, backend))),
    TE.let('store', ({ folder }) => nodeStore(folder)),
    TE.chainFirst(
      ({ store, folder, identity }) =>
        () =>
          claimFolder(store, folder, identity, settings, args.values.resume === true),
    ),
    TE.map(({ folder, backend, task, identity, store }) => ({
      world,
      experiment: { kernels: backend.kernels, architecture: architectureOf(settings), task, clock: world.clock },
      settings,
      store,
      folder,
      identity,
      close: backend.dispose,
    })),
  );
};

/** Every setting, and the bytes that the run would need beside the data; nothing runs and nothing is written. */
const dryRun = (world: World, input: FinetuneInput): TE.TaskEither<PacaError, ExitCode> => {
  const settings = settingsOf(input);
  return pipe(
    () => openBackend(input),
    TE.chain((backend) => () => closing(backend, () => plan(backend.kernels, settings))),
    TE.map((bytes): ExitCode => {
      printJson(world, { settings, bytes });
      return 0;
    }),
  );
};

const show = (world: World, json: boolean, r: RunResult): ExitCode => {
  if (json) printJson(world, r);
  else {
    world.print(`accuracy on held-out digits  ${formatPercent(r.metric.accuracy)}\nloss  ${r.loss.toFixed(4)}\n`);
    world.print(`adapter  ${r.adapter}\ndigest  ${r.digest}\nevents, loss curve, checkpoint  ${r.run}\n`);
  }
  return 0;
};

/** One run in a folder of its own. */
export const finetuneDigits = (
  world: World,
  args: Arguments,
  input: FinetuneInput,
): TE.TaskEither<PacaError, ExitCode> => {
  if (args.values.dryRun === true) return dryRun(world, input);
  return pipe(
    open(world, args, input),
    TE.chain((session) => () => closing({ dispose: session.close }, () => runSession(session))),
    TE.map((result) => show(world, args.values.json === true, result)),
  );
};

/** `paca finetune` of a language model: one run in a folder of its own, resumable. */
import { existsSync } from 'node:fs';
import { basename, extname, join } from 'node:path';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { nodeStore } from '../../io/store-node.ts';
import type { PacaError } from '../../spec/errors.ts';
import type { Arguments } from '../args.ts';
import { closing, openBackend } from '../backend.ts';
import { type ExitCode, printJson, type World } from '../command.ts';
import { claimFolder } from '../run/run-folder.ts';
import { formatBytes, formatCount, formatPercent } from '../show/format.ts';
import { renderTable } from '../show/table.ts';
import { baseDigest, openBase } from './base.ts';
import { loadData, stepsOf } from './data.ts';
import { checkSettings, type Opened, planTextRun, runTextSession, type TextResult } from './session.ts';
import { dataSettings, type TextInput, textIdentity, textSettings } from './settings.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

/** `runs/mails-paca`, and where that is taken `runs/mails-paca-2`; or the folder that is named. */
const folderOf = ({ values }: Arguments, { data, method = 'paca' }: TextInput): string => {
  if (typeof values.run === 'string') return values.run;
  const name = join('runs', `${basename(data, extname(data))}-${method}`);
  if (values.resume === true || !existsSync(name)) return name;
  const numbered = (n: number): string => (existsSync(`${name}-${n}`) ? numbered(n + 1) : `${name}-${n}`);
  return numbered(2);
};

const open = (world: World, args: Arguments, input: TextInput): Task<Opened> =>
  pipe(
    TE.Do,
    TE.bind('base', () => openBase(world, input.base, { recompute: input.recompute ?? false })),
    TE.bind('data', ({ base }) => loadData(base, dataSettings(input))),
    TE.bind('settings', ({ base, data }) =>
      TE.fromEither(checkSettings(textSettings(input, stepsOf(data, dataSettings(input))), base)),
    ),
    TE.bind('backend', () => () => openBackend(input)),
    TE.map(({ base, data, settings, backend }): Opened => {
      const folder = folderOf(args, input);
      return { world, backend, base, data, settings, folder, store: nodeStore(folder) };
    }),
  );

/** Every setting, what the data is, and the bytes that the run needs; nothing is trained and nothing written. */
const dryRun = (session: Opened): Task<ExitCode> =>
  pipe(
    planTextRun(session),
    TE.map(({ bytes, trainable }): ExitCode => {
      const { settings, data } = session;
      printJson(session.world, { settings, data: data.report, trainable, bytes });
      return 0;
    }),
  );

const percentOf = ({ accuracy }: { readonly accuracy: number }): string => formatPercent(accuracy);

const oneLine = (text: string): string => {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 60 ? `… ${line.slice(-58)}` : line;
};

const show = ({ print, columns: width }: World, r: TextResult): void => {
  const { metric, bytes } = r;
  if (metric !== null) {
    const { before, after } = metric;
    print(`right on ${before.judged.count} held-out samples: before ${percentOf(before.judged)}, `);
    print(`after ${percentOf(after.judged)}\n\n`);
    const headers = ['prompt', 'expected', 'before', 'after'].map((header) => ({ header, align: 'left' as const }));
    const rows = before.samples.map(({ prompt, expected, answer }, i) =>
      [prompt, expected, answer, after.samples[i]?.answer ?? ''].map(oneLine),
    );
    if (rows.length > 0) print(`${renderTable(headers, rows, { width })}\n\n`);
  }
  const { samples, tokens, truncated, droppedEmpty } = r.data;
  print(`learnt from ${formatCount(samples)} samples, ${formatCount(tokens)} tokens; `);
  print(
    `${formatCount(truncated)} were cut, ${formatCount(droppedEmpty)} left out as nothing in them is to be learnt\n`,
  );
  if (r.loss !== null) print(`loss on the validation part ${r.loss.toFixed(4)}\n`);
  print(`${formatCount(r.trainable)} numbers trained; ${formatCount(r.tokensPerSecond)} tokens a second; `);
  print(`memory: weights ${formatBytes(bytes.weights)}, kept for the backward pass ${formatBytes(bytes.residual)}, `);
  print(
    `gradients and optimizer ${formatBytes(bytes.gradients + bytes.optimizer)}; at its peak the process had ${formatBytes(r.peakBytes)}\n`,
  );
  print(`adapter  ${r.adapter}\ndigest   ${r.digest}\n`);
};

const identityOf = ({ base, settings, backend, data }: Opened): Task<string> =>
  pipe(
    baseDigest(base),
    TE.chainTaskK((digest) => () => textIdentity(settings, backend, [digest, ...data.digests])),
  );

const run = (session: Opened, args: Arguments): Task<ExitCode> => {
  const { world, store, folder, settings } = session;
  return pipe(
    identityOf(session),
    TE.chainFirst((identity) => () => claimFolder(store, folder, identity, settings, args.values.resume === true)),
    TE.chain((identity) => () => runTextSession({ ...session, identity })),
    TE.map((result): ExitCode => {
      if (args.values.json === true) printJson(world, result);
      else show(world, result);
      return 0;
    }),
  );
};

/** One run in a folder of its own. */
export const finetuneText = (world: World, args: Arguments, input: TextInput): Task<ExitCode> =>
  pipe(
    open(world, args, input),
    TE.chain(
      (session) => () => closing(session.backend, args.values.dryRun === true ? dryRun(session) : run(session, args)),
    ),
  );

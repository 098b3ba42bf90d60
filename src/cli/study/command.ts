/**
 * `paca study`: NF4 in depth, on tasks as `paca compare` takes them. The error of each weight, how far the model in NF4 is from
 * the one as it is, what LoRA and PaCA learn over both, and what of it stays when the adapter is merged and quantised.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import { nodeStore } from '../../io/store-node.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { type Comparison, parseTextCompare, textCompareKeys } from '../compare/settings.ts';
import { openTasks, type Place, resumable } from '../compare/trials.ts';
import { readInput } from '../input.ts';
import { REPORT } from '../run/run-folder.ts';
import { measureTask } from './measure.ts';
import { type StudiedTask, studiedTask } from './rows.ts';
import { studyPage, studyText } from './show.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

const RESULT = 'study.json';

const keys: readonly string[] = textCompareKeys.filter((key) => key !== 'methods');
const texts: readonly string[] = ['base', 'data', 'test', 'ownText'];

/** LoRA and PaCA over both bases, on tasks with a test and text of the base's own kind. */
const parse = (input: unknown, where: string): Result<Comparison> => {
  const given = Object(input) as object;
  if (Object.hasOwn(given, 'methods')) {
    return fail('ConfigError', `one of ${keys.join(', ')}`, "'methods'", where);
  }
  const methods = ['none', 'nf4', 'lora', 'paca', 'qlora', 'qpaca'];
  return pipe(
    parseTextCompare({ selects: ['random'], ...given, methods }, where),
    E.chainFirst(({ tasks }) => {
      const bare = tasks.find(({ input: { test }, ownText }) => test === undefined || ownText === null);
      return bare === undefined
        ? E.right(null)
        : fail('ConfigError', 'a test and an ownText', bare.ownText === null ? 'no ownText' : 'no test', bare.name);
    }),
  );
};

const finish = ({ world, folder }: Place, tasks: readonly StudiedTask[], json: boolean): Task<ExitCode> => {
  const store = nodeStore(folder);
  const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
  return pipe(
    () => store.write(RESULT, encode(`${JSON.stringify({ tasks }, null, 2)}\n`)),
    TE.chain(() => () => store.write(REPORT, encode(studyPage(tasks)))),
    TE.map((): ExitCode => {
      if (json) printJson(world, { tasks });
      else world.print(`${studyText(tasks, world.columns)}\nreport  ${folder}/${REPORT}\n`);
      return 0;
    }),
  );
};

const run = (place: Place, { resume, json }: { readonly resume: boolean; readonly json: boolean }): Task<ExitCode> =>
  resumable(
    place,
    pipe(
      openTasks(place, resume),
      TE.chain(TE.traverseSeqArray((settled) => pipe(measureTask(place, settled), TE.map(studiedTask)))),
      TE.chain((tasks) => finish(place, tasks, json)),
    ),
  );

export const study: Command = {
  summary: 'NF4 in depth: error by layer, divergence, what tuning takes back, merging and quantising again',
  usage:
    'paca study CONFIG.yaml | --base FOLDER|OWNER/NAME --data FILE.jsonl --test FILE.jsonl --own-text FILE.jsonl\n' +
    "           [--choices '[yes, no]'] [--selects '[random]'] [--seeds 3] [--rate-factors FACTORS] [--match rank|trainable]\n" +
    '           [--run FOLDER] [--resume] [--json] [--KEY VALUE ...]\n' +
    '\nThe keys are those of `paca compare` on language models; the methods are LoRA and PaCA, over the base as it is and in NF4.',
  keys: keys.filter((key) => !texts.includes(key)),
  texts: ['run', ...texts],
  switches: ['json', 'resume'],
  run: (world: World, args) =>
    pipe(
      readInput(args, keys, parse),
      TE.chain((comparison) => {
        const folder = typeof args.values.run === 'string' ? args.values.run : 'runs/study';
        const { resume, json } = args.values;
        return run({ world, comparison, folder, command: 'study' }, { resume: resume === true, json: json === true });
      }),
    )(),
};

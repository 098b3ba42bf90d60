/** `paca generate`: text from a language model, as it is made, or the answers to a file of prompts. */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import * as TE from 'fp-ts/lib/TaskEither.js';
import * as v from 'valibot';
import { rngFromSeed, splitRng } from '../../core/rng.ts';
import type { Sampling } from '../../models/generate.ts';
import { fail, type PacaError, type Result } from '../../spec/errors.ts';
import { excerpt, parseStrictJson } from '../../spec/strict-json.ts';
import type { Spec } from '../../spec/tensor.ts';
import { closing, openBackend } from '../backend.ts';
import { type Command, type ExitCode, printJson, type World } from '../command.ts';
import { count, parseWith, path } from '../schema.ts';
import { formatCount } from '../show/format.ts';
import { endProgress, showProgress, startProgress } from '../show/progress.ts';
import { loadAdapted } from './adapted.ts';
import { type Base, openBase } from './base.ts';
import type { Speaker } from './judge.ts';
import { type Prompt, promptsFromFile, textPrompt } from './prompts.ts';
import { type Speech, type SpeechOptions, speak } from './speech.ts';

type Task<A> = TE.TaskEither<PacaError, A>;

const where = 'generate';

/** Where neither a flag nor generation_config.json says. */
const MOST_TOKENS = 128;

const schema = v.strictObject({
  base: path,
  adapter: v.optional(path),
  prompt: v.optional(v.string()),
  file: v.optional(path),
  maxTokens: v.optional(count),
  temperature: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0))),
  topK: v.optional(count),
  topP: v.optional(v.pipe(v.number(), v.gtValue(0), v.maxValue(1))),
  seed: v.optional(v.pipe(v.number(), v.safeInteger()), 1),
  stop: v.optional(v.string()),
  chat: v.optional(v.boolean(), false),
  json: v.optional(v.boolean(), false),
  backend: v.optional(v.string()),
  threads: v.optional(count),
});

const keys: readonly string[] = Object.keys(schema.entries);

type Flags = v.InferOutput<typeof schema>;

interface Given extends Omit<Flags, 'stop'> {
  readonly stops: readonly string[];
}

interface Input extends Given {
  readonly sampling: Sampling;
}

const isTexts = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === 'string' && text !== '');

/** One text as it stands, or a JSON list of them. */
const readStops = (stop: string | undefined): Result<readonly string[]> => {
  if (!stop?.startsWith('[')) return E.right(stop === undefined ? [] : [stop]);
  return pipe(
    parseStrictJson(stop, '--stop'),
    E.chain((value) =>
      isTexts(value) ? E.right(value) : fail('ConfigError', 'a text, or a JSON list of texts', excerpt(stop), '--stop'),
    ),
  );
};

const checkTogether = (flags: Flags): Result<Flags> => {
  const { prompt, file, json } = flags;
  if ((prompt === undefined) === (file === undefined)) {
    return fail('ConfigError', 'one of --prompt and --file', prompt === undefined ? 'neither' : 'both', where);
  }
  if (json && file !== undefined) {
    return fail('ConfigError', '--file without --json: it prints one JSON document a line', '--json', where);
  }
  return E.right(flags);
};

/** As the flags say, else as generation_config.json does. Errors: a flag that has no effect. */
const samplingOf = (flags: Flags, { generation: { sampling } }: Base): Result<Sampling> => {
  const { temperature = sampling.temperature, topK = sampling.topK, topP = sampling.topP } = flags;
  const idle = temperature > 0 ? undefined : (['topK', 'topP'] as const).find((key) => flags[key] !== undefined);
  return idle === undefined
    ? E.right({ temperature, topK, topP })
    : fail('ConfigError', `a temperature above 0, without which '${idle}' has no effect`, String(flags[idle]), where);
};

/** Says what comes of generation_config.json, and what it asks for in vain. */
const tellGeneration = ({ terminal }: World, flags: Flags, { generation }: Base, sampling: Sampling): void => {
  const { temperature, topK, topP } = sampling;
  const given = [flags.temperature, flags.topK, flags.topP];
  if (temperature > 0 && generation.sampling.temperature > 0 && given.includes(undefined)) {
    const drawn = `temperature ${temperature}, top-k ${topK ?? 'none'}, top-p ${topP}`;
    terminal.write(`paca: ${drawn}: as generation_config.json says where no flag does\n`);
  }
  for (const asked of generation.unheeded) terminal.write(`paca: not heeded of generation_config.json: ${asked}\n`);
};

const parse = (values: object): Result<Given> =>
  pipe(
    parseWith(schema, keys, values, where),
    E.chain(checkTogether),
    E.bindTo('flags'),
    E.bind('stops', ({ flags }) => readStops(flags.stop)),
    E.map(({ flags, stops }) => ({ ...flags, stops })),
  );

const promptsOf = (base: Base, { prompt, file, chat }: Given): Task<readonly Prompt[]> =>
  file !== undefined
    ? promptsFromFile(base, file, chat)
    : TE.fromEither(E.map((one: Prompt) => [one])(textPrompt(base, prompt ?? '', chat, '--prompt')));

/** The last token that is made needs no position: no other is computed from it. */
const optionsOf = (input: Input, base: Base, { ids }: Prompt, record: number): SpeechOptions => ({
  most: Math.min(
    input.maxTokens ?? base.generation.maxNewTokens ?? MOST_TOKENS,
    base.config.positions - ids.length + 1,
  ),
  stops: input.stops,
  sampling: input.sampling,
  rng: splitRng(rngFromSeed(input.seed), String(record)),
});

type Tell = (world: World, speaker: Speaker<Spec>, prompts: readonly Prompt[], input: Input) => Promise<void>;

const rateOf = ({ tokens }: Speech, ms: number): number => Number(((1000 * tokens) / Math.max(ms, 1e-3)).toFixed(1));

/** One text: as it is made, or as one document. */
const tellOne: Tell = async (world, speaker, [prompt], input) => {
  const { print, terminal, clock } = world;
  const start = clock();
  const { ids } = prompt as Prompt;
  const speech = await speak(speaker, ids, optionsOf(input, speaker.base, prompt as Prompt, 0), (piece) => {
    if (!input.json) print(piece);
  });
  const tokensPerSecond = rateOf(speech, clock() - start);
  const { text, tokens, stopped } = speech;
  if (input.json) {
    printJson(world, { prompt: prompt?.prompt, text, tokens, tokensPerSecond, stopped });
    return;
  }
  print('\n');
  if (terminal.isTTY === true) {
    terminal.write(`${formatCount(tokens)} tokens, ${formatCount(tokensPerSecond)} a second, ended by ${stopped}\n`);
  }
};

/** A JSON line for each record. A record's text does not depend on the others. */
const tellAll: Tell = async ({ print, terminal, clock }, speaker, prompts, input) => {
  let progress = startProgress(prompts.length, clock());
  for (const [i, prompt] of prompts.entries()) {
    const { text } = await speak(speaker, prompt.ids, optionsOf(input, speaker.base, prompt, i), () => {});
    progress = endProgress(terminal, progress);
    const { ids: _, ...record } = prompt;
    print(`${JSON.stringify({ ...record, completion: text })}\n`);
    progress = showProgress(terminal, progress, { step: i + 1 }, clock());
  }
  endProgress(terminal, progress);
};

const run = (world: World, given: Given): Task<ExitCode> =>
  pipe(
    TE.Do,
    TE.bind('base', () => openBase(world, given.base)),
    TE.bind('sampling', ({ base }) => TE.fromEither(samplingOf(given, base))),
    TE.bind('prompts', ({ base }) => promptsOf(base, given)),
    TE.chainFirst(({ base, sampling }) => TE.fromIO(() => tellGeneration(world, given, base, sampling))),
    TE.bind('backend', () => () => openBackend(given)),
    TE.let('input', ({ sampling }): Input => ({ ...given, sampling })),
    TE.chain(({ base, prompts, input, backend }) => () => {
      const { kernels } = backend;
      return closing(backend, async () => {
        const model = await loadAdapted(world, kernels, base, input.adapter ?? null)();
        if (E.isRight(model)) {
          const speaker = { kernels, base, model: model.right, params: model.right.params };
          await (input.file === undefined ? tellOne : tellAll)(world, speaker, prompts, input);
        }
        return E.map((): ExitCode => 0)(model);
      });
    }),
  );

const texts: readonly string[] = ['base', 'adapter', 'prompt', 'file', 'stop', 'backend'];
const switches: readonly string[] = ['chat', 'json'];

export const generateText: Command = {
  summary: 'text from a language model, or its answers to a file of prompts',
  usage:
    'paca generate --base FOLDER|OWNER/NAME [--adapter FOLDER] --prompt TEXT | --file PROMPTS.jsonl [--chat]\n' +
    '              [--max-tokens 128] [--temperature 0] [--top-k N] [--top-p P] [--seed 1]\n' +
    `              [--stop TEXT | --stop '["TEXT", ...]'] [--backend NAME] [--threads N] [--json]`,
  keys: keys.filter((key) => !texts.includes(key) && !switches.includes(key)),
  texts,
  switches,
  run: async (world, { positionals, values }) =>
    positionals.length > 0
      ? fail('ConfigError', 'flags alone', positionals.join(' '), where)
      : pipe(
          TE.fromEither(parse(values)),
          TE.chain((given) => run(world, given)),
        )(),
};

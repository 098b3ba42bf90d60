/**
 * Samples → token sequences: ids, and which of them train.
 *
 * A document is tokenised **whole**, as it will be read, and only then cut: a prefix is tokenised by itself, and the
 * tokens that both have in common from the start are the prefix's. Tokenising the pieces apart and joining them would give
 * tokens that no text has (a space of its own at the start of an answer); this cannot. Where the two differ, mostly at a token
 * that spans the boundary, the tokens from there on belong to the piece behind, as they do where a model goes on writing;
 * samples with such a boundary are counted in `straddled`. Where prompts end in a space, that is nearly all of them, and
 * prompts at inference will not look like those in training.
 *
 * Around a document that is no chat stand the BOS, if the tokenizer puts one there, and the EOS, which trains. A chat
 * template writes its own, so nothing is added to a chat.
 *
 * Laws: without what is added, ids = encode(the segments joined), however the text is cut into segments; `trains[0] = 0`, as
 * nothing stands before it; the report's `tokens` and `trainedTokens` are the sums over the sequences; samples =
 * sequences + droppedEmpty.
 */
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type PacaError, type Result } from '../spec/errors.ts';
import { type ChatOptions, chatRenderer, chatSegments, type RenderChat } from './chat.ts';
import type { PlainSample, Sample, Segment } from './records.ts';
import type { Tokenizer } from './tokenizer.ts';

// model

/** A document as a model reads it. */
export interface TokenSequence {
  readonly ids: Int32Array;
  /** 1 where the token is to be predicted from those before it, else 0. As long as `ids`. */
  readonly trains: Uint8Array;
}

export interface SequenceConfig {
  /** Tokens of a sequence at most, BOS and EOS among them; what is beyond is cut off. */
  readonly maxLength: number;
  /** What is learnt: answers and plain text alone, or prompts too. */
  readonly lossOn: 'completion' | 'all';
  readonly chat?: ChatOptions;
}

export interface SequenceReport {
  /** Samples that came in. */
  readonly samples: number;
  /** Sequences that were cut to `maxLength`, the dropped ones among them. */
  readonly truncated: number;
  /** Samples left out, as no token of them trains: their prompt alone fills `maxLength`, or nobody answers. */
  readonly droppedEmpty: number;
  /** Samples with a boundary up to which the text alone has other tokens than as part of the whole. */
  readonly straddled: number;
  /** Tokens of all sequences, and those of them that train. */
  readonly tokens: number;
  readonly trainedTokens: number;
}

export interface Sequences {
  readonly sequences: readonly TokenSequence[];
  readonly report: SequenceReport;
}

interface Tokenised extends TokenSequence {
  readonly straddles: boolean;
}

// tokens of segments

const commonPrefix = (a: readonly number[], b: readonly number[]): number => {
  const end = Math.min(a.length, b.length);
  let i = 0;
  while (i < end && a[i] === b[i]) i++;
  return i;
};

interface Cut {
  readonly text: string;
  /** Tokens that belong to the segments so far. */
  readonly end: number;
}

/** The tokens of all segments joined, each marked as its segment is. */
const tokenise = ({ encode }: Tokenizer, segments: readonly Segment[]): Tokenised => {
  const filled = segments.filter(({ text }) => text !== '');
  const whole = encode(filled.map(({ text }) => text).join(''), { special: false });
  const trains = new Uint8Array(whole.length);
  let straddles = false;
  filled.reduce<Cut>(
    (before, segment, i) => {
      const text = before.text + segment.text;
      const alone = i === filled.length - 1 ? whole : encode(text, { special: false });
      const shared = commonPrefix(alone, whole);
      const end = Math.max(before.end, shared);
      straddles ||= shared < alone.length;
      trains.fill(segment.trains ? 1 : 0, before.end, end);
      return { text, end };
    },
    { text: '', end: 0 },
  );
  return { ids: Int32Array.from(whole), trains, straddles };
};

// BOS and EOS

/** Whether the tokenizer's post-processor opens a text with its BOS. */
const opensWithBos = ({ bos, encode }: Tokenizer): boolean => {
  const bare = encode('a', { special: false });
  const dressed = encode('a', { special: true });
  return bos !== null && dressed[0] === bos && bare[0] !== bos;
};

interface Frame {
  readonly bos: readonly number[];
  readonly eos: number;
}

const frameOf = (tokenizer: Tokenizer): Result<Frame> => {
  const { bos, eos } = tokenizer;
  if (eos === null) return fail('ConfigError', 'a tokenizer with an eos_token, to end documents', 'none', 'tokenizer');
  return E.right({ bos: bos !== null && opensWithBos(tokenizer) ? [bos] : [], eos });
};

/** BOS and EOS around a document, each unless the text has it already. */
const enframe = ({ ids, trains, straddles }: Tokenised, { bos, eos }: Frame): Tokenised => {
  const before = ids[0] === bos[0] ? [] : bos;
  const after = ids.at(-1) === eos ? [] : [eos];
  return {
    ids: Int32Array.from([...before, ...ids, ...after]),
    trains: Uint8Array.from([...before.map(() => 0), ...trains, ...after.map(() => 1)]),
    straddles,
  };
};

// sequences

/** What the two kinds of samples need; an error only where a sample needs it. */
interface Halves {
  readonly frame: Result<Frame>;
  readonly render: Result<RenderChat>;
}

const at =
  (where: string) =>
  (error: PacaError): PacaError => ({ ...error, where: `${where}: ${error.where}` });

const tokenisePlain = (tokenizer: Tokenizer, { segments }: PlainSample, frame: Frame): Tokenised =>
  enframe(tokenise(tokenizer, segments), frame);

const tokeniseSample = (tokenizer: Tokenizer, sample: Sample, { frame, render }: Halves): Result<Tokenised> =>
  pipe(
    sample.kind === 'plain'
      ? pipe(
          frame,
          E.map((f) => tokenisePlain(tokenizer, sample, f)),
        )
      : pipe(
          render,
          E.chain((r) => chatSegments(r, sample.messages)),
          E.map((segments) => tokenise(tokenizer, segments)),
        ),
    E.mapLeft(at(sample.where)),
  );

/** Cut to length, marked by what is learnt; the first token is never a target. */
const finish = ({ ids, trains }: TokenSequence, { maxLength, lossOn }: SequenceConfig): TokenSequence => {
  const marks = trains.slice(0, maxLength);
  if (lossOn === 'all') marks.fill(1);
  marks.fill(0, 0, 1);
  return { ids: ids.slice(0, maxLength), trains: marks };
};

const sum = <A>(items: readonly A[], of: (item: A) => number): number => items.reduce((n, item) => n + of(item), 0);

const trainedIn = ({ trains }: TokenSequence): number => trains.reduce((n, t) => n + t, 0);

const collect = (tokenised: readonly Tokenised[], config: SequenceConfig): Sequences => {
  const finished = tokenised.map((one) => finish(one, config));
  const sequences = finished.filter(({ trains }) => trains.includes(1));
  const report: SequenceReport = {
    samples: tokenised.length,
    truncated: tokenised.filter(({ ids }) => ids.length > config.maxLength).length,
    droppedEmpty: finished.length - sequences.length,
    straddled: tokenised.filter(({ straddles }) => straddles).length,
    tokens: sum(sequences, ({ ids }) => ids.length),
    trainedTokens: sum(sequences, trainedIn),
  };
  return { sequences, report };
};

/**
 * The sequences of samples, in their order, and what became of them. ConfigError: a `maxLength` below 2, a tokenizer that
 * lacks what the samples need (an EOS for plain text, a template for chats). What a template refuses is a `DataError`. Each
 * names the sample. A chat needs no EOS of the tokenizer, and plain text no template.
 */
export const sequencesFromSamples = (
  samples: readonly Sample[],
  tokenizer: Tokenizer,
  config: SequenceConfig,
): Result<Sequences> => {
  const { maxLength, lossOn, chat } = config;
  if (!Number.isSafeInteger(maxLength) || maxLength < 2)
    return fail('ConfigError', 'a length of 2 or more', String(maxLength), 'maxLength');
  if (lossOn !== 'completion' && lossOn !== 'all')
    return fail('ConfigError', 'completion or all', String(lossOn), 'lossOn');
  const halves: Halves = { frame: frameOf(tokenizer), render: chatRenderer(tokenizer, chat) };
  return pipe(
    samples,
    E.traverseArray((sample) => tokeniseSample(tokenizer, sample, halves)),
    E.map((tokenised) => collect(tokenised, config)),
  );
};

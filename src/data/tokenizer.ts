/**
 * A tokenizer from the two files of a checkpoint, `tokenizer.json` and `tokenizer_config.json`, by
 * `@huggingface/tokenizers`. Here stand the checks, the special tokens and what is asked of it; no file is opened.
 *
 * Laws: `decode(encode(t, { special: false })) = t` where the vocabulary spells every text (byte-level BPE without a
 * normaliser); encoding does not depend on what was encoded before; every id lies in 0 … vocabularySize − 1.
 *
 * Text that spells a special token (`<|im_end|>`) becomes that token, wherever it comes from, as in Hugging Face's own: in
 * data that others wrote, look for it first.
 */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import * as E from 'fp-ts/lib/Either.js';
import { pipe } from 'fp-ts/lib/function.js';
import { fail, type Result } from '../spec/errors.ts';
import { excerpt } from '../spec/strict-json.ts';

// model

export interface Tokenizer {
  /**
   * The ids of a text. `special` adds what the tokenizer puts around a text (a BOS, say), as its post-processor says.
   * Characters that the vocabulary cannot spell, and for which it has no unknown token, are left out.
   */
  readonly encode: (text: string, options: { readonly special: boolean }) => readonly number[];
  /**
   * The text of ids, spaces as they are. Ids that the vocabulary lacks are left out; with `special: false`, special
   * tokens too.
   */
  readonly decode: (ids: Iterable<number>, options?: { readonly special: boolean }) => string;
  /** The largest id plus one: the rows that an embedding needs at least. */
  readonly vocabularySize: number;
  readonly bos: number | null;
  readonly eos: number | null;
  readonly pad: number | null;
  /** Texts of the named special tokens (`bos_token`, …), as chat templates call them. */
  readonly specialTokens: Readonly<Record<string, string>>;
  /** The source of the chat template, in Jinja. */
  readonly chatTemplate: string | null;
}

/** The parsed contents of the files. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizer: unknown;
  /** `tokenizer_config.json`. */
  readonly config: unknown;
  /** The text of `chat_template.jinja`, where there is one; it wins over the one in the configuration. */
  readonly chatTemplate?: string;
}

type Fields = Readonly<Record<string, unknown>>;

/** What is used of the library, whose own declarations do not resolve in Node's way. */
interface Engine {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: readonly (number | undefined)[] };
  decode(
    ids: readonly number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): ReadonlyMap<string, number>;
}

const vocabularyFile = 'tokenizer.json';
const configFile = 'tokenizer_config.json';

// checks

const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const wrong = (expected: string, came: unknown, where: string): Result<never> =>
  fail('FileError', expected, came === undefined ? 'nothing' : excerpt(came), where);

const objectIn = (value: unknown, where: string): Result<Fields> =>
  isObject(value) ? E.right(value) : wrong('an object', value, where);

/** Parts that a file may leave out; the library reads `null`. */
const parts = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'];

const isId = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const isAddedToken = (token: unknown): boolean =>
  isObject(token) && isId(token.id) && typeof token.content === 'string' && token.content !== '';

/** The library takes an unknown kind for one that it knows; old files name none. */
const kinds: readonly unknown[] = ['BPE', 'WordPiece', 'Unigram', undefined];

const checkKind = ({ type }: Fields): Result<null> =>
  kinds.includes(type) ? E.right(null) : wrong('BPE, WordPiece or Unigram', type, `${vocabularyFile}: model.type`);

/** Ids of a vocabulary that maps tokens to them; lists (Unigram) number themselves. */
const checkVocabulary = (model: Fields): Result<null> => {
  const where = `${vocabularyFile}: model.vocab`;
  const { vocab } = model;
  if (Array.isArray(vocab)) return vocab.length > 0 ? E.right(null) : wrong('at least one token', vocab, where);
  if (!isObject(vocab)) return wrong('the tokens and their ids', vocab, where);
  const entries = Object.entries(vocab);
  if (entries.length === 0) return wrong('at least one token', vocab, where);
  const bad = entries.find(([, id]) => !isId(id));
  if (bad !== undefined) return wrong(`a number of 0 or more as the id of ${excerpt(bad[0])}`, bad[1], where);
  const ids = new Set(entries.map(([, id]) => id));
  return ids.size === entries.length ? E.right(null) : wrong(`${entries.length} different ids`, ids.size, where);
};

const checkAddedTokens = (value: unknown): Result<readonly unknown[]> => {
  const where = `${vocabularyFile}: added_tokens`;
  if (value === undefined || value === null) return E.right([]);
  if (!Array.isArray(value)) return wrong('a list', value, where);
  const bad = value.findIndex((token) => !isAddedToken(token));
  return bad < 0 ? E.right(value) : wrong('a token with id and content', value[bad], `${where}[${bad}]`);
};

/** The vocabulary file, complete as the library wants it. */
const checkedVocabulary = (value: unknown): Result<Fields> =>
  pipe(
    E.Do,
    E.bind('file', () => objectIn(value, vocabularyFile)),
    E.bind('model', ({ file }) => objectIn(file.model, `${vocabularyFile}: model`)),
    E.chainFirst(({ model }) => checkKind(model)),
    E.chainFirst(({ model }) => checkVocabulary(model)),
    E.bind('added', ({ file }) => checkAddedTokens(file.added_tokens)),
    E.map(({ file, added }) => ({
      ...Object.fromEntries(parts.map((name) => [name, null])),
      ...file,
      added_tokens: added,
    })),
  );

/** The library throws on parts that it does not know; a wrong file may make it throw anything. */
const buildEngine = (vocabulary: Fields, config: Fields): Result<Engine> => {
  try {
    return E.right(new HuggingFaceTokenizer(vocabulary, config));
  } catch (cause) {
    return fail('FileError', 'a tokenizer that is understood', (cause as Error).message, vocabularyFile);
  }
};

// special tokens and template

/** A token is written as its text, or as an object that has it. */
const tokenText = (value: unknown): string | undefined => {
  const text = isObject(value) ? value.content : value;
  return typeof text === 'string' ? text : undefined;
};

/** All fields `…_token` that name one. */
const specialTokensOf = (config: Fields): Readonly<Record<string, string>> =>
  Object.fromEntries(
    Object.entries(config).flatMap(([name, value]) => {
      const text = name.endsWith('_token') ? tokenText(value) : undefined;
      return text === undefined ? [] : [[name, text]];
    }),
  );

const specialId = (engine: Engine, config: Fields, name: string): Result<number | null> => {
  const value = config[name];
  const where = `${configFile}: ${name}`;
  if (value === undefined || value === null) return E.right(null);
  const text = tokenText(value);
  if (text === undefined) return wrong('a token', value, where);
  const id = engine.token_to_id(text);
  return id === undefined ? wrong(`a token of ${vocabularyFile}`, text, where) : E.right(id);
};

/** One template, or a list of named ones, of which `default` is taken. */
const templateOf = (config: Fields): Result<string | null> => {
  const value = config.chat_template;
  const where = `${configFile}: chat_template`;
  if (value === undefined || value === null) return E.right(null);
  if (typeof value === 'string') return E.right(value);
  const named: unknown = Array.isArray(value)
    ? value.find((entry) => isObject(entry) && entry.name === 'default')
    : undefined;
  const template = isObject(named) ? named.template : undefined;
  return typeof template === 'string' ? E.right(template) : wrong('a template, or one named default', value, where);
};

// the tokenizer

const encodeWith =
  (engine: Engine): Tokenizer['encode'] =>
  (text, { special }) =>
    engine.encode(text, { add_special_tokens: special }).ids.filter((id) => id !== undefined);

const decodeWith =
  (engine: Engine): Tokenizer['decode'] =>
  (ids, { special } = { special: true }) => {
    const known = Array.from(ids).filter((id) => engine.id_to_token(id) !== undefined);
    const options = { skip_special_tokens: !special, clean_up_tokenization_spaces: false };
    return known.length === 0 ? '' : engine.decode(known, options);
  };

const sizeOfVocabulary = (engine: Engine): number =>
  Array.from(engine.get_vocab().values()).reduce((size, id) => Math.max(size, id + 1), 0);

/** A tokenizer, or a `FileError` that names the file and the field. */
export const tokenizerFromFiles = (files: TokenizerFiles): Result<Tokenizer> =>
  pipe(
    E.Do,
    E.bind('vocabulary', () => checkedVocabulary(files.tokenizer)),
    E.bind('config', () => objectIn(files.config, configFile)),
    E.bind('engine', ({ vocabulary, config }) => buildEngine(vocabulary, config)),
    E.bind('bos', ({ engine, config }) => specialId(engine, config, 'bos_token')),
    E.bind('eos', ({ engine, config }) => specialId(engine, config, 'eos_token')),
    E.bind('pad', ({ engine, config }) => specialId(engine, config, 'pad_token')),
    E.bind('template', ({ config }) => templateOf(config)),
    E.map(({ engine, config, bos, eos, pad, template }) => ({
      encode: encodeWith(engine),
      decode: decodeWith(engine),
      vocabularySize: sizeOfVocabulary(engine),
      bos,
      eos,
      pad,
      specialTokens: specialTokensOf(config),
      chatTemplate: files.chatTemplate ?? template,
    })),
  );

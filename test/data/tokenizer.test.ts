/**
 * The tokenizer: what the library does with a file that can be read, and what is said about files that cannot.
 */
import { describe, expect, it } from 'vitest';
import { tokenizerFromFiles } from '../../src/data/tokenizer.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';
import { chatml, configFile, idOf, tinyTokenizer, tokenizerFile, vocabularySize } from '../support/tiny-tokenizer.ts';

const plain = { special: false };
const tokenizer = tinyTokenizer();
const text = fc.string({ unit: 'grapheme', maxLength: 40 });

describe('the tokens', () => {
  it('are those that the merges give, by hand', () => {
    const tokens = (s: string): readonly number[] => tokenizer.encode(s, plain);
    expect(tokens('hello world')).toEqual(['hello', 'Ġworld'].map(idOf));
    expect(tokens('the the')).toEqual(['t', 'he', 'Ġthe'].map(idOf));
    expect(tokens('é')).toEqual(['Ã', '©'].map(idOf));
    expect(tokens('<|im_start|>user\n')).toEqual(['<|im_start|>', 'user', 'Ċ'].map(idOf));
    expect(tokens('')).toEqual([]);
  });

  it('spell every text, and lie in the vocabulary', () => {
    fc.assert(
      fc.property(text, fc.constantFrom(tokenizer, tinyTokenizer({ splitter: 'llama3' })), (t, by) => {
        const ids = by.encode(t, plain);
        expect(by.decode(ids)).toBe(t);
        expect(ids.every((id) => id >= 0 && id < vocabularySize)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('keep spaces before punctuation, which clean-up would eat', () => {
    const spaced = "do n't , he said . hello !";
    const cleaning = orThrow(
      tokenizerFromFiles({ tokenizer: tokenizerFile(), config: { clean_up_tokenization_spaces: true } }),
    );
    for (const t of [tokenizer, cleaning]) expect(t.decode(t.encode(spaced, plain))).toBe(spaced);
  });

  it('do not depend on what was encoded before', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const fresh = tinyTokenizer().encode(b, plain);
        tokenizer.encode(a, plain);
        expect(tokenizer.encode(b, plain)).toEqual(fresh);
      }),
      { numRuns: 10 },
    );
  });

  it('open with the BOS where the file says so and it is asked for', () => {
    const opening = tinyTokenizer({ bos: true });
    expect(opening.encode('no', { special: true })).toEqual([idOf('<|begin|>'), idOf('no')]);
    expect(opening.encode('no', plain)).toEqual([idOf('no')]);
    expect(tokenizer.encode('no', { special: true })).toEqual([idOf('no')]);
  });

  it('are left out of a text where they are special and unwanted, or unknown', () => {
    const ids = [idOf('<|begin|>'), idOf('yes'), vocabularySize, -1, idOf('<|end|>')];
    expect(tokenizer.decode(ids)).toBe('<|begin|>yes<|end|>');
    expect(tokenizer.decode(Int32Array.from(ids), plain)).toBe('yes');
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.decode([vocabularySize])).toBe('');
  });

  it('leave out what a vocabulary without unknown token cannot spell', () => {
    const { model, ...file } = tokenizerFile();
    const { vocab, ...others } = model as { vocab: Record<string, number> };
    const { x: _, ...rest } = vocab;
    for (const unk_token of [null, 'not in the vocabulary']) {
      const partial = { ...file, model: { ...others, unk_token, vocab: rest } };
      const { encode } = orThrow(tokenizerFromFiles({ tokenizer: partial, config: {} }));
      expect(encode('axa', plain)).toEqual([idOf('a'), idOf('a')]);
    }
  });
});

describe('the special tokens', () => {
  it('are found, written as text or as an object', () => {
    expect(tokenizer).toMatchObject({
      bos: idOf('<|begin|>'),
      eos: idOf('<|end|>'),
      pad: idOf('<|pad|>'),
      vocabularySize,
      specialTokens: { bos_token: '<|begin|>', eos_token: '<|end|>', pad_token: '<|pad|>' },
    });
  });

  it('are null where the file names none', () => {
    const bare = orThrow(tokenizerFromFiles({ tokenizer: tokenizerFile(), config: { pad_token: null } }));
    expect(bare).toMatchObject({ bos: null, eos: null, pad: null, specialTokens: {}, chatTemplate: null });
  });
});

it('takes the chat template as text, by the name default, or from a file of its own', () => {
  const templateOf = (chat: unknown, file?: string): string | null =>
    orThrow(
      tokenizerFromFiles({
        tokenizer: tokenizerFile(),
        config: configFile(chat),
        ...(file === undefined ? {} : { chatTemplate: file }),
      }),
    ).chatTemplate;
  expect(templateOf(chatml)).toBe(chatml);
  expect(
    templateOf([
      { name: 'tools', template: 'x' },
      { name: 'default', template: chatml },
    ]),
  ).toBe(chatml);
  expect(templateOf('old', chatml)).toBe(chatml);
});

it('reads a file that leaves optional parts out', () => {
  const { model, decoder, pre_tokenizer } = tokenizerFile();
  const short = orThrow(tokenizerFromFiles({ tokenizer: { model, decoder, pre_tokenizer }, config: {} }));
  expect(short.encode('hello world', plain)).toEqual(['hello', 'Ġworld'].map(idOf));
});

describe('tokenizerFromFiles rejects', () => {
  const file = tokenizerFile();
  const model = file.model as Record<string, unknown>;
  const added = (token: unknown): unknown => ({ ...file, added_tokens: [token] });
  const withVocabulary = (vocab: unknown): unknown => ({ ...file, model: { ...model, vocab } });
  const inFile = 'tokenizer.json';
  const inConfig = 'tokenizer_config.json';

  it.each<[string, unknown, unknown, string]>([
    ['nothing', undefined, {}, inFile],
    ['a list', [], {}, inFile],
    ['no model', {}, {}, `${inFile}: model`],
    ['a model that is a name', { model: 'BPE' }, {}, `${inFile}: model`],
    ['no vocabulary', withVocabulary(undefined), {}, `${inFile}: model.vocab`],
    ['an empty vocabulary', withVocabulary({}), {}, `${inFile}: model.vocab`],
    ['an id that is text', withVocabulary({ a: '0' }), {}, `${inFile}: model.vocab`],
    ['an id below 0', withVocabulary({ a: -1 }), {}, `${inFile}: model.vocab`],
    ['an id twice', withVocabulary({ a: 0, b: 0 }), {}, `${inFile}: model.vocab`],
    ['an unknown kind of model', { ...file, model: { ...model, type: 'Markov' } }, {}, `${inFile}: model.type`],
    ['an unknown pre-tokenizer', { ...file, pre_tokenizer: { type: 'Guess' } }, {}, inFile],
    ['an unknown normaliser', { ...file, normalizer: { type: 'Guess' } }, {}, inFile],
    ['an unknown decoder', { ...file, decoder: { type: 'Guess' } }, {}, inFile],
    ['merges that are a number', { ...file, model: { ...model, merges: 3 } }, {}, inFile],
    ['added tokens that are no list', { ...file, added_tokens: {} }, {}, `${inFile}: added_tokens`],
    ['an added token without id', added({ content: 'a' }), {}, `${inFile}: added_tokens[0]`],
    ['an added token without text', added({ id: 1, content: '' }), {}, `${inFile}: added_tokens[0]`],
    ['no configuration', file, null, inConfig],
    ['a configuration that is text', file, '{}', inConfig],
    ['an EOS that is a number', file, { eos_token: 2 }, `${inConfig}: eos_token`],
    ['an EOS that no token spells', file, { eos_token: '</s>' }, `${inConfig}: eos_token`],
    ['a BOS without text', file, { bos_token: { special: true } }, `${inConfig}: bos_token`],
    ['a pad that no token spells', file, { pad_token: '[PAD]' }, `${inConfig}: pad_token`],
    ['a template that is a number', file, { chat_template: 1 }, `${inConfig}: chat_template`],
    [
      'templates without a default',
      file,
      { chat_template: [{ name: 'rag', template: 'x' }] },
      `${inConfig}: chat_template`,
    ],
  ])('%s', (_, tokenizer, config, where) => {
    expect(tokenizerFromFiles({ tokenizer, config })).toMatchObject({ left: { tag: 'FileError', where } });
  });
});

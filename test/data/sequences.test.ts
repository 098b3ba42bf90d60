/**
 * Sequences: tokens of the whole text, marks where the pieces are, and a report that adds up.
 */
import { describe, expect, it } from 'vitest';
import type { Message, PlainSample, Sample, Segment } from '../../src/data/records.ts';
import { type SequenceConfig, sequencesFromSamples, type TokenSequence } from '../../src/data/sequences.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';
import { chatml, idOf, llama3, tinyTokenizer } from '../support/tiny-tokenizer.ts';

const tokenizer = tinyTokenizer();
const long: SequenceConfig = { maxLength: 10_000, lossOn: 'completion' };

const plain = (...segments: readonly Segment[]): PlainSample => ({ kind: 'plain', segments, aside: {}, where: 'f:1' });
const asked = (prompt: string, completion: string): PlainSample =>
  plain({ text: prompt, trains: false }, { text: completion, trains: true });
const chat = (...messages: readonly Message[]): Sample => ({ kind: 'chat', messages, aside: {}, where: 'f:2' });

const one = (sample: Sample, config: SequenceConfig = long, by = tokenizer): TokenSequence => {
  const [sequence] = orThrow(sequencesFromSamples([sample], by, config)).sequences;
  if (sequence === undefined) throw new Error('dropped');
  return sequence;
};
const ids = (...tokens: readonly string[]): number[] => tokens.map(idOf);
const listed = ({ ids: tokens, trains }: TokenSequence): readonly (readonly number[])[] => [[...tokens], [...trains]];

const eos = idOf('<|end|>');
const text = fc.string({ unit: 'grapheme', maxLength: 20 });
const pieces = fc.array(
  fc.record({ text: fc.oneof(text, fc.constantFrom(' ', ' the', 'hello', '\n')), trains: fc.boolean() }),
  {
    maxLength: 5,
  },
);

describe('the tokens of a document', () => {
  it('by hand: prompt, completion, EOS', () => {
    expect(listed(one(asked('hello', ' world')))).toEqual([ids('hello', 'Ġworld', '<|end|>'), [0, 1, 1]]);
    expect(listed(one(plain({ text: 'yes no', trains: true })))).toEqual([ids('yes', 'Ġno', '<|end|>'), [0, 1, 1]]);
  });

  it('are those of the whole text, however it is cut', () => {
    fc.assert(
      fc.property(pieces, (segments) => {
        fc.pre(segments.some((s) => s.text !== ''));
        const whole = tokenizer.encode(segments.map((s) => s.text).join(''), { special: false });
        expect([...one(plain(...segments)).ids]).toEqual([...whole, eos]);
      }),
      { numRuns: 200 },
    );
  });

  it('train as their segment does; one that spans a boundary, as the segment behind', () => {
    expect(listed(one(asked('hel', 'lo world')))).toEqual([ids('hello', 'Ġworld', '<|end|>'), [0, 1, 1]]);
    expect(listed(one(asked('no hel', 'lo')))).toEqual([ids('no', 'Ġhello', '<|end|>'), [0, 1, 1]]);
    expect(listed(one(asked('no ', 'world no')))).toEqual([ids('no', 'Ġworld', 'Ġno', '<|end|>'), [0, 1, 1, 1]]);
    expect(listed(one(asked('no', ' world no')))).toEqual([ids('no', 'Ġworld', 'Ġno', '<|end|>'), [0, 1, 1, 1]]);
    const { report } = orThrow(sequencesFromSamples([asked('no ', 'world'), asked('no', ' world')], tokenizer, long));
    expect(report.straddled).toBe(1);
  });

  it('train from where prompt and whole differ: line breaks that part before a word', () => {
    expect(tokenizer.encode('no\n\n', { special: false })).toEqual(ids('no', 'ĊĊ'));
    expect(listed(one(asked('no\n\n', 'yes')))).toEqual([ids('no', 'Ċ', 'Ċ', 'yes', '<|end|>'), [0, 1, 1, 1, 1]]);
    const keeping = tinyTokenizer({ splitter: 'llama3' });
    expect(listed(one(asked('no\n\n', 'yes'), long, keeping))).toEqual([
      ids('no', 'ĊĊ', 'yes', '<|end|>'),
      [0, 0, 1, 1],
    ]);
  });

  it('train after a boundary and not before, where no token spans it', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        const prompt = `${a}<|pad|>`;
        const { trains } = one(asked(prompt, b));
        const before = tokenizer.encode(prompt, { special: false }).length;
        expect([...trains]).toEqual(Array.from(trains, (_, i) => (i < before ? 0 : 1)));
      }),
    );
  });

  it('all train but the first where the loss is on all', () => {
    fc.assert(
      fc.property(pieces, (segments) => {
        fc.pre(segments.some((s) => s.text !== ''));
        const { trains } = one(plain(...segments), { ...long, lossOn: 'all' });
        expect([...trains]).toEqual(Array.from(trains, (_, i) => (i === 0 ? 0 : 1)));
      }),
    );
  });

  it('open with the BOS of a tokenizer that puts one there, and have neither twice', () => {
    const opening = tinyTokenizer({ bos: true });
    const expected = [ids('<|begin|>', 'no', '<|end|>'), [0, 1, 1]];
    expect(listed(one(plain({ text: 'no', trains: true }), long, opening))).toEqual(expected);
    expect(listed(one(plain({ text: '<|begin|>no<|end|>', trains: true }), long, opening))).toEqual(expected);
  });
});

describe('the tokens of a chat', () => {
  const talk: readonly Message[] = [
    { role: 'user', content: 'hello' },
    { role: 'assistant', content: 'yes' },
    { role: 'user', content: 'no' },
    { role: 'assistant', content: 'world' },
  ];

  it('train where the assistant speaks, ends of turns included, and nothing is added', () => {
    const turn = (role: string, ...content: string[]): string[] => [
      '<|im_start|>',
      role,
      'Ċ',
      ...content,
      '<|im_end|>',
      'Ċ',
    ];
    const expected = [
      ...turn('user', 'hello'),
      ...turn('assistant', 'yes'),
      ...turn('user', 'no'),
      ...turn('assistant', 'wor', 'l', 'd').slice(0, 3),
    ];
    const sequence = one(chat(...talk));
    expect([...sequence.ids.slice(0, expected.length)]).toEqual(ids(...expected));
    const trained = [...sequence.ids].filter((_, i) => sequence.trains[i] === 1);
    expect(tokenizer.decode(trained)).toBe('yes<|im_end|>\nworld<|im_end|>\n');
    expect(sequence.trains.indexOf(1)).toBe(9);
  });

  it('keep the one BOS that the template writes', () => {
    const opening = tinyTokenizer({ bos: true, chatTemplate: llama3, splitter: 'llama3' });
    const { ids: tokens, trains } = one(chat(...talk), long, opening);
    expect([...tokens].filter((id) => id === idOf('<|begin|>')).length).toBe(1);
    expect(tokens[0]).toBe(idOf('<|begin|>'));
    const trained = [...tokens].filter((_, i) => trains[i] === 1);
    expect(opening.decode(trained)).toBe('yes<|eot_id|>world<|eot_id|>');
    expect(tokens.at(-1)).toBe(idOf('<|eot_id|>'));
  });

  it('are those of the rendering', () => {
    const rendered = '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n';
    expect([...one(chat(...talk.slice(0, 2))).ids]).toEqual(tokenizer.encode(rendered, { special: false }));
  });
});

describe('the report', () => {
  const samples = fc.array(
    fc.tuple(text, text).map(([a, b]) => asked(a, `${b}.`)),
    { maxLength: 8 },
  );

  it('adds up, whatever the length', () => {
    fc.assert(
      fc.property(
        samples,
        fc.integer({ min: 2, max: 30 }),
        fc.constantFrom('completion', 'all'),
        (all, maxLength, lossOn) => {
          const { sequences, report } = orThrow(sequencesFromSamples(all, tokenizer, { maxLength, lossOn }));
          const full = orThrow(sequencesFromSamples(all, tokenizer, { ...long, lossOn })).sequences;
          const cut = full.map(({ ids: tokens, trains }) => ({
            ids: tokens.slice(0, maxLength),
            trains: trains.slice(0, maxLength),
          }));
          expect(sequences).toEqual(cut.filter(({ trains }) => trains.includes(1)));
          expect(report).toMatchObject({
            samples: all.length,
            truncated: full.filter(({ ids: tokens }) => tokens.length > maxLength).length,
            droppedEmpty: all.length - sequences.length,
            tokens: sequences.flatMap(({ ids: tokens }) => [...tokens]).length,
            trainedTokens: sequences.flatMap(({ trains }) => [...trains]).filter((t) => t === 1).length,
          });
        },
      ),
      { numRuns: 100 },
    );
  });

  it('counts what was cut and what was dropped, by hand', () => {
    const all = [
      asked('no no no no', ' yes'),
      asked('no', ' yes yes yes'),
      asked('no', ' yes'),
      chat({ role: 'user', content: 'no' }),
    ];
    const { sequences, report } = orThrow(sequencesFromSamples(all, tokenizer, { ...long, maxLength: 3 }));
    expect(sequences.map(listed)).toEqual([
      [ids('no', 'Ġyes', 'Ġyes'), [0, 1, 1]],
      [ids('no', 'Ġyes', '<|end|>'), [0, 1, 1]],
    ]);
    expect(report).toEqual({ samples: 4, truncated: 3, droppedEmpty: 2, straddled: 0, tokens: 6, trainedTokens: 4 });
  });
});

describe('sequencesFromSamples rejects', () => {
  const withoutEos = { ...tokenizer, eos: null };
  const withoutTemplate = { ...tokenizer, chatTemplate: null };
  const refusing = tinyTokenizer({ chatTemplate: `{{ raise_exception('no') }}${chatml}` });
  const hello = chat({ role: 'user', content: 'hello' }, { role: 'assistant', content: 'yes' });

  it.each([1, 0, -3, 2.5, Number.NaN, Number.POSITIVE_INFINITY])('a length of %d', (maxLength) => {
    expect(sequencesFromSamples([], tokenizer, { ...long, maxLength })).toMatchObject({
      left: { tag: 'ConfigError', where: 'maxLength' },
    });
  });

  it('a loss on something else', () => {
    const config = { ...long, lossOn: 'prompt' as 'all' };
    expect(sequencesFromSamples([], tokenizer, config)).toMatchObject({
      left: { tag: 'ConfigError', where: 'lossOn' },
    });
  });

  it('what the tokenizer lacks, where a sample needs it, by the name of the sample', () => {
    expect(sequencesFromSamples([hello, asked('a', 'b')], withoutEos, long)).toMatchObject({
      left: { tag: 'ConfigError', where: 'f:1: tokenizer' },
    });
    expect(sequencesFromSamples([asked('a', 'b'), hello], withoutTemplate, long)).toMatchObject({
      left: { tag: 'ConfigError', where: 'f:2: chat template' },
    });
    expect(orThrow(sequencesFromSamples([hello], withoutEos, long)).sequences.length).toBe(1);
    expect(orThrow(sequencesFromSamples([asked('a', 'b')], withoutTemplate, long)).sequences.length).toBe(1);
  });

  it('what the template refuses', () => {
    expect(sequencesFromSamples([hello], refusing, long)).toMatchObject({
      left: { tag: 'DataError', came: 'no', where: 'f:2: chat template' },
    });
  });
});

/** `paca eval`: its figures against those of whole forward passes in f64, with an adapter and without; what is refused. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import type { Weights } from '../../src/models/architecture.ts';
import { showError } from '../../src/spec/errors.ts';
import { tinyBase, writeFolder } from '../support/tiny-base.ts';
import { idOf, tinyTokenizer } from '../support/tiny-tokenizer.ts';
import { call, temporaryFolder } from './program.ts';
import { logitsOf, logLikelihoods, loraFiles, pacaFiles, withLora, withPaca } from './tiny-speaker.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = tinyBase(at('base'));
const tokenizer = tinyTokenizer();

const share = v.pipe(v.number(), v.minValue(0), v.maxValue(1));
const schema = v.strictObject({
  model: v.literal(base),
  adapter: v.nullable(v.string()),
  data: v.string(),
  reference: v.nullable(v.string()),
  loss: v.pipe(v.number(), v.finite()),
  perplexity: v.pipe(v.number(), v.minValue(1)),
  divergence: v.nullable(v.number()),
  metrics: v.record(v.string(), share),
  categories: v.record(v.string(), share),
  samples: v.number(),
  tokens: v.number(),
});

const evaluated = async (...flags: readonly string[]): Promise<v.InferOutput<typeof schema>> => {
  const { output, error } = await call(['eval', '--base', base, ...flags, '--json']);
  expect(error).toBeNull();
  return v.parse(schema, JSON.parse(output));
};

const file = (name: string, ...records: readonly unknown[]): string => {
  writeFileSync(at(name), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return at(name);
};

const encode = (text: string): readonly number[] => tokenizer.encode(text, { special: false });
const sum = (values: readonly number[]): number => values.reduce((total, x) => total + x, 0);

type Pair = readonly [prompt: string, answer: string];

/** Mean of −log p over the answers' tokens, the end of the text among them. */
const lossOf = async (pairs: readonly Pair[], of?: Weights): Promise<number> => {
  const all: number[] = [];
  for (const [prompt, answer] of pairs) {
    all.push(...(await logLikelihoods(encode(prompt), [...encode(answer), idOf('<|end|>')], of)));
  }
  return -sum(all) / all.length;
};

/** The likeliest answer by the sum over its own tokens. */
const likeliest = async (prompt: string, choices: readonly string[]): Promise<string> => {
  const scores: number[] = [];
  for (const choice of choices) scores.push(sum(await logLikelihoods(encode(prompt), encode(choice))));
  return choices[scores.indexOf(Math.max(...scores))]!;
};

const pairs: readonly Pair[] = [
  ['is it?', ' yes'],
  ['and you?', ' no'],
  ['the world in a', ' hello world'],
  ['one', ' and on and on'],
  ['who?', ' no'],
];
const records = pairs.map(([prompt, completion]) => ({ prompt, completion }));
const data = file('pairs.jsonl', ...records);

describe('paca eval', () => {
  it('tells loss and perplexity of the answers', async () => {
    const report = await evaluated('--data', data);
    expect(report).toMatchObject({ adapter: null, data, samples: 5, metrics: { exactMatch: 0 }, categories: {} });
    expect(report.loss).toBeCloseTo(await lossOf(pairs), 4);
    expect(report.perplexity).toBeCloseTo(Math.exp(report.loss), 6);
    expect(report.tokens).toBe(sum(pairs.map(([, answer]) => encode(answer).length + 1)));
  });

  it('does not depend on how many rows are a batch', async () => {
    const whole = await evaluated('--data', data);
    for (const rows of ['1', '2', '100']) {
      expect((await evaluated('--data', data, '--batch-size', rows)).loss).toBeCloseTo(whole.loss, 5);
    }
  });

  it('has the same bits on the reference and on WebAssembly', async () => {
    const [reference, wasm] = [
      await evaluated('--data', data, '--backend', 'reference'),
      await evaluated('--data', data, '--backend', 'wasm', '--threads', '2'),
    ];
    expect(wasm).toEqual(reference);
  });

  it.each([
    ['PaCA', pacaFiles(), withPaca],
    ['LoRA', loraFiles(), withLora],
    ['a whole model', new Map([['model.safetensors', encodeSafetensors(withPaca)]]), withPaca],
  ])('with %s is that of the merged weights', async (name, files, merged) => {
    const adapter = writeFolder(at(name), files);
    const report = await evaluated('--data', data, '--adapter', adapter);
    expect(report.adapter).toBe(adapter);
    expect(report.loss).toBeCloseTo(await lossOf(pairs, merged), 3);
    expect(Math.abs(report.loss - (await lossOf(pairs)))).toBeGreaterThan(0.01);
  });

  /** Mean over the answers' tokens of KL(base ‖ what its weights became). */
  const divergenceTo = async (of: Weights): Promise<number> => {
    const all: number[] = [];
    for (const [prompt, answer] of pairs) {
      const [before, last] = [encode(prompt), [...encode(answer), idOf('<|end|>')]];
      const [p, q] = [await logitsOf([...before, ...last]), await logitsOf([...before, ...last], of)];
      for (let i = before.length - 1; i < before.length + last.length - 1; i++) {
        const [own, other] = [p[i]!, q[i]!].map((row) => {
          const total = Math.log(sum(row.map(Math.exp)));
          return row.map((logit) => logit - total);
        });
        all.push(sum(own!.map((log, j) => Math.exp(log) * (log - other![j]!))));
      }
    }
    return sum(all) / all.length;
  };

  it('tells how far the model is from a reference', async () => {
    const adapter = writeFolder(at('adapter'), pacaFiles());
    const flags = ['--data', data, '--reference', base];
    const report = await evaluated(...flags, '--adapter', adapter);
    expect(report.reference).toBe(base);
    expect(report.divergence).toBeCloseTo(await divergenceTo(withPaca), 7);
    expect(report.divergence).toBeGreaterThan(0.001);
    expect(Math.abs((await evaluated(...flags)).divergence!)).toBeLessThan(1e-12);
    expect((await evaluated('--data', data)).divergence).toBeNull();
  });

  it('shows in words what it found', async () => {
    const path = file('words.jsonl', { prompt: 'a', completion: ' no', category: 'x' });
    const { output } = await call(['eval', '--base', base, '--data', path, '--choices', "[' no', ' yes']"]);
    expect(output).toMatch(/^1 record, loss \d\.\d{4} over 2 tokens of answers, perplexity \d+/);
    expect(output).toMatch(/likeliest choice right: (0|100)\.0%\n[\s\S]*category[\s\S]*x/);
  });

  it('reads chats, and plain text, of which nothing is asked', async () => {
    const messages = [
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'no' },
    ];
    const chat = await evaluated('--data', file('chat.jsonl', { messages }));
    const prompt = '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n';
    const answer = encode('no<|im_end|>\n');
    expect(chat.loss).toBeCloseTo(-sum(await logLikelihoods(encode(prompt), answer)) / answer.length, 4);
    const plain = await evaluated('--data', file('plain.jsonl', { text: 'hello world' }));
    const ids = encode('hello world');
    const after = await logLikelihoods(ids.slice(0, 1), [...ids.slice(1), idOf('<|end|>')]);
    expect(plain).toMatchObject({ metrics: {}, categories: {} });
    expect(plain.loss).toBeCloseTo(-sum(after) / after.length, 4);
  });

  it('says what was cut', async () => {
    const path = file('long.jsonl', { prompt: 'a', completion: ' no' }, { prompt: 'x'.repeat(30), completion: ' no' });
    const { told, output } = await call(['eval', '--base', base, '--data', path, '--max-length', '20', '--json']);
    expect(told).toBe('paca: 1 of 2 records cut to the longest length, 1 left without an answer\n');
    expect(JSON.parse(output)).toMatchObject({ samples: 2, tokens: 2 });
  });
});

describe('right answers', () => {
  it('by choices are those that the model finds likeliest', async () => {
    const choices = [' yes', ' no', ' hello world', ' and on and on'];
    const chosen = await Promise.all(pairs.map(([prompt]) => likeliest(prompt, choices)));
    const right = pairs.filter(([, answer], i) => chosen[i] === answer).length;
    for (const rows of ['1', '3', '8']) {
      const report = await evaluated('--data', data, '--choices', JSON.stringify(choices), '--batch-size', rows);
      expect(report.metrics).toEqual({ accuracy: right / pairs.length });
    }
    const all = file('chosen.jsonl', ...pairs.map(([prompt], i) => ({ prompt, completion: chosen[i] })));
    expect((await evaluated('--data', all, '--choices', JSON.stringify(choices))).metrics).toEqual({ accuracy: 1 });
  });

  it('by each record’s own choices, the answer an index or a text, in categories', async () => {
    const asked = [
      { prompt: 'is it?', choices: [' yes', ' no', ' hello'], category: 'a' },
      { prompt: 'who?', choices: [' on', ' and'], category: 'a' },
      { prompt: 'the world', choices: [' yes', ' the', ' no', ' world'], category: 'a' },
      { prompt: 'hello', choices: [' no', ' world'], category: 'b' },
    ];
    const chosen = await Promise.all(asked.map(({ prompt, choices }) => likeliest(prompt, choices)));
    const others = asked.map(({ choices }, i) => choices.find((choice) => choice !== chosen[i]));
    const mixed = asked.map((record, i) => ({
      ...record,
      answer: [chosen[0], record.choices.indexOf(chosen[1]!), others[2], record.choices.indexOf(others[3]!)][i],
    }));
    const report = await evaluated('--data', file('own.jsonl', ...mixed));
    expect(report.metrics).toEqual({ accuracy: 0.5, categoryAverage: (2 / 3 + 0) / 2 });
    expect(report.categories).toEqual({ a: 2 / 3, b: 0 });
    const answers = [chosen[0]!, chosen[1]!, others[2]!, others[3]!];
    expect(report.loss).toBeCloseTo(await lossOf(asked.map(({ prompt }, i): Pair => [prompt, answers[i]!])), 4);
  });

  it('take a completion among a record’s choices for the right one', async () => {
    const choices = [' yes', ' no'];
    const completion = await likeliest('is it?', choices);
    const report = await evaluated('--data', file('completion.jsonl', { prompt: 'is it?', completion, choices }));
    expect(report.metrics).toEqual({ accuracy: 1 });
  });

  it('without choices are the texts that the model generates', async () => {
    const { output } = await call(['generate', '--base', base, '--prompt', 'hello', '--max-tokens', '32', '--json']);
    const { text } = JSON.parse(output);
    const path = file(
      'exact.jsonl',
      { prompt: 'hello', completion: text, category: 'same' },
      { prompt: 'hello', completion: `${text}!`, category: 'other' },
    );
    const report = await evaluated('--data', path);
    expect(report.metrics).toEqual({ exactMatch: 0.5, categoryAverage: 0.5 });
    expect(report.categories).toEqual({ same: 1, other: 0 });
  });
});

describe('paca eval refuses', () => {
  const asked = { prompt: 'a', choices: [' yes', ' no'] };
  const of = (name: string, ...given: readonly unknown[]): readonly string[] => {
    return ['--base', base, '--data', file(name, ...given)];
  };
  const given = ['--base', base, '--data', data];
  const long = 'x'.repeat(63);
  it.each<[string, readonly string[], string]>([
    ['no base', ['--data', data], 'expected "base"'],
    ['no data', ['--base', base], 'expected "data"'],
    ['data that is no file', ['--base', base, '--data', at('none.jsonl')], 'none.jsonl'],
    ['an empty file', of('empty.jsonl'), 'at least one record'],
    ['a word beside the flags', [...given, 'there'], 'expected flags alone, got there'],
    ['a format that is none', [...given, '--format', 'csv'], '"csv"'],
    ['the wrong format', [...given, '--format', 'alpaca'], 'pairs.jsonl:1'],
    ['one choice', [...given, '--choices', '[yes]'], 'choices'],
    ['choices that are no texts', [...given, '--choices', '[1, 2]'], 'choices'],
    [
      'an answer that is none of the choices',
      [...given, '--choices', '[a, b]'],
      "expected one of 'a', 'b', got ' yes'",
    ],
    ['no rows', [...given, '--batch-size', '0'], 'batchSize'],
    ['more tokens than positions', [...given, '--max-length', '65'], 'a maxLength of at most 64 tokens, got 65'],
    ['an adapter that is no folder', [...given, '--adapter', at('nobody')], 'nobody'],
    ['an index beyond the choices', of('a.jsonl', { ...asked, answer: 2 }), 'or 0 … 1, got 2'],
    ['an answer beside the choices', of('b.jsonl', { ...asked, answer: ' maybe' }), 'got " maybe"'],
    [
      'choices that are one text',
      of('c.jsonl', { ...asked, choices: 'yes', answer: 0 }),
      'two or more different texts',
    ],
    [
      'choices that are alike',
      of('d.jsonl', { ...asked, choices: ['a', 'a'], answer: 0 }),
      'different texts in choices',
    ],
    [
      'choices in some records',
      of('e.jsonl', { ...asked, answer: 0 }, records[0]),
      'choices in every record, or in none',
    ],
    ['choices without an answer', of('f.jsonl', asked), 'f.jsonl:1'],
    ['choices that do not fit', of('g.jsonl', { ...asked, prompt: long, answer: 0 }), 'at most 64 tokens'],
    ['choices for plain text', [...of('h.jsonl', { text: 'a b' }), '--choices', '[a, b]'], 'a prompt and an answer'],
    [
      'answers that are all cut',
      [...of('i.jsonl', { prompt: long, completion: 'a' }), '--max-length', '9'],
      '9 tokens',
    ],
    ['a reference that is no folder', [...given, '--reference', at('nothing')], 'nothing'],
    [
      'a reference of other tokens',
      [...given, '--reference', tinyBase(at('other-tokens'), { bos: true })],
      `a reference with the tokens of ${base}, got other tokens`,
    ],
    ['a backend that is none', [...given, '--backend', 'abacus'], 'abacus'],
  ])('%s', async (_, flags, message) => {
    const { error, output } = await call(['eval', ...flags]);
    expect(output).toBe('');
    expect(showError(error!)).toContain(message);
  });
});

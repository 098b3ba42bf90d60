/**
 * Records: every shape is read, told from the others, and what is wrong is named by its line.
 */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import {
  alpacaPrompt,
  type RecordFormat,
  recordFormats,
  type Sample,
  sampleFromLine,
  samplesFromJsonl,
} from '../../src/data/records.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';

const filled = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((text) => text.trim() !== '');
const maybeEmpty = fc.oneof(filled, fc.constant(''));
const aside = fc.record({ category: fc.string(), choices: fc.array(fc.string()), answer: fc.jsonValue() });

interface Case {
  readonly format: RecordFormat;
  readonly fields: Record<string, unknown>;
  readonly content: unknown;
}

const plainCase = (
  format: RecordFormat,
  fields: Record<string, unknown>,
  prompt: string | null,
  answer: string,
): Case => ({
  format,
  fields,
  content: {
    kind: 'plain',
    segments: [...(prompt === null ? [] : [{ text: prompt, trains: false }]), { text: answer, trains: true }],
  },
});

const speaker = { system: 'system', user: 'human', assistant: 'gpt' } as const;
const turns = fc.array(fc.record({ role: fc.constantFrom('system', 'user', 'assistant'), content: filled }), {
  minLength: 1,
  maxLength: 5,
});

/** Records of every format, with the sample that they must give. */
const cases: fc.Arbitrary<Case> = fc.oneof(
  filled.map((text) => plainCase('text', { text }, null, text)),
  fc
    .tuple(maybeEmpty, filled)
    .map(([prompt, completion]) => plainCase('completion', { prompt, completion }, prompt, completion)),
  fc
    .tuple(filled, fc.option(maybeEmpty), filled)
    .map(([instruction, input, output]) =>
      plainCase('alpaca', { instruction, input, output }, alpacaPrompt(instruction, input ?? ''), output),
    ),
  turns.map((messages) => ({ format: 'messages', fields: { messages }, content: { kind: 'chat', messages } }) as const),
  turns.map(
    (messages) =>
      ({
        format: 'sharegpt',
        fields: { conversations: messages.map(({ role, content }) => ({ from: speaker[role], value: content })) },
        content: { kind: 'chat', messages },
      }) as const,
  ),
);

const oneFormat = fc.constantFrom(...recordFormats).chain((format) =>
  fc.array(
    cases.filter((c) => c.format === format),
    { minLength: 1, maxLength: 6 },
  ),
);

const lineOf = (value: unknown): string => JSON.stringify(value);
const contentOf = ({ where: _, aside: __, ...content }: Sample): unknown => content;

describe('sampleFromLine', () => {
  it('reads every format, by name and by itself, and keeps the other fields', () => {
    fc.assert(
      fc.property(cases, aside, (c, others) => {
        const line = lineOf({ ...others, ...c.fields });
        const expected = E.right({ ...(c.content as object), aside: JSON.parse(lineOf(others)), where: 'a:7' });
        expect(sampleFromLine(line, c.format, 'a:7')).toEqual(expected);
        expect(sampleFromLine(line, 'auto', 'a:7')).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('refuses a record under the name of another format', () => {
    fc.assert(
      fc.property(cases, fc.constantFrom(...recordFormats), (c, format) => {
        fc.pre(format !== c.format);
        expect(sampleFromLine(lineOf(c.fields), format, 'a:1')).toMatchObject({
          left: { tag: 'DataError', where: 'a:1' },
        });
      }),
    );
  });

  it('reads a record of two formats by name alone', () => {
    const line = lineOf({ instruction: 'Add.', output: '2', text: 'all of it' });
    expect(sampleFromLine(line, 'auto', 'a:1')).toMatchObject({ left: { came: 'those of text and alpaca' } });
    const sample = orThrow(sampleFromLine(line, 'alpaca', 'a:1'));
    expect(sample.aside).toEqual({ text: 'all of it' });
  });

  it('keeps a field named __proto__ a field', () => {
    const sample = orThrow(sampleFromLine('{"text":"a","__proto__":{"x":1}}', 'auto', 'a:1'));
    expect(Object.entries(sample.aside)).toEqual([['__proto__', { x: 1 }]]);
    expect(Object.getPrototypeOf(sample.aside)).toBe(Object.prototype);
  });

  it('reads an empty system prompt, and no other empty turn', () => {
    const chat = (role: string): string => lineOf({ messages: [{ role, content: '' }] });
    expect(sampleFromLine(chat('system'), 'auto', 'a:1')).toMatchObject({ right: { messages: [{ content: '' }] } });
    for (const role of ['user', 'assistant', 'tool', 'developer'])
      expect(sampleFromLine(chat(role), 'auto', 'a:1')).toMatchObject({ left: { tag: 'DataError' } });
  });

  it('writes the prompt of alpaca', () => {
    const sample = orThrow(sampleFromLine('{"instruction":"Add.","input":"1 1","output":"2"}', 'auto', 'a:1'));
    const prompt =
      'Below is an instruction that describes a task, paired with an input that provides further context. Write a response ' +
      'that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 1\n\n### Response:\n';
    expect(contentOf(sample)).toEqual({
      kind: 'plain',
      segments: [
        { text: prompt, trains: false },
        { text: '2', trains: true },
      ],
    });
    expect(alpacaPrompt('Add.', '')).toBe(
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' +
        '### Instruction:\nAdd.\n\n### Response:\n',
    );
  });

  it.each([
    ['', 'FileError', 'JSON'],
    ['{', 'FileError', 'JSON'],
    ["{'text':'a'}", 'FileError', 'JSON'],
    ['{"text":"a"} {"text":"b"}', 'FileError', 'JSON'],
    ['{"text":NaN}', 'FileError', 'JSON'],
    ['{"text":"a","text":"b"}', 'FileError', 'each key once'],
    [`{"text":"a","x":${'['.repeat(99)}${']'.repeat(99)}}`, 'FileError', 'each key once'],
    ['[]', 'DataError', 'a JSON object'],
    ['"text"', 'DataError', 'a JSON object'],
    ['null', 'DataError', 'a JSON object'],
    ['{}', 'DataError', 'the fields of one format'],
    ['{"Text":"a"}', 'DataError', 'the fields of one format'],
    ['{"prompt":"a","response":"b"}', 'DataError', 'the fields of one format'],
    ['{"text":"a","messages":[]}', 'DataError', 'a format by name'],
    ['{"text":1}', 'DataError', 'a string in text'],
    ['{"text":null}', 'DataError', 'a string in text'],
    ['{"text":""}', 'DataError', 'text in text'],
    ['{"text":" \\n\\t"}', 'DataError', 'text in text'],
    ['{"text":"\\ud800"}', 'DataError', 'Unicode text in text'],
    ['{"prompt":["a"],"completion":"b"}', 'DataError', 'a string in prompt'],
    ['{"prompt":"a","completion":""}', 'DataError', 'text in completion'],
    ['{"instruction":"","output":"b"}', 'DataError', 'text in instruction'],
    ['{"instruction":"a","input":1,"output":"b"}', 'DataError', 'a string in input'],
    ['{"instruction":"a","output":" "}', 'DataError', 'text in output'],
    ['{"messages":[]}', 'DataError', 'a list of turns in messages'],
    ['{"messages":"hello"}', 'DataError', 'a list of turns in messages'],
    ['{"messages":["hello"]}', 'DataError', 'an object in messages[0]'],
    ['{"messages":[{"content":"a"}]}', 'DataError', 'user, assistant, tool in messages[0].role'],
    ['{"messages":[{"role":"asistant","content":"a"}]}', 'DataError', 'in messages[0].role'],
    ['{"messages":[{"role":"toString","content":"a"}]}', 'DataError', 'in messages[0].role'],
    [
      '{"messages":[{"role":"user","content":"a"},{"role":"assistant"}]}',
      'DataError',
      'a string in messages[1].content',
    ],
    ['{"messages":[{"role":"user","content":[{"text":"a"}]}]}', 'DataError', 'a string in messages[0].content'],
    ['{"messages":[{"role":"assistant","content":"a","tool_calls":[]}]}', 'DataError', 'no tool calls'],
    ['{"conversations":[{"from":"user","value":"a"}]}', 'DataError', 'system, human, gpt in conversations[0].from'],
    ['{"conversations":[{"from":"gpt","value":""}]}', 'DataError', 'text in conversations[0].value'],
  ])('rejects %s', (line, tag, expected) => {
    const result = sampleFromLine(line, 'auto', 'data.jsonl:17');
    expect(result).toMatchObject({
      left: { tag, where: 'data.jsonl:17', expected: expect.stringContaining(expected) },
    });
  });
});

describe('samplesFromJsonl', () => {
  it('numbers the lines, whatever ends them', () => {
    fc.assert(
      fc.property(
        oneFormat,
        fc.constantFrom('\n', '\r\n'),
        fc.constantFrom('', '\uFEFF'),
        fc.nat(3),
        (all, end, bom, blank) => {
          const text = bom + all.map((c) => lineOf(c.fields)).join(end) + end.repeat(blank);
          const samples = orThrow(samplesFromJsonl(text, 'auto', 'f'));
          expect(samples.map(({ where }) => where)).toEqual(all.map((_, i) => `f:${i + 1}`));
          expect(samples.map(contentOf)).toEqual(all.map((c) => c.content));
          expect(samplesFromJsonl(text, all[0]?.format ?? 'auto', 'f')).toEqual(E.right(samples));
        },
      ),
    );
  });

  it('names the first line that is wrong, counted from 1', () => {
    fc.assert(
      fc.property(oneFormat, fc.nat(), fc.constantFrom('{"text":""', '{"text":3}', '', '7'), (all, at, bad) => {
        const lines = all.map((c) => lineOf(c.fields));
        const i = at % (lines.length + 1);
        const text = [...lines.slice(0, i), bad, ...lines.slice(i), '{"also":"wrong"}'].join('\n');
        expect(samplesFromJsonl(text, 'auto', 'f')).toMatchObject({ left: { where: `f:${i + 1}` } });
      }),
    );
  });

  it('refuses a file of two formats, at the line that changes', () => {
    const text = '{"text":"a"}\n{"text":"b","n":1}\n{"prompt":"a","completion":"b"}\n{"text":""}';
    expect(samplesFromJsonl(text, 'auto', 'f')).toMatchObject({
      left: { tag: 'DataError', expected: 'the format of line 1, text', came: 'completion', where: 'f:3' },
    });
  });

  it('refuses a blank line between records, and a file without records', () => {
    expect(samplesFromJsonl('{"text":"a"}\n\n{"text":"b"}\n', 'text', 'f')).toMatchObject({ left: { where: 'f:2' } });
    for (const empty of ['', '\uFEFF', '\n \r\n'])
      expect(samplesFromJsonl(empty, 'auto', 'f')).toMatchObject({ left: { tag: 'DataError', where: 'f' } });
  });
});

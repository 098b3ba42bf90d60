/**
 * Chats: what the template writes, and which parts of it are the assistant's.
 */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { type ChatOptions, chatRenderer, chatSegments } from '../../src/data/chat.ts';
import type { Message, Segment } from '../../src/data/records.ts';
import { orThrow } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';
import { chatml, llama3, tinyTokenizer } from '../support/tiny-tokenizer.ts';

const rendererOf = (chatTemplate: string, options?: ChatOptions) =>
  orThrow(chatRenderer(tinyTokenizer({ chatTemplate }), options));

const talk: readonly Message[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'hello' },
  { role: 'assistant', content: 'yes' },
  { role: 'user', content: 'world' },
  { role: 'assistant', content: 'no' },
];

const chats: fc.Arbitrary<readonly Message[]> = fc.array(
  fc.record({
    role: fc.constantFrom('system', 'user', 'assistant'),
    content: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }),
  }),
  { minLength: 1, maxLength: 6 },
);

const asked = { addGenerationPrompt: true };
const whole = { addGenerationPrompt: false };
const joined = (segments: readonly Segment[]): string => segments.map(({ text }) => text).join('');

describe('chatRenderer', () => {
  it('writes ChatML', () => {
    const render = rendererOf(chatml);
    const text = '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n';
    expect(render(talk.slice(1, 2), asked)).toEqual(E.right(text));
    expect(render(talk.slice(1, 3), whole)).toEqual(E.right(`${text}yes<|im_end|>\n`));
  });

  it("writes LLaMA 3's kind, with its BOS and a day that is always the same", () => {
    const text = (day: string): string =>
      `<|begin|><|start|>system<|stop|>\n\nToday: ${day}\nBe brief.<|eot_id|><|start|>user<|stop|>\n\nhello<|eot_id|>` +
      '<|start|>assistant<|stop|>\n\n';
    const first = talk.slice(0, 2);
    expect(rendererOf(llama3)(first, asked)).toEqual(E.right(text('26 Jul 2024')));
    expect(rendererOf(llama3, { date: '2025-12-01' })(first, asked)).toEqual(E.right(text('01 Dec 2025')));
    const variables = { date_string: 'Monday' };
    expect(rendererOf(llama3, { variables })(first, asked)).toEqual(E.right(text('Monday')));
  });

  it.each([
    ["{{ range(3) | join(',') }}", '0,1,2'],
    ["{{ range(1, 8, 3) | join(',') }}", '1,4,7'],
    ["{% if true and not false and none is none %}{{ 'yes' }}{% endif %}", 'yes'],
    ["{{ strftime_now('%Y-%m-%d %B %y %H:%M:%S %%') }}", '2024-07-26 July 24 00:00:00 %'],
    ['{{ messages | length }}{{ add_generation_prompt }}', '5true'],
    ['{{ eos_token }}', '<|end|>'],
  ])('gives templates what they call: %s', (template, expected) => {
    expect(rendererOf(template)(talk, asked)).toEqual(E.right(expected));
  });

  it('is an error without a template, never a guess', () => {
    const bare = { ...tinyTokenizer(), chatTemplate: null };
    expect(chatRenderer(bare)).toMatchObject({ left: { tag: 'ConfigError', where: 'chat template', came: 'none' } });
  });

  it.each(['{% for', '{{ "', '{% if x %}', '{% endfor %}'])(
    'refuses a template that is no Jinja: %s',
    (chatTemplate) => {
      expect(chatRenderer(tinyTokenizer({ chatTemplate }))).toMatchObject({
        left: { tag: 'DataError', expected: 'a template in Jinja', where: 'chat template' },
      });
    },
  );

  it.each(['today', '2024-7-26', '2024-13-01', '2024-01-32', ''])('refuses the day %s', (date) => {
    expect(chatRenderer(tinyTokenizer(), { date })).toMatchObject({ left: { tag: 'ConfigError', where: 'date' } });
  });

  it.each([
    ["{{ raise_exception('roles must alternate') }}", 'roles must alternate'],
    ["{{ strftime_now('%Q') }}", 'strftime_now does not know %Q'],
    ['{{ unheard_of() }}', 'not a function'],
  ])('passes on what a template refuses: %s', (template, came) => {
    expect(rendererOf(template)(talk, asked)).toMatchObject({
      left: { tag: 'DataError', came: expect.stringContaining(came), where: 'chat template' },
    });
  });
});

describe('chatSegments', () => {
  it('are the answers with the end of their turn, and what is between', () => {
    expect(chatSegments(rendererOf(chatml), talk.slice(1))).toEqual(
      E.right([
        { text: '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n', trains: false },
        { text: 'yes<|im_end|>\n', trains: true },
        { text: '<|im_start|>user\nworld<|im_end|>\n<|im_start|>assistant\n', trains: false },
        { text: 'no<|im_end|>\n', trains: true },
      ]),
    );
  });

  it('joined are the rendering; before each answer stands what the model is asked with', () => {
    fc.assert(
      fc.property(chats, fc.constantFrom(chatml, llama3), (messages, template) => {
        const render = rendererOf(template);
        const segments = orThrow(chatSegments(render, messages));
        expect(joined(segments)).toBe(orThrow(render(messages, whole)));
        const starts = segments.flatMap(({ trains }, i) => (trains ? [joined(segments.slice(0, i))] : []));
        const prompts = messages.flatMap(({ role }, i) =>
          role === 'assistant' ? [orThrow(render(messages.slice(0, i), asked))] : [],
        );
        expect(starts).toEqual(prompts);
      }),
      { numRuns: 100 },
    );
  });

  it('refuse a template that rewrites earlier turns', () => {
    const lastOnly =
      "{% for message in messages %}{{ message['role'] + ':' }}" +
      "{% if loop.last or message['role'] == 'user' %}{{ message['content'] }}{% endif %};{% endfor %}" +
      "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}";
    expect(E.isRight(chatSegments(rendererOf(lastOnly), talk.slice(1, 3)))).toBe(true);
    expect(chatSegments(rendererOf(lastOnly), talk.slice(1))).toMatchObject({
      left: { tag: 'DataError', expected: expect.stringContaining('leaves what it wrote'), where: 'chat template' },
    });
  });

  it('refuse a template whose generation prompt is not how an answer begins', () => {
    const other =
      "{% for message in messages %}{{ message['content'] }};{% endfor %}{% if add_generation_prompt %}A:{% endif %}";
    expect(chatSegments(rendererOf(other), talk)).toMatchObject({
      left: { came: 'other text before the end of message 2' },
    });
  });

  it('train nothing where nobody answers', () => {
    const segments = orThrow(chatSegments(rendererOf(chatml), talk.slice(0, 2)));
    expect(segments.map(({ trains }) => trains)).toEqual([false]);
  });
});

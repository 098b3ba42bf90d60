/** `paca generate`: what is made, how it is given out, what an adapter changes, what is refused. */
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { openBackend } from '../../src/cli/backend.ts';
import { loadAdapted } from '../../src/cli/text/adapted.ts';
import { openFolder } from '../../src/cli/text/base.ts';
import { settled, speak } from '../../src/cli/text/speech.ts';
import { rngFromSeed } from '../../src/core/rng.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { greedy } from '../../src/models/generate.ts';
import { orThrow, showError } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';
import { tinyBase, writeFolder } from '../support/tiny-base.ts';
import { idOf, tinyTokenizer } from '../support/tiny-tokenizer.ts';
import { call, start, temporaryFolder } from './program.ts';
import { logitsOf, loraFiles, pacaFiles, withPaca } from './tiny-speaker.ts';

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const base = tinyBase(at('base'));
const paca = writeFolder(at('paca'), pacaFiles());
const lora = writeFolder(at('lora'), loraFiles());
const tokenizer = tinyTokenizer();

const schema = v.strictObject({
  prompt: v.string(),
  text: v.string(),
  tokens: v.pipe(v.number(), v.integer()),
  tokensPerSecond: v.pipe(v.number(), v.gtValue(0)),
  stopped: v.picklist(['eos', 'stop', 'length']),
});

const generated = async (...flags: readonly string[]): Promise<v.InferOutput<typeof schema>> => {
  const given = flags.includes('--base') ? flags : ['--base', base, ...flags];
  const { output, error } = await call(['generate', '--max-tokens', '12', ...given, '--json']);
  expect(error).toBeNull();
  return v.parse(schema, JSON.parse(output));
};

const file = (name: string, ...records: readonly unknown[]): string => {
  writeFileSync(at(name), records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return at(name);
};

/** The likeliest tokens, one after the other, each from a forward pass over all before it. */
const likeliest = async (prompt: readonly number[], count: number): Promise<readonly number[]> => {
  const made: number[] = [];
  while (made.length < count) {
    const logits = (await logitsOf([...prompt, ...made])).at(-1)!;
    made.push(logits.indexOf(Math.max(...logits)));
  }
  return made;
};

describe('paca generate', () => {
  it('takes the likeliest token each time', async () => {
    const { prompt, text, tokens, stopped } = await generated('--prompt', 'hello');
    const expected = await likeliest(tokenizer.encode('hello', { special: true }), 12);
    expect({ prompt, text, tokens, stopped }).toEqual({
      ...{ prompt: 'hello', tokens: 12, stopped: 'length' },
      text: tokenizer.decode(expected),
    });
  });

  it('prints the same text without --json, as a process and on every backend', async () => {
    const { text } = await generated('--prompt', 'the world');
    const flags = ['generate', '--base', base, '--prompt', 'the world', '--max-tokens', '12'];
    for (const backend of ['reference', 'wasm']) {
      expect((await call([...flags, '--backend', backend])).output).toBe(`${text}\n`);
    }
    const { code, stdout, stderr } = await start(flags).ended;
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: `${text}\n`, stderr: '' });
  });

  it('draws the same with one seed, and else with another', async () => {
    const draw = async (seed: string): Promise<string> =>
      (await generated('--prompt', 'hello', '--temperature', '1', '--seed', seed)).text;
    expect(await draw('5')).toBe(await draw('5'));
    expect(await draw('5')).not.toBe(await draw('6'));
  });

  it('is greedy with --top-k 1, and with a tiny --top-p', async () => {
    const { text } = await generated('--prompt', 'hello');
    for (const narrow of [
      ['--top-k', '1'],
      ['--top-p', '1e-9'],
    ]) {
      expect((await generated('--prompt', 'hello', '--temperature', '2', ...narrow)).text).toBe(text);
    }
  });

  it('ends before a stop text, the first of several', async () => {
    const { text } = await generated('--prompt', 'hello');
    const place = text.indexOf('yes');
    expect(place).toBeGreaterThan(0);
    const stopped = await generated('--prompt', 'hello', '--stop', 'yes');
    expect(stopped).toMatchObject({ text: text.slice(0, place), stopped: 'stop' });
    expect(await generated('--prompt', 'hello', '--stop', '["never", "yesyes", "yes"]')).toMatchObject({
      ...{ text: text.slice(0, place), stopped: 'stop' },
    });
    const plain = await call(['generate', '--base', base, '--prompt', 'hello', '--max-tokens', '12', '--stop', 'yes']);
    expect(plain.output).toBe(`${text.slice(0, place)}\n`);
  });

  it('ends where the model ends the text', async () => {
    const made = await likeliest(tokenizer.encode('hello', { special: true }), 12);
    const upTo = made.indexOf(idOf('yes'));
    expect(upTo).toBeGreaterThan(0);
    const ending = tinyBase(at('ending'));
    writeFileSync(join(ending, 'tokenizer_config.json'), JSON.stringify({ eos_token: 'yes' }));
    const { text, tokens, stopped } = await generated('--base', ending, '--prompt', 'hello');
    expect({ text, tokens, stopped }).toEqual({
      ...{ stopped: 'eos', tokens: upTo, text: tokenizer.decode(made.slice(0, upTo)) },
    });
  });

  describe('with a generation_config.json', () => {
    const withConfig = (name: string, config: object): string => {
      const own = tinyBase(at(name));
      writeFileSync(join(own, 'generation_config.json'), JSON.stringify(config));
      return own;
    };

    it('ends at any of its stop tokens, or of those in config.json where there is none', async () => {
      const made = await likeliest(tokenizer.encode('hello', { special: true }), 12);
      const upTo = made.indexOf(idOf('yes'));
      const expected = { stopped: 'eos', tokens: upTo, text: tokenizer.decode(made.slice(0, upTo)) };
      const listed = withConfig('listed', { eos_token_id: [idOf('no'), idOf('yes')] });
      expect(await generated('--base', listed, '--prompt', 'hello')).toMatchObject(expected);
      const older = tinyBase(at('older'));
      const config = JSON.parse(readFileSync(join(older, 'config.json'), 'utf8'));
      writeFileSync(join(older, 'config.json'), JSON.stringify({ ...config, eos_token_id: idOf('yes') }));
      expect(await generated('--base', older, '--prompt', 'hello')).toMatchObject(expected);
    });

    it('draws as it says, unless a flag says otherwise, and tells so', async () => {
      const drawing = withConfig('drawing', { do_sample: true, temperature: 2, top_p: 0.9 });
      const made = async (...flags: readonly string[]): Promise<readonly [text: string, told: string]> => {
        const { output, told, error } = await call(['generate', '--prompt', 'hello', '--max-tokens', '12', ...flags]);
        expect(error).toBeNull();
        return [output, told];
      };
      const flags = ['--temperature', '2', '--top-k', '50', '--top-p', '0.9'];
      const [text, told] = await made('--base', drawing);
      expect(told).toBe(
        'paca: temperature 2, top-k 50, top-p 0.9: as generation_config.json says where no flag does\n',
      );
      expect(await made('--base', base, ...flags)).toEqual([text, '']);
      const [greedily] = await made('--base', base);
      expect(await made('--base', drawing, '--temperature', '0')).toEqual([greedily, '']);
      const [narrow, toldNarrow] = await made('--base', drawing, '--top-k', '1');
      expect(narrow).toBe(greedily);
      expect(toldNarrow).toContain('top-k 1');
    });

    it('makes as many tokens as it says, unless a flag says otherwise', async () => {
      const short = withConfig('short', { max_new_tokens: 3 });
      const flags = ['generate', '--base', short, '--prompt', 'hello', '--json'];
      expect(JSON.parse((await call(flags)).output)).toMatchObject({ tokens: 3, stopped: 'length' });
      expect(JSON.parse((await call([...flags, '--max-tokens', '5'])).output)).toMatchObject({ tokens: 5 });
    });

    it('says what it asks for in vain, and refuses what is no setting', async () => {
      const vain = withConfig('vain', { repetition_penalty: 1.1, eos_token_id: 2 });
      const { told } = await call(['generate', '--base', vain, '--prompt', 'hello', '--max-tokens', '1']);
      expect(told).toBe('paca: not heeded of generation_config.json: repetition_penalty 1.1\n');
      const wrong = withConfig('wrong', { eos_token_id: 'end' });
      const { error } = await call(['generate', '--base', wrong, '--prompt', 'hello']);
      expect(error).toMatchObject({ tag: 'ConfigError', where: `${wrong}: generation_config.json, eos_token_id` });
    });
  });

  it('fills the positions of the model and no more', async () => {
    const { tokens, stopped } = await generated('--prompt', 'x'.repeat(64));
    expect({ tokens, stopped }).toEqual({ tokens: 1, stopped: 'length' });
    expect((await generated('--prompt', 'x'.repeat(60))).tokens).toBe(5);
  });

  it('wraps the prompt as the chat template says', async () => {
    const text = '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n';
    const chat = await generated('--prompt', 'hello', '--chat');
    expect(chat.prompt).toBe('hello');
    expect(chat.text).toBe(tokenizer.decode(await likeliest(tokenizer.encode(text, { special: false }), 12)));
  });
});

describe('with an adapter', () => {
  it.each([
    ['PaCA', paca],
    ['LoRA', lora],
  ])('of %s, the text is another', async (_, adapter) => {
    const { text } = await generated('--prompt', 'hello');
    expect((await generated('--prompt', 'hello', '--adapter', adapter)).text).not.toBe(text);
  });

  it('a whole model takes the place of the weights', async () => {
    const whole = writeFolder(at('whole'), new Map([['model.safetensors', encodeSafetensors(withPaca)]]));
    const { text } = await generated('--prompt', 'hello', '--adapter', whole);
    expect(text).toBe((await generated('--prompt', 'hello', '--adapter', paca)).text);
  });

  it('what the reader drops is told on the terminal', async () => {
    const odd = writeFolder(at('odd'), pacaFiles());
    const config = JSON.parse(new TextDecoder().decode(pacaFiles().get('adapter_config.json')));
    writeFileSync(join(odd, 'adapter_config.json'), JSON.stringify({ ...config, flavour: 'mint' }));
    const { told, error } = await call([
      'generate',
      '--base',
      base,
      '--adapter',
      odd,
      '--prompt',
      'a',
      '--max-tokens',
      '1',
    ]);
    expect(error).toBeNull();
    expect(told).toMatch(/^paca: .*"flavour" is not known and was dropped\n$/);
  });
});

describe('paca generate --file', () => {
  const lines = async (...flags: readonly string[]): Promise<readonly Record<string, unknown>[]> => {
    const { output, error, told } = await call(['generate', '--base', base, '--max-tokens', '12', ...flags]);
    expect({ error, told }).toEqual({ error: null, told: '' });
    return output
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  };

  it('answers each record on a line, with its id', async () => {
    const records = [
      { id: 7, prompt: 'hello' },
      { prompt: 'yes', completion: 'no' },
      { id: 'c', prompt: 'the world' },
    ];
    const answers = await lines('--file', file('prompts.jsonl', ...records));
    expect(answers.map(({ completion: _, ...rest }) => rest)).toEqual([
      ...[{ id: 7, prompt: 'hello' }, { prompt: 'yes' }, { id: 'c', prompt: 'the world' }],
    ]);
    for (const { prompt, completion } of answers) {
      expect(completion).toBe((await generated('--prompt', String(prompt))).text);
    }
  });

  it('reads chats, without their last answer', async () => {
    const user = { role: 'user', content: 'hello' };
    const path = file('chats.jsonl', { messages: [user] }, { messages: [user, { role: 'assistant', content: 'no' }] });
    const [one, other] = await lines('--file', path);
    expect(one).toEqual(other);
    expect(one!.prompt).toBe('<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n');
    const [chat] = await lines('--chat', '--file', file('one.jsonl', { prompt: 'hello' }));
    expect(chat!.completion).toBe(one!.completion);
  });

  it('draws for each record by itself', async () => {
    const flags = ['--temperature', '1', '--seed', '3', '--file'];
    const both = await lines(...flags, file('two.jsonl', { prompt: 'hello' }, { prompt: 'hello' }));
    expect(await lines(...flags, file('first.jsonl', { prompt: 'hello' }))).toEqual([both[0]]);
    expect(both[0]!.completion).not.toBe(both[1]!.completion);
  });
});

describe('pieces', () => {
  it('joined are the text, and none ends within a character', async () => {
    const backend = orThrow(await openBackend({ backend: 'reference' }));
    const opened = orThrow(await openFolder(base)());
    const model = orThrow(await loadAdapted({ terminal: { write: () => true } }, backend.kernels, opened, null)());
    const speaker = { kernels: backend.kernels, base: opened, model, params: model.params };
    for (const seed of [1, 2, 3, 4]) {
      const pieces: string[] = [];
      const sampling = { ...greedy, temperature: 1 };
      const options = { most: 30, stops: ['es', 'll'], sampling, rng: rngFromSeed(seed) };
      const { text } = await speak(speaker, [5, 6], options, (piece) => pieces.push(piece));
      expect(pieces.join('')).toBe(text);
      expect(text).not.toMatch(/es|ll/);
      for (const piece of pieces.slice(0, -1)) expect(piece.endsWith('\uFFFD')).toBe(false);
    }
    await backend.dispose();
  });

  it('are what no continuation changes: neither bytes of a character nor the start of a stop text', () =>
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ minLength: 1, maxLength: 3 }), (text, stop) => {
        const bytes = new TextEncoder().encode(text);
        for (let n = 0; n <= bytes.length; n++) {
          const given = settled(new TextDecoder().decode(bytes.subarray(0, n)), [stop]);
          expect(text.startsWith(given)).toBe(true);
          const place = text.indexOf(stop);
          if (place >= 0 && !given.includes(stop)) expect(given.length).toBeLessThanOrEqual(place);
        }
      }),
    ));
});

describe('paca generate refuses', () => {
  const text = (name: string, content: string): string => {
    writeFileSync(at(name), content);
    return at(name);
  };
  const hello = ['--base', base, '--prompt', 'hello'];
  const silent = tinyBase(at('silent'), { chatTemplate: null });
  const broken = writeFolder(at('broken'), pacaFiles());
  copyFileSync(join(base, 'tokenizer.json'), join(broken, 'adapter_model.safetensors'));
  const stray = writeFolder(at('stray'), pacaFiles('model.layers.7.mlp.down_proj'));
  const narrow = writeFolder(at('narrow'), pacaFiles('model.layers.1.mlp.up_proj'));
  const part = writeFolder(
    at('part'),
    new Map([['model.safetensors', encodeSafetensors({ 'model.norm.weight': withPaca['model.norm.weight']! })]]),
  );
  it.each<[string, readonly string[], string]>([
    ['no base', ['--prompt', 'a'], 'expected "base"'],
    ['a base that is no folder', ['--base', at('nowhere'), '--prompt', 'a'], 'nowhere'],
    ['no prompt', ['--base', base], 'expected one of --prompt and --file, got neither'],
    ['prompt and file', [...hello, '--file', 'a'], 'expected one of --prompt and --file, got both'],
    ['a file with --json', ['--base', base, '--file', 'a', '--json'], '--file without --json'],
    ['a word beside the flags', [...hello, 'there'], 'expected flags alone, got there'],
    ['an unknown flag', [...hello, '--beams', '3'], "got '--beams'"],
    ['a long prompt', ['--base', base, '--prompt', 'x'.repeat(65)], "the model's 64 positions, got 65 tokens"],
    ['no tokens', [...hello, '--max-tokens', '0'], 'maxTokens'],
    ['a cold temperature', [...hello, '--temperature', '-1'], 'temperature'],
    ['top-k without a temperature', [...hello, '--top-k', '3'], "without which 'topK' has no effect"],
    ['top-p without a temperature', [...hello, '--top-p', '0.5'], "without which 'topP' has no effect"],
    ['top-p above 1', [...hello, '--temperature', '1', '--top-p', '1.5'], 'topP'],
    ['stop texts that are none', [...hello, '--stop', '[1]'], 'a JSON list of texts'],
    ['a chat without a template', ['--base', silent, '--prompt', 'a', '--chat'], 'a tokenizer with a chat template'],
    ['an adapter that is no folder', [...hello, '--adapter', at('nobody')], 'nobody'],
    ['a folder without an adapter', [...hello, '--adapter', folder], 'a file adapter_config.json'],
    ['an adapter that is broken', [...hello, '--adapter', broken], 'adapter_model.safetensors'],
    ['a module that is not there', [...hello, '--adapter', stray], 'model.layers.7.mlp.down_proj'],
    ['a module of another width', [...hello, '--adapter', narrow], 'model.layers.1.mlp.up_proj'],
    ['a model that lacks tensors', [...hello, '--adapter', part], 'part'],
    ['a file that is not there', ['--base', base, '--file', at('none.jsonl')], 'none.jsonl'],
    ['an empty file', ['--base', base, '--file', text('empty.jsonl', '\n')], 'at least one record'],
    ['a line that is no JSON', ['--base', base, '--file', text('a.jsonl', '{"prompt":"a"}\noops\n')], 'a.jsonl:2'],
    ['a record without a prompt', ['--base', base, '--file', text('b.jsonl', '{"text":"a"}')], 'prompt or messages'],
    ['a prompt that is no text', ['--base', base, '--file', text('c.jsonl', '{"prompt":1}')], 'a string in prompt'],
    ['a prompt of nothing', ['--base', base, '--file', text('d.jsonl', '{"prompt":""}')], 'at least one token'],
    ['more threads than there are', [...hello, '--backend', 'reference', '--threads', '3'], 'threads'],
    ['a backend that is none', [...hello, '--backend', 'abacus'], 'abacus'],
  ])('%s', async (_, flags, message) => {
    const { error, output } = await call(['generate', ...flags]);
    expect(output).toBe('');
    expect(showError(error!)).toContain(message);
  });
});

/** `generation_config.json`: what is honoured, what is said, what is refused. */
import { describe, expect, it } from 'vitest';
import { parseGenerationConfig } from '../../src/io/generation-config.ts';
import { orThrow } from '../../src/spec/errors.ts';

const parsed = (json: object) => orThrow(parseGenerationConfig(json, 'g.json'));
const greedy = { temperature: 0, topK: null, topP: 1 };

describe('generation_config.json', () => {
  it.each<[string, object, readonly number[]]>([
    ['none', {}, []],
    ['null', { eos_token_id: null }, []],
    ['one', { eos_token_id: 2 }, [2]],
    ['several', { eos_token_id: [128001, 128008, 128009] }, [128001, 128008, 128009]],
  ])('says which tokens end a text: %s', (_, json, stops) => expect(parsed(json).stops).toEqual(stops));

  it.each<[object, object]>([
    [{}, greedy],
    [{ do_sample: false, temperature: 0.6, top_p: 0.9 }, greedy],
    [{ do_sample: true }, { temperature: 1, topK: 50, topP: 1 }],
    [
      { do_sample: true, temperature: 0.6, top_p: 0.9 },
      { temperature: 0.6, topK: 50, topP: 0.9 },
    ],
    [
      { do_sample: true, top_k: 0 },
      { temperature: 1, topK: null, topP: 1 },
    ],
    [
      { do_sample: true, top_k: 20, temperature: null },
      { temperature: 1, topK: 20, topP: 1 },
    ],
  ])('says how tokens are drawn: %j', (json, sampling) => expect(parsed(json).sampling).toEqual(sampling));

  it('says how long a text may be', () => expect(parsed({ max_new_tokens: 7 }).maxNewTokens).toBe(7));

  it('names what is not honoured, and nothing that changes no text', () => {
    const quiet = {
      bos_token_id: 1,
      transformers_version: '5.0.0',
      use_cache: true,
      num_beams: 1,
      repetition_penalty: 1,
    };
    expect(parsed({ ...quiet, min_p: null, renormalize_logits: false }).unheeded).toEqual([]);
    expect(parsed({ repetition_penalty: 1.1, max_length: 4096, suppress_tokens: [3], new_idea: 'x' }).unheeded).toEqual(
      [...['repetition_penalty 1.1', 'max_length 4096', 'suppress_tokens [3]', 'new_idea "x"']],
    );
  });

  it.each<[object, string]>([
    [{ eos_token_id: 'x' }, 'eos_token_id'],
    [{ eos_token_id: [1, -1] }, 'eos_token_id'],
    [{ do_sample: true, temperature: -1 }, 'temperature'],
    [{ do_sample: true, top_k: 1.5 }, 'top_k'],
    [{ do_sample: true, top_p: 2 }, 'top_p'],
    [{ max_new_tokens: 0 }, 'max_new_tokens'],
  ])('refuses %j', (json, key) => {
    expect(parseGenerationConfig(json, 'g.json')).toMatchObject({
      left: { tag: 'ConfigError', where: `g.json, ${key}` },
    });
  });

  it('refuses what is no object', () => expect(parseGenerationConfig([], 'g.json')).toMatchObject({ _tag: 'Left' }));
});

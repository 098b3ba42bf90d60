/** Wrong and hostile adapters: each is refused with a message that names what is wrong, and reading always returns. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { decodeAdapter, readAdapter } from '../../src/io/adapter.ts';
import { encodeSafetensors } from '../../src/io/safetensors.ts';
import { memorySource } from '../../src/io/source.ts';
import type { Files } from '../../src/io/store.ts';
import { orThrow, showError } from '../../src/spec/errors.ts';
import type { HostTensor } from '../../src/spec/tensor.ts';
import { utf8 } from './temporary.ts';

const TENSORS = 'adapter_model.safetensors';
const CONFIG = 'adapter_config.json';

const refusal = (files: Files): string => E.match(showError, () => 'accepted')(decodeAdapter(files, 'a'));

const f32 = (...shape: readonly number[]): HostTensor => ({
  dtype: 'f32',
  shape,
  data: new Float32Array(shape.reduce((n, d) => n * d, 1)),
});
const i64 = (...indices: readonly (number | bigint)[]): HostTensor => ({
  dtype: 'i64',
  shape: [indices.length],
  data: BigInt64Array.from(indices, BigInt),
});

const [DELTA, INDICES] = ['base_model.model.q.paca_delta', 'base_model.model.q.paca_indices'];
const [A, B] = ['base_model.model.q.lora_A.weight', 'base_model.model.q.lora_B.weight'];
const pacaTensors = { [DELTA]: f32(3, 2), [INDICES]: i64(0, 1) };
const loraTensors = { [A]: f32(2, 4), [B]: f32(3, 2) };

const filesOf = (config: unknown, tensors: Readonly<Record<string, HostTensor>>): Files =>
  new Map([
    [CONFIG, utf8(typeof config === 'string' ? config : JSON.stringify(config))],
    [TENSORS, encodeSafetensors(tensors)],
  ]);
const paca = (more: object = {}, tensors: Readonly<Record<string, HostTensor>> = {}): Files =>
  filesOf({ peft_type: 'PACA', r: 2, paca_alpha: 4, target_modules: ['q'], ...more }, { ...pacaTensors, ...tensors });
const lora = (more: object = {}, tensors: Readonly<Record<string, HostTensor>> = {}): Files =>
  filesOf({ peft_type: 'LORA', r: 2, lora_alpha: 4, target_modules: ['q'], ...more }, { ...loraTensors, ...tensors });
const without = (files: Files, name: string): Files => new Map([...files].filter(([other]) => other !== name));
const onlyTensors = (files: Files, tensors: Readonly<Record<string, HostTensor>>): Files =>
  new Map([...files, [TENSORS, encodeSafetensors(tensors)]]);

const whole = 'expected a whole number from 1 on';
const off = 'expected a setting that is off: it is not supported';
const cases: readonly (readonly [what: string, files: Files, message: string])[] = [
  ['no files', new Map(), 'FileError in a: expected a file adapter_config.json, got none'],
  ['no config', without(paca(), CONFIG), 'expected a file adapter_config.json, got none'],
  ['no tensors', without(paca(), TENSORS), 'expected a file adapter_model.safetensors, got none'],
  [
    'a pickle',
    new Map([...without(paca(), TENSORS), ['adapter_model.bin', utf8('x')]]),
    'expected adapter_model.safetensors (save_pretrained with safe_serialization=True writes it), got adapter_model.bin, a pickle',
  ],
  ['a config that is no JSON', filesOf('{', pacaTensors), `a/${CONFIG}: expected JSON`],
  ['a config that is a list', filesOf('[]', pacaTensors), 'expected a JSON object, got []'],
  ['NaN in the config', filesOf('{"peft_type":"PACA","r":NaN}', pacaTensors), 'expected JSON'],
  ['a key twice', filesOf('{"peft_type":"PACA","peft_type":"LORA"}', pacaTensors), 'the key "peft_type" twice'],
  ['tensors in another format', new Map([...paca(), [TENSORS, utf8('PK')]]), `a/${TENSORS}: expected at least 8 bytes`],
  ['no type', paca({ peft_type: undefined }), `a/${CONFIG}, peft_type: expected PACA, LORA or MOSLORA, got nothing`],
  ['another type', paca({ peft_type: 'IA3' }), 'peft_type: expected PACA, LORA or MOSLORA, got "IA3"'],
  ['an inherited type', paca({ peft_type: 'constructor' }), 'expected PACA, LORA or MOSLORA'],
  ['a type in small letters', paca({ peft_type: 'paca' }), 'expected PACA, LORA or MOSLORA'],
  ['no rank', paca({ r: undefined }), `a/${CONFIG}, r: ${whole}, got nothing`],
  ['rank 0', paca({ r: 0 }), `r: ${whole}, got 0`],
  ['half a rank', paca({ r: 1.5 }), `r: ${whole}, got 1.5`],
  ['a rank as text', paca({ r: '2' }), `r: ${whole}, got "2"`],
  ['no alpha', paca({ paca_alpha: undefined }), 'paca_alpha: expected a number, got nothing'],
  ['alpha of the other kind', paca({ paca_alpha: undefined, lora_alpha: 4 }), 'paca_alpha: expected a number'],
  ['alpha 0 of PaCA', paca({ paca_alpha: 0 }), 'paca_alpha: expected a number above 0, got 0'],
  ['an alpha as text', lora({ lora_alpha: '4' }), 'lora_alpha: expected a number, got "4"'],
  ['an infinite alpha', filesOf('{"peft_type":"LORA","r":2,"lora_alpha":1e999}', loraTensors), 'lora_alpha: expected'],
  ['no targets', paca({ target_modules: null }), 'target_modules: expected a regular expression, or a list of names'],
  ['targets that are numbers', paca({ target_modules: [1] }), 'target_modules: expected a regular expression'],
  ['exclusions that are no pattern', paca({ exclude_modules: 1 }), 'exclude_modules: expected'],
  ['layers that are none', paca({ layers_to_transform: [-1] }), 'layers_to_transform: expected numbers of layers'],
  ['a seed that is no number', paca({ random_seed: 'x' }), 'random_seed: expected a whole number'],
  ['a base that is no name', paca({ base_model_name_or_path: 1 }), 'base_model_name_or_path: expected text'],
  [
    'targets that match no module',
    paca({ target_modules: ['k'] }),
    'target_modules, without exclude_modules, to match',
  ],
  ['a target that is only a part of a name', paca({ target_modules: '' }), 'got "q" unmatched'],
  ['exclusions that match a module', paca({ exclude_modules: 'q' }), 'got "q" unmatched'],
  [
    'modules trained in full that are no names',
    paca({ modules_to_save: [1] }),
    'modules_to_save: expected a list of names',
  ],
  ...(
    [
      ['lora_bias', true],
      ['fan_in_fan_out', true],
      ['layer_replication', [[0, 2]]],
      ['use_qalora', true],
      ['use_bdlora', true],
      ['alora_invocation_tokens', [1]],
      ['trainable_token_indices', { embed_tokens: [1] }],
      ['target_parameters', ['experts']],
      ['arrow_config', { top_k: 1 }],
      ['kasa_config', { beta: 1 }],
      ['velora_config', { rank: 1 }],
      ['monteclora_config', { n: 1 }],
      ['ensure_weight_tying', true],
    ] as const
  ).map(
    ([key, value]) =>
      [
        `${key} of ${JSON.stringify(value)}`,
        lora({ [key]: value }),
        `ConfigError in a/${CONFIG}, ${key}: ${off}, got ${JSON.stringify(value)}`,
      ] as const,
  ),
  ...['pissa', 'pissa_niter_16', 'olora', 'corda', 'loftq', 'lora_ga', 'new'].map(
    (init) =>
      [
        `init_lora_weights of ${init}`,
        lora({ init_lora_weights: init }),
        `a/${CONFIG}, init_lora_weights: expected init_lora_weights that leave the base weights alone`,
      ] as const,
  ),
  ['use_rslora as text', lora({ use_rslora: 'yes' }), 'use_rslora: expected true or false, got "yes"'],
  ['a rank_pattern of text', lora({ rank_pattern: { q: '2' } }), `rank_pattern, "q": ${whole}, got "2"`],
  [
    'a rank_pattern that is no pattern',
    lora({ rank_pattern: { '(': 2 } }),
    'rank_pattern: expected a regular expression',
  ],
  ['an alpha_pattern that is a list', lora({ alpha_pattern: [1] }), 'alpha_pattern: expected an object, got [1]'],
  ['no module', onlyTensors(paca(), {}), `a/${TENSORS}: expected tensors of at least one module, got none`],
  ['δ without indices', onlyTensors(paca(), { [DELTA]: f32(3, 2) }), `expected a tensor "${INDICES}", got none`],
  ['indices without δ', onlyTensors(paca(), { [INDICES]: i64(0, 1) }), `expected a tensor "${DELTA}", got none`],
  ['A without B', onlyTensors(lora(), { [A]: f32(2, 4) }), `expected a tensor "${B}", got none`],
  ['B without A', onlyTensors(lora(), { [B]: f32(3, 2) }), `expected a tensor "${A}", got none`],
  ['a tensor of no module', paca({}, { x: f32(1) }), 'MODULE.paca_indices alone, got "x"'],
  ['a tensor of the base', paca({}, { 'base_model.model.q.weight': f32(1) }), 'got "base_model.model.q.weight"'],
  [
    'a module without a name',
    paca({}, { 'base_model.model.paca_delta': f32(3, 2) }),
    'got "base_model.model.paca_delta"',
  ],
  [
    'a module with an empty name',
    paca({}, { 'base_model.model..paca_delta': f32(3, 2) }),
    'got "base_model.model..paca_delta"',
  ],
  ['a tensor without the prefix', paca({}, { 'q.paca_delta': f32(3, 2) }), 'got "q.paca_delta"'],
  ['LoRA tensors in a PaCA adapter', paca({}, loraTensors), `got "${A}"`],
  ['PaCA tensors in a LoRA adapter', lora({}, pacaTensors), `got "${INDICES}"`],
  ['a magnitude of DoRA', lora({}, { 'base_model.model.q.lora_magnitude_vector': f32(3) }), 'lora_magnitude_vector"'],
  ['DoRA without its magnitudes', lora({ use_dora: true }), 'a tensor "base_model.model.q.lora_magnitude_vector"'],
  ['a use_dora that is neither', lora({ use_dora: 'yes' }), 'use_dora: expected true or false'],
  ['an embedding', lora({}, { 'base_model.model.e.lora_embedding_A': f32(2, 3) }), 'lora_embedding_A"'],
  [
    'a name of the adapter within',
    lora({}, { 'base_model.model.q.lora_A.default.weight': f32(2, 4) }),
    'default.weight"',
  ],
  ['a δ of another rank', paca({}, { [DELTA]: f32(3, 3) }), 'q.paca_delta: expected shape [out, 2], got f32[3, 3]'],
  ['a δ of one axis', paca({}, { [DELTA]: f32(2) }), 'expected shape [out, 2], got f32[2]'],
  ['a δ of three axes', paca({}, { [DELTA]: f32(3, 2, 1) }), 'expected shape [out, 2], got f32[3, 2, 1]'],
  [
    'a δ of integers',
    paca({}, { [DELTA]: { ...i64(0, 0), shape: [1, 2] } as HostTensor }),
    'expected a tensor of f32, f16 or bf16',
  ],
  ['fewer indices', paca({}, { [INDICES]: i64(0) }), 'q.paca_indices: expected i64[2] or i32[2], got i64[1]'],
  ['more indices', paca({}, { [INDICES]: i64(0, 1, 2) }), 'expected i64[2] or i32[2], got i64[3]'],
  ['indices in two axes', paca({}, { [INDICES]: { ...i64(0, 1), shape: [1, 2] } as HostTensor }), 'got i64[1, 2]'],
  ['indices in f32', paca({}, { [INDICES]: f32(2) }), 'expected i64[2] or i32[2], got f32[2]'],
  [
    'an index twice',
    paca({}, { [INDICES]: i64(5, 5) }),
    'q.paca_indices: expected distinct column indices, got 5 twice',
  ],
  ['a negative index', paca({}, { [INDICES]: i64(0, -1) }), 'expected indices from 0 to 2^31 - 1, got -1'],
  ['an index of 2^31', paca({}, { [INDICES]: i64(0, 2 ** 31) }), 'got 2147483648'],
  ['an index that is 0 in 32 bits', paca({}, { [INDICES]: i64(1, 2n ** 32n) }), 'got 4294967296'],
  ['the least index', paca({}, { [INDICES]: i64(0, -(2n ** 63n)) }), 'got -9223372036854775808'],
  ['an A of another rank', lora({}, { [A]: f32(3, 4) }), 'q.lora_A.weight: expected shape [2, in], got f32[3, 4]'],
  ['a B of another rank', lora({}, { [B]: f32(3, 3) }), 'q.lora_B.weight: expected shape [out, 2], got f32[3, 3]'],
  ['A and B exchanged', lora({}, { [A]: f32(3, 2), [B]: f32(2, 4) }), 'expected shape [2, in], got f32[3, 2]'],
  ['an A of a convolution', lora({}, { [A]: f32(2, 4, 1, 1) }), 'expected shape [2, in], got f32[2, 4, 1, 1]'],
  ['an A in f64', lora({}, { [A]: { dtype: 'f64', shape: [2, 4], data: new Float64Array(8) } }), 'got f64[2, 4]'],
];

describe('refused', () => {
  test.each(cases)('%s', async (_, files, message) => {
    const shown = refusal(files);
    expect(shown).toContain(message);
    expect(shown.length).toBeLessThan(500);
    expect(E.match(showError, () => 'accepted')(await readAdapter(memorySource(files), 'a'))).toBe(shown);
  });

  test.each(['list', 'size', 'read'] as const)('a source that fails to %s', async (what) => {
    const error = { tag: 'FileError', expected: 'a disk', came: 'EIO', where: 'disk' } as const;
    expect(await readAdapter({ ...memorySource(paca()), [what]: async () => E.left(error) }, 'a')).toEqual(
      E.left(error),
    );
  });
});

describe('taken', () => {
  const warnings = (files: Files): readonly string[] => orThrow(decodeAdapter(files, 'a')).warnings;

  test('keys that are not known, with a warning each', () => {
    expect(warnings(paca({ zeta: 1, eta: { a: [] } }))).toEqual([
      `a/${CONFIG}: the key "zeta" is not known and was dropped`,
      `a/${CONFIG}: the key "eta" is not known and was dropped`,
    ]);
    expect(warnings(lora({ paca_alpha: 3 }))).toEqual([
      `a/${CONFIG}: the key "paca_alpha" is not known and was dropped`,
    ]);
  });

  test('an expression of Python alone, with a warning', () => {
    expect(warnings(paca({ target_modules: '(?P<name>q)' }))).toEqual([
      `a/${CONFIG}: a regular expression that JavaScript does not know was not held against the modules`,
    ]);
  });

  test.each([
    { init_lora_weights: 'gaussian' },
    { init_lora_weights: false },
    { modules_to_save: [] },
    { use_dora: null },
    { bias: null },
    { lora_dropout: 0.1 },
    { loftq_config: { loftq_bits: 4 } },
    { target_modules: 'all-linear' },
    { target_modules: '.*q', exclude_modules: [] },
    { use_rslora: null },
  ])('%j, without a warning', (more) => {
    expect(warnings(lora(more))).toEqual([]);
  });
});

describe('fuzz', () => {
  const returns = (files: Files): void => {
    const result = decodeAdapter(files, 'a');
    if (E.isLeft(result)) expect(typeof showError(result.left)).toBe('string');
  };

  test.each(['peft-paca', 'peft-lora'])('random bytes and truncations in %s', (name) => {
    const bytesOf = (file: string): Uint8Array =>
      new Uint8Array(readFileSync(new URL(`../fixtures/llama/${name}/${file}`, import.meta.url)));
    const files = new Map([CONFIG, TENSORS].map((file) => [file, bytesOf(file)]));
    const changes = fc.array(fc.tuple(fc.nat(3000), fc.nat(255)), { maxLength: 4 });
    const cut = fc.oneof(fc.constant(100_000), fc.nat(3000));
    fc.assert(
      fc.property(fc.constantFrom(CONFIG, TENSORS), changes, cut, (target, bytes, length) => {
        const changed = new Uint8Array(files.get(target)!);
        for (const [at, value] of bytes) changed[at % changed.length] = value;
        returns(new Map([...files, [target, changed.subarray(0, length)]]));
      }),
      { numRuns: 500 },
    );
  });

  test('any JSON in any field', () => {
    const keys = ['peft_type', 'r', 'lora_alpha', 'target_modules', 'exclude_modules', 'rank_pattern', 'alpha_pattern'];
    const more = ['use_rslora', 'use_dora', 'init_lora_weights', 'bias', 'layers_to_transform', 'random_seed'];
    fc.assert(
      fc.property(fc.constantFrom(...keys, ...more), fc.jsonValue(), (key, value) => {
        returns(lora({ [key]: value }));
        returns(paca({ [key]: value }));
      }),
      { numRuns: 500 },
    );
    fc.assert(fc.property(fc.json(), (text) => returns(filesOf(text, pacaTensors))));
  });
});

/** Which modules are adapted, as PEFT reads its patterns, and what a method refuses, with the words it refuses it in. */
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { adapt, checkMethod, type PacaPlan, type Treatment } from '../../src/methods/adapt.ts';
import type { Site } from '../../src/methods/operation.ts';
import { matchTargets, type Targets } from '../../src/methods/targets.ts';
import { type Result, showError } from '../../src/spec/errors.ts';
import { fc } from '../support/fast-check.ts';
import { f32 as k, normal32 } from '../support/tensors.ts';

const paths = [
  'model.layers.0.self_attn.q_proj',
  'model.layers.0.self_attn.v_proj',
  'model.layers.1.self_attn.q_proj',
  'model.layers.10.mlp.up_proj',
  'my_q_proj',
  'lm_head',
];

const match = (targets: Targets): readonly string[] | string => {
  const result = matchTargets(targets, paths, 'lm_head');
  return E.isRight(result) ? result.right : showError(result.left);
};

const refusal = (result: Result<unknown>): string => (E.isLeft(result) ? showError(result.left) : 'accepted');

describe('target modules', () => {
  it('a list names whole paths or their dotted suffixes', () => {
    expect(match({ targetModules: ['q_proj'] })).toEqual([paths[0], paths[2]]);
    expect(match({ targetModules: ['self_attn.v_proj', 'my_q_proj'] })).toEqual([paths[1], paths[4]]);
    expect(match({ targetModules: ['lm_head'] })).toEqual(['lm_head']);
  });

  it('a list takes its names literally', () => {
    expect(match({ targetModules: ['.*_proj'] })).toMatch(
      /^ConfigError in targetModules: expected a pattern that matches/,
    );
  });

  it('a string is a regular expression for the whole path', () => {
    expect(match({ targetModules: '.*\\.q_proj' })).toEqual([paths[0], paths[2]]);
    expect(match({ targetModules: 'model\\.layers\\.1\\..*' })).toEqual([paths[2]]);
    expect(match({ targetModules: 'model|lm_head' })).toEqual(['lm_head']);
    expect(match({ targetModules: 'lm_head|q_proj' })).toEqual(['lm_head']);
    expect(match({ targetModules: 'q_proj' })).toBe(
      `ConfigError in targetModules: expected a pattern that matches some of ${paths.join(', ')}, got 'q_proj'`,
    );
  });

  it('all-linear is everything but the output head', () => {
    expect(match({ targetModules: 'all-linear' })).toEqual(paths.slice(0, -1));
  });

  it('exclusions win, in both notations', () => {
    expect(match({ targetModules: 'all-linear', excludeModules: ['q_proj'] })).toEqual([paths[1], paths[3], paths[4]]);
    expect(match({ targetModules: ['q_proj', 'v_proj'], excludeModules: '.*layers\\.0.*' })).toEqual([paths[2]]);
    expect(match({ targetModules: ['lm_head'], excludeModules: ['lm_head'] })).toMatch(/got lm_head$/);
  });

  it('a string that is no regular expression is an error that quotes it', () => {
    expect(match({ targetModules: '(' })).toMatch(
      /^ConfigError in targetModules: expected a regular expression, got '\('/,
    );
    expect(match({ targetModules: 'all-linear', excludeModules: '[' })).toMatch(
      /^ConfigError in excludeModules: expected a/,
    );
  });

  it('what is chosen comes in the order of the model, each once', () =>
    fc.assert(
      fc.property(fc.subarray(paths, { minLength: 1 }), fc.integer(), (chosen, turn) => {
        const names = [...chosen, ...chosen].sort((a, b) => (turn % 2 === 0 ? 1 : -1) * a.localeCompare(b));
        expect(match({ targetModules: names })).toEqual(paths.filter((path) => chosen.includes(path)));
      }),
    ));
});

describe('adapt', () => {
  const site: Site = { path: 'fc', operation: { kind: 'linear', config: { in: 4, out: 3 } } };
  const base = { weight: normal32(1, [3, 4]), bias: normal32(2, [3]) };
  const paca = (...plans: Partial<PacaPlan>[]): Treatment => ({
    method: 'paca',
    adapters: plans.map((plan) => ({ indices: Int32Array.of(0, 2), alpha: 2, ...plan })),
  });
  const at = (treatment: Treatment, weights = base): string => refusal(adapt(k, site, weights, treatment));

  it('accepts what fits', () => {
    expect(at(paca({}))).toBe('accepted');
    expect(at(paca({}, { indices: Int32Array.of(0, 1, 2, 3) }, { delta: normal32(3, [3, 2]) }))).toBe('accepted');
    expect(at({ method: 'full' })).toBe('accepted');
    expect(at({ method: 'frozen' })).toBe('accepted');
  });

  it.each<[string, PacaPlan['indices'], string]>([
    ['out of range', Int32Array.of(0, 4), 'IndexError in fc: expected column indices of 0 … 3, got 4 at position 1'],
    ['negative', Int32Array.of(-1, 2), 'IndexError in fc: expected column indices of 0 … 3, got -1 at position 0'],
    ['repeated', Int32Array.of(2, 2), 'IndexError in fc: expected distinct column indices, got 2 twice'],
    ['unsorted', Int32Array.of(2, 0), 'IndexError in fc: expected sorted column indices, got 0 after 2'],
    ['too many', Int32Array.of(0, 1, 2, 3, 4), 'IndexError in fc: expected 1 to 4 column indices, got 5 of them'],
    ['none', Int32Array.of(), 'IndexError in fc: expected 1 to 4 column indices, got 0 of them'],
  ])('refuses indices that are %s', (_, indices, message) => {
    expect(at(paca({ indices }))).toBe(message);
    expect(at(paca({}, { indices }))).toBe(message);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('refuses an alpha of %d', (alpha) => {
    expect(at(paca({ alpha }))).toBe(`ConfigError in fc: expected an alpha above 0, got ${alpha}`);
  });

  it('refuses weights, biases and deltas of another shape', () => {
    expect(at(paca({}), { ...base, weight: normal32(1, [4, 3]) })).toBe(
      'ShapeError in fc.weight: expected shape [3, 4], got f64[4, 3]',
    );
    expect(at({ method: 'full' }, { ...base, bias: normal32(1, [4]) })).toBe(
      'ShapeError in fc.bias: expected shape [3], got f64[4]',
    );
    expect(at(paca({ delta: normal32(1, [3, 1]) }))).toBe(
      'ShapeError in fc.delta: expected shape [3, 2], got f64[3, 1]',
    );
  });

  it('knows its methods by name', () => {
    expect(checkMethod('paca')).toEqual(E.right('paca'));
    expect(refusal(checkMethod('toString'))).toBe(
      "ConfigError in method: expected one of full, paca, lora, dora, moslora, frozen, got 'toString'",
    );
  });
});

/** Wrong and hostile files: each is refused with a message that says where, and reading always returns. */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, test } from 'vitest';
import { decodeSafetensors, encodeSafetensors } from '../../src/io/safetensors.ts';
import { maxHeaderBytes, readHeader } from '../../src/io/safetensors-header.ts';
import { orThrow, showError } from '../../src/spec/errors.ts';
import { lengthOnly, refused, u8 } from './hostile-files.ts';
import { fileOf } from './tensors.ts';

const refusal = (bytes: Uint8Array): string =>
  E.match(showError, () => 'accepted')(decodeSafetensors(bytes, 'm.safetensors'));

describe('refused', () => {
  test.each(refused)('%s', (_, file, message) => {
    const shown = refusal(file);
    expect(shown).toMatch(/^FileError in m\.safetensors/);
    expect(shown).toContain(message);
    expect(shown.length).toBeLessThan(400);
  });

  test('a header of more than 100 MB, before any of it is read', () => {
    const result = readHeader(lengthOnly(BigInt(maxHeaderBytes) + 1n), 2 ** 40, 'm.safetensors');
    expect(E.match(showError, () => 'accepted')(result)).toContain(
      'at most 100000000 bytes, got the header length 100000001',
    );
  });

  test('a long name is cut in the message', () => {
    expect(refusal(fileOf(`{"${'x'.repeat(100_000)}":1}`)).length).toBeLessThan(400);
  });
});

describe('fuzz', () => {
  const fixture = new Uint8Array(readFileSync(new URL('./fixture-python.safetensors', import.meta.url)));
  const dataBegin = 8 + new DataView(fixture.buffer).getUint32(0, true);

  /** Refused, or accepted and then fit to be written and read again to the same bytes. */
  const returns = (bytes: Uint8Array): void => {
    const result = decodeSafetensors(bytes, 'fuzz');
    if (E.isLeft(result)) {
      expect(result.left.tag).toBe('FileError');
      return;
    }
    const again = encodeSafetensors(result.right.tensors, result.right.metadata);
    const { tensors, metadata } = orThrow(decodeSafetensors(again, 'again'));
    expect(encodeSafetensors(tensors, metadata)).toEqual(again);
  };

  test('every truncation is refused, and every extension', () => {
    for (let length = 0; length < fixture.length; length++)
      expect(refusal(fixture.subarray(0, length))).toMatch(/^FileError/);
    expect(refusal(new Uint8Array([...fixture, 0]))).toContain('1 surplus bytes');
  });

  test('every byte of the header with a bit flipped', () => {
    for (let at = 0; at < dataBegin; at++)
      for (const bit of [0, 2, 5, 7]) returns(fixture.map((byte, i) => (i === at ? byte ^ (1 << bit) : byte)));
  });

  test('random bytes in random places', () => {
    const change = fc.tuple(fc.nat(dataBegin - 1), fc.nat(255));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const bytes = new Uint8Array(fixture);
        for (const [at, byte] of changes) bytes[at] = byte;
        returns(bytes);
      }),
      { numRuns: 1000 },
    );
  });

  test('any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), returns));
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (header) => returns(fileOf(header))));
  });

  test('any JSON as header, as entry and as field', () => {
    const json = fc.json();
    const fields = fc.record({ dtype: fc.constantFrom('"U8"', '"F64"', '{}'), shape: json, data_offsets: json });
    fc.assert(fc.property(json, (text) => returns(fileOf(text))));
    fc.assert(fc.property(json, (text) => returns(fileOf(`{"a":${text},"__metadata__":${text}}`))));
    fc.assert(
      fc.property(fields, ({ dtype, shape, data_offsets }) =>
        returns(fileOf(`{"a":{"dtype":${dtype},"shape":${shape},"data_offsets":${data_offsets}}}`)),
      ),
    );
  });

  test('accepts exactly the spans that cover each byte of the data once', () => {
    const span = fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 3 }));
    let accepted = 0;
    fc.assert(
      fc.property(fc.array(span, { minLength: 1, maxLength: 4 }), fc.nat(6), (spans, length) => {
        const header = `{${spans.map(([begin, n], i) => `"${i}":${u8(begin, begin + n)}`).join(',')}}`;
        const covered = spans.flatMap(([begin, n]) => Array.from({ length: n }, (_, i) => begin + i)).sort();
        const exact = covered.length === length && covered.every((at, i) => at === i);
        const file = fileOf(header, Array(length).fill(0));
        expect(E.isRight(decodeSafetensors(file, ''))).toBe(exact);
        if (exact) accepted++;
      }),
      { numRuns: 3000 },
    );
    expect(accepted).toBeGreaterThan(10);
  });

  test('a header of many keys or of one long name is read in linear time', () => {
    const keys = Array.from({ length: 50_000 }, (_, i) => `"${i}":"${i}"`).join(',');
    const { metadata } = orThrow(decodeSafetensors(fileOf(`{"__metadata__":{${keys}}}`), ''));
    expect(metadata['49999']).toBe('49999');
    const name = '\\"'.repeat(500_000);
    expect(Object.keys(orThrow(decodeSafetensors(fileOf(`{"${name}":${u8(0, 0)}}`), '')).tensors)[0]?.length).toBe(
      500_000,
    );
  });
});

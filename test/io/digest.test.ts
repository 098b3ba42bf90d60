/** SHA-256 against the examples of FIPS 180-2 and Node's own implementation. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { joinBytes, sha256Hex } from '../../src/io/digest.ts';

test('the standard examples', async () => {
  const utf8 = new TextEncoder();
  expect(await sha256Hex([])).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  expect(await sha256Hex(utf8.encode('abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
});

test('a list has the digest of its parts joined, windows and shared memory included', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 100 })), async (parts) => {
      const expected = createHash('sha256').update(joinBytes(parts)).digest('hex');
      const shared = parts.map((part) => {
        const bytes = new Uint8Array(new SharedArrayBuffer(part.length + 2), 1, part.length);
        bytes.set(part);
        return bytes;
      });
      expect(await sha256Hex(parts)).toBe(expected);
      expect(await sha256Hex(shared)).toBe(expected);
      expect(await sha256Hex(joinBytes(parts))).toBe(expected);
    }),
  );
});

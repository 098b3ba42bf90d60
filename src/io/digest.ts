/**
 * SHA-256, by which runs and vectors are compared: equal digests mean equal bytes.
 *
 * Law: the digest of a list is the digest of its parts joined.
 */

/** The parts one after the other, in new memory. */
export const joinBytes = (parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> => {
  const all = new Uint8Array(parts.reduce((n, part) => n + part.length, 0));
  parts.reduce((at, part) => {
    all.set(part, at);
    return at + part.length;
  }, 0);
  return all;
};

/**
 * The SHA-256 of the bytes, as 64 hexadecimal digits. They are copied first, so they may lie in shared memory. Needs
 * `crypto.subtle`: Node, Deno, and browser pages from https or localhost.
 */
export const sha256Hex = async (bytes: Uint8Array | readonly Uint8Array[]): Promise<string> => {
  const all = joinBytes(bytes instanceof Uint8Array ? [bytes] : bytes);
  const digest = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', all));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
};

/** A fresh folder for a test, removed at its end. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';

export const temporaryFolder = async (): Promise<string> => {
  const path = await mkdtemp(join(tmpdir(), 'paca-test-'));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
};

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

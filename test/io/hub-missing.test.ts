/** Without the package @huggingface/hub: a base by name is refused with what to do, and a folder needs no such package. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { expect, it, vi } from 'vitest';
import { call, temporaryFolder } from '../cli/program.ts';
import { tinyBase } from '../support/tiny-base.ts';

vi.mock('@huggingface/hub', () => {
  throw new Error('Cannot find package');
});

const folder = temporaryFolder();
process.env.HF_HOME = join(folder, 'home');

it('says how to get it', async () => {
  const { error } = await call(['generate', '--base', 'owner/name', '--prompt', 'a']);
  expect(error).toMatchObject({ tag: 'FileError', expected: expect.stringContaining('npm install @huggingface/hub') });
  expect(readdirSync(folder)).not.toContain('home');
});

it('is not asked for where the base is a folder', async () => {
  const base = tinyBase(join(folder, 'base'));
  expect((await call(['generate', '--base', base, '--prompt', 'a', '--max-tokens', '2'])).error).toBeNull();
});

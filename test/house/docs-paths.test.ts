/** Every file that the documents name exists, and so does every vector case. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { vectorCases } from '../../src/vectors/cases/index.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const documents = ['README.md', 'CONTRIBUTING.md', 'docs/specification.md', 'vectors/README.md'];

const coded = (text: string): readonly string[] => Array.from(text.matchAll(/`([^`\n]+)`/g), (m) => m[1]!);
const named = (text: string): readonly string[] =>
  coded(text).filter((word) => /^(src|backends|scripts|test|docs|vectors|demo)\/[\w./-]+$/.test(word));
const linked = (text: string): readonly string[] => Array.from(text.matchAll(/\]\(([^)#:]+)\)/g), (m) => m[1]!);

describe.each(documents)('%s', (document) => {
  const text = readFileSync(join(root, document), 'utf8');

  it('names files that exist', () => {
    for (const path of [...named(text), ...linked(text)]) {
      const template = /NAME/.test(path);
      expect(template || existsSync(join(root, path)) || existsSync(join(root, dirname(document), path)), path).toBe(
        true,
      );
    }
  });
});

it('docs/specification.md names cases that exist', () => {
  const text = readFileSync(join(root, 'docs/specification.md'), 'utf8');
  const groups = new Set(vectorCases.map(({ id }) => id.split('/')[0]!));
  const patterns = coded(text).filter((word) => groups.has(word.split('/')[0]!) && word.includes('/'));
  expect(patterns.length).toBeGreaterThan(10);
  for (const pattern of patterns) {
    const expression = new RegExp(`^${pattern.replaceAll('*', '.*')}$`);
    expect(
      vectorCases.some(({ id }) => expression.test(id)),
      pattern,
    ).toBe(true);
  }
});

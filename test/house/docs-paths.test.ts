/** Every file that the documents name exists, and so does every vector case; the guide leaves no formula and no case out. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { vectorCases } from '../../src/vectors/cases/index.ts';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const documents = ['README.md', 'CONTRIBUTING.md', 'docs/specification.md', 'vectors/README.md'];

const coded = (text: string): readonly string[] => Array.from(text.matchAll(/`([^`\n]+)`/g), (m) => m[1]!);
const named = (text: string): readonly string[] =>
  coded(text).filter((word) => /^(src|backends|assembly|scripts|test|bench|docs|vectors|demo)\/[\w./-]+$/.test(word));
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

const groups = new Set(vectorCases.map(({ id }) => id.split('/')[0]!));

/** The cases that a document names, as patterns: `layers/linear*`. */
const patternsOf = (text: string): readonly string[] =>
  coded(text).filter((word) => /^[\w-]+\/[\w*-]+$/.test(word) && groups.has(word.split('/')[0]!));

const fits = (pattern: string, id: string): boolean => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(id);

it.each(['docs/specification.md', 'vectors/README.md'])('%s names cases that exist', (document) => {
  const patterns = patternsOf(readFileSync(join(root, document), 'utf8'));
  expect(patterns.length).toBeGreaterThan(3);
  for (const pattern of patterns) {
    expect(
      vectorCases.some(({ id }) => fits(pattern, id)),
      pattern,
    ).toBe(true);
  }
});

describe('docs/specification.md', () => {
  const text = readFileSync(join(root, 'docs/specification.md'), 'utf8');

  it('says of every case where its formula stands', () => {
    const patterns = patternsOf(text);
    for (const { id } of vectorCases)
      expect(
        patterns.some((pattern) => fits(pattern, id)),
        id,
      ).toBe(true);
  });

  it('names every file of formulas', () => {
    const helpers = ['shapes.ts', 'widen.ts'];
    for (const file of readdirSync(join(root, 'src/core/derived'))) {
      expect(helpers.includes(file) || text.includes(`\`src/core/derived/${file}\``), file).toBe(true);
    }
  });
});

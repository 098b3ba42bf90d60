/** Every row of `proofs/CLAIMS.md` names a theorem and a test that exist, and every law of `src/core/laws.ts` has its row. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as laws from '../../src/core/laws.ts';

const root = new URL('../../', import.meta.url);
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8');

/** The cells of every row of every table, heads included. */
const allRows: readonly (readonly string[])[] = read('proofs/CLAIMS.md')
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll('\\|', '|')),
  );

/** The rows of the tables that have this many columns, without the head. */
const rowsOf = (columns: number): readonly (readonly string[])[] =>
  allRows.filter((cells) => cells.length === columns && !/^(-+|Claim|Law)$/.test(cells[0] ?? ''));

/** Where some of the things are that the claims speak of. */
const built: Readonly<Record<string, string>> = {
  DoRA: 'src/methods/dora.ts',
  MosLoRA: 'src/methods/moslora.ts',
  NF4: 'src/quant',
};

interface Claim {
  readonly claim: string;
  readonly file: string;
  readonly theorem: string;
  readonly hypotheses: string;
  readonly test: string;
  readonly gap: string;
}

const claims: readonly Claim[] = rowsOf(5).map(([claim = '', theorem = '', hypotheses = '', test = '', gap = '']) => {
  const [, file = '', name = ''] = /^`(\w+\.v)`: `(\w+)`$/.exec(theorem) ?? [];
  return { claim, file, theorem: name, hypotheses, test, gap };
});

/** Whether this Coq text, comments aside, states such a theorem. */
const states = (text: string, theorem: string): boolean =>
  new RegExp(`^\\s*(Theorem|Lemma) ${theorem}\\b`, 'm').test(text.replace(/\(\*[\s\S]*?\*\)/g, ''));

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

/** Whether a test file, comments aside, has a test of this title that runs, or a parameter of tests that is called so. */
const hasTitle = (text: string, title: string): boolean => {
  const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
  const quoted = `(['"\`])${escaped(title)}\\1`;
  const called = /\bit(?:\.skipIf\(detached\)|\.each(?:<[^(]*>)?\((?:[^()]|\([^()]*\))*\))?\(\s*/.source;
  const parameter = /(?:^|[[{,])\s*/.source;
  return new RegExp(`${called}${quoted}`).test(code) || new RegExp(`${parameter}${quoted}\\s*[:,]`, 'm').test(code);
};

describe('the claims', () => {
  it('are many, and each has its own theorem', () => {
    expect(claims.length).toBeGreaterThanOrEqual(50);
    expect(new Set(claims.map(({ file, theorem }) => `${file} ${theorem}`)).size).toBe(claims.length);
    expect(claims.length).toBe(read('proofs/Main.v').match(/^Print Assumptions /gm)?.length);
  });

  it('stand in rows of 5 cells, and the laws in rows of 2: no cell is lost to a stray |', () => {
    expect(allRows.filter((cells) => cells.length !== 5 && cells.length !== 2)).toEqual([]);
  });

  it('do not call unbuilt what is there', () => {
    const text = read('proofs/CLAIMS.md');
    for (const [name, path] of Object.entries(built)) {
      expect(existsSync(new URL(path, root)), path).toBe(true);
      expect(text).not.toMatch(new RegExp(`${name}[^.|]*(not|n't) (yet )?(built|there)`));
    }
  });

  it.each(claims.map((c) => [`${c.file}: ${c.theorem}`, c] as const))('%s', (_, c) => {
    expect(c.claim).not.toBe('');
    expect(c.hypotheses).not.toBe('');
    expect(states(read(`proofs/${c.file}`), c.theorem), 'no such theorem').toBe(true);
    expect(read('proofs/_CoqProject').split('\n')).toContain(c.file);
    expect(read('proofs/Main.v')).toContain(`Print Assumptions ${c.file.slice(0, -2)}.${c.theorem}.`);
    if (c.test === '—') {
      expect(c.gap, 'neither a test nor a reason').not.toMatch(/^—?$/);
    } else {
      const [, path = '', title = ''] = /^`(test\/[\w./-]+\.test\.ts)`: (.+)$/.exec(c.test) ?? [];
      expect(hasTitle(read(path), title), `no test '${title}' in ${path}`).toBe(true);
    }
  });
});

describe('the laws', () => {
  const rows = new Map(rowsOf(2).map(([law = '', reason = '']) => [law.replaceAll('`', ''), reason]));

  it('are all there, and no others', () => {
    const exported = Object.entries(laws).flatMap(([name, value]) => (typeof value === 'function' ? [name] : []));
    expect([...rows.keys()].sort()).toEqual(exported.sort());
  });

  it.each([...rows])('%s is a row of the claims, or says why not', (_, reason) => {
    const named = Array.from(reason.matchAll(/`(\w+)`/g), (m) => m[1]!);
    const known = named.filter((name) => claims.some(({ theorem }) => theorem === name));
    expect(known.length > 0 || /^(none|a comparison)\b/.test(reason), reason).toBe(true);
    if (!/^none\b/.test(reason)) expect(known).toEqual(named);
  });
});

describe('what notices a wrong row', () => {
  it('a theorem that is not there, or only in a comment', () => {
    expect(states('Theorem there : True.', 'there')).toBe(true);
    expect(states('Theorem there_too : True.', 'there')).toBe(false);
    expect(states('(* Theorem there : True. *)', 'there')).toBe(false);
  });

  it('a test that is not there', () => {
    expect(hasTitle("it('adds', () => {", 'adds')).toBe(true);
    expect(hasTitle("it('adds more', () => {", 'adds')).toBe(false);
    expect(hasTitle("it.each([1, f(2)])('adds', () => {", 'adds')).toBe(true);
    expect(hasTitle("const cases = { 'adds': 1 };", 'adds')).toBe(true);
  });

  it('a test that is left out, or only in a comment', () => {
    expect(hasTitle("it.skip('adds', () => {", 'adds')).toBe(false);
    expect(hasTitle("it.todo('adds');", 'adds')).toBe(false);
    expect(hasTitle("/* it('adds', () => { */", 'adds')).toBe(false);
    expect(hasTitle("  // it('adds', () => {", 'adds')).toBe(false);
  });
});

/**
 * Tables and the formats of numbers.
 */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatBytes, formatCount, formatMs, formatPercent } from '../../src/cli/show/format.ts';
import { type Column, displayWidth, renderTable, shorten } from '../../src/cli/show/table.ts';

const table = (...lines: readonly string[]): string => lines.join('\n');

describe('renderTable', () => {
  const columns: readonly Column[] = [{ header: 'method' }, { header: 'rank' }, { header: 'loss' }];
  const rows = [
    ['full', '–', '0.1234'],
    ['paca', '16', '1.2'],
    ['a longer name', '8', 'NaN'],
  ];

  it('puts words to the left and numbers to the right', () => {
    expect(renderTable(columns, rows)).toBe(
      table(
        'method         rank    loss',
        '───────────────────────────',
        'full              –  0.1234',
        'paca             16     1.2',
        'a longer name     8     NaN',
      ),
    );
  });

  it('shortens words, never numbers, to fit a terminal', () => {
    expect(renderTable(columns, rows, { width: 22 })).toBe(
      table(
        'method    rank    loss',
        '──────────────────────',
        'full         –  0.1234',
        'paca        16     1.2',
        'a longe…     8     NaN',
      ),
    );
  });

  it('becomes blocks where no table fits', () => {
    expect(renderTable(columns, rows.slice(1), { width: 17 })).toBe(
      table('method  paca', 'rank    16', 'loss    1.2', '', 'method  a longer…', 'rank    8', 'loss    NaN'),
    );
  });

  it('takes an alignment as it is given', () => {
    const given: readonly Column[] = [
      { header: 'word', align: 'right' },
      { header: 'number', align: 'left' },
    ];
    expect(renderTable(given, [['a', '1']])).toBe(table('word  number', '────────────', '   a  1'));
  });

  it('knows numbers with units, signs and spreads', () => {
    const numbers = ['1,234', '-0.5', '1.2e-5', '12.3%', '1.5 KiB', '0.31 ± 0.02', '2 min 05 s', '38.2 steps/s', '≈ 3'];
    for (const cell of numbers) {
      const [, , line = ''] = renderTable([{ header: 'a rather long header' }], [[cell]]).split('\n');
      expect(line, cell).toBe(cell.padStart(20));
    }
    for (const cell of ['llama 3', '4x4 grid', '', '8/8']) {
      const [, , line = ''] = renderTable([{ header: 'a rather long header' }], [[cell]]).split('\n');
      expect(line, cell).toBe(cell);
    }
  });

  it('keeps line breaks and escape codes of a cell out', () => {
    const [, , line] = renderTable([{ header: 'x' }], [['a\nb\t\u001b[31mc']]).split('\n');
    expect(line).toBe('a b [31mc');
  });

  it('measures wide characters as two columns', () => {
    expect(renderTable([{ header: '名前' }, { header: 'n' }], [['é', '1']])).toBe(
      table('名前  n', '───────', 'é     1'),
    );
  });

  it('stands with no rows, no columns and missing cells', () => {
    expect(renderTable(columns, [])).toBe(table('method  rank  loss', '──────────────────'));
    expect(renderTable([], [])).toBe('\n');
    expect(renderTable(columns, [['paca']]).split('\n')[2]).toBe('paca');
  });

  it('is never wider than asked for, and starts every column at one place', () => {
    const word = fc.stringMatching(/^[a-z ]{0,30}$/);
    const cells = fc.array(fc.tuple(word, fc.nat().map(String)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(cells, fc.integer({ min: 24, max: 80 }), (given, width) => {
        const lines = renderTable([{ header: 'word' }, { header: 'n' }], given, { width }).split('\n');
        const widest = Math.max(...lines.map(displayWidth));
        expect(widest).toBeLessThanOrEqual(width);
        expect(displayWidth(lines[1] as string)).toBe(widest);
        for (const line of lines.slice(2)) expect(displayWidth(line)).toBe(widest);
      }),
    );
  });
});

describe('shorten', () => {
  it('keeps what fits and marks what does not', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat({ max: 20 }), (text, width) => {
        const short = shorten(text, width);
        expect(displayWidth(short)).toBeLessThanOrEqual(width);
        if (displayWidth(text) <= width) expect(short).toBe(text);
        else if (width > 0) expect(text.startsWith(short.slice(0, -1)) && short.endsWith('…')).toBe(true);
      }),
    );
  });
});

describe('formats', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1023.6, '1.0 KiB'],
    [1536, '1.5 KiB'],
    [1024 ** 2 - 1, '1.0 MiB'],
    [12 * 1024 ** 2, '12.0 MiB'],
    [3.25 * 1024 ** 3, '3.3 GiB'],
    [5000 * 1024 ** 4, '5000.0 TiB'],
    [-2048, '-2.0 KiB'],
    [Number.NaN, '–'],
  ])('bytes: %d is %s', (value, shown) => {
    expect(formatBytes(value)).toBe(shown);
  });

  it.each([
    [0, '0'],
    [999, '999'],
    [1000, '1,000'],
    [1234567, '1,234,567'],
    [-1234.5, '-1,235'],
    [-0.2, '0'],
    [Number.POSITIVE_INFINITY, '–'],
  ])('counts: %d is %s', (value, shown) => {
    expect(formatCount(value)).toBe(shown);
  });

  it.each([
    [0.1234, '0.123 ms'],
    [1.2345, '1.23 ms'],
    [9.996, '10.0 ms'],
    [345.6, '346 ms'],
    [999.6, '1.00 s'],
    [12345, '12.3 s'],
    [59960, '1 min 00 s'],
    [125000, '2 min 05 s'],
    [3599600, '1 h 00 min'],
    [3600000 * 25 + 60000, '25 h 01 min'],
    [Number.NaN, '–'],
  ])('milliseconds: %d is %s', (value, shown) => {
    expect(formatMs(value)).toBe(shown);
  });

  it.each([
    [0.1234, '12.3%'],
    [1, '100.0%'],
    [-0.005, '-0.5%'],
    [Number.NaN, '–'],
  ])('fractions: %d is %s', (value, shown) => {
    expect(formatPercent(value)).toBe(shown);
  });
});

/**
 * Text tables: a header, a rule, rows; numbers to the right, words to the left. No colour.
 *
 * Laws: a column starts or ends at the same place in every line; no line of a table is wider than `width`. Columns to the
 * left are shortened with `…` to fit, columns to the right never are: a number that is cut would be another number. Where
 * that is not enough, each row becomes a block of `name  value` lines.
 */

export type Align = 'left' | 'right';

export interface Column {
  readonly header: string;
  /** Left out: to the right if every cell is a number (with a unit or a sign, or a dash for none), else to the left. */
  readonly align?: Align;
}

/** Columns of the terminal; without it the table is as wide as it needs. */
export interface TableOptions {
  readonly width?: number | undefined;
}

const gap = '  ';
const narrowest = 6;
const number = String.raw`[-+±<>≈]? ?\d[\d.,]*(e[-+]?\d+)?`;
/** A number, perhaps with its spread and its unit: `-1.2e-5`, `0.31 ± 0.02`, `1.5 KiB`, `12.3%`, `2 min 05 s`. */
const numeric = new RegExp(`^${number}( ?± ?${number})?( ?(%|[a-zµ/]+))?( \\d+ [a-z]+)?$`, 'i');
const absent = /^([-–—]?|NaN)$/;
const wide =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\uff01-\uff60]/u;
const graphemes: Intl.Segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

const split = (text: string): readonly string[] => Array.from(graphemes.segment(text), ({ segment }) => segment);

const widthOf = (grapheme: string): number => (wide.test(grapheme) ? 2 : 1);

/** Columns of a terminal that a text takes. */
export const displayWidth = (text: string): number => split(text).reduce((sum, g) => sum + widthOf(g), 0);

/** One line of printable text. */
const clean = (text: string): string => text.replace(/\p{Cc}+/gu, ' ');

/** The text, or its start and `…`, in at most `width` columns. */
export const shorten = (text: string, width: number): string => {
  if (displayWidth(text) <= width) return text;
  const parts = split(text);
  const ends = parts.map((_, i) => parts.slice(0, i + 1).reduce((sum, g) => sum + widthOf(g), 0));
  return width < 1 ? '' : `${parts.filter((_, i) => (ends[i] as number) < width).join('')}…`;
};

const pad = (text: string, width: number, align: Align): string => {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'right' ? blanks + text : text + blanks;
};

const alignOf = (column: Column, cells: readonly string[]): Align =>
  column.align ??
  (cells.some((c) => numeric.test(c)) && cells.every((c) => numeric.test(c) || absent.test(c)) ? 'right' : 'left');

const totalWidth = (widths: readonly number[]): number =>
  widths.reduce((sum, w) => sum + w, 0) + gap.length * Math.max(0, widths.length - 1);

/** Cuts the columns of words to the greatest common width with which the table fits; `none` if there is none. */
const squeeze = (widths: readonly number[], aligns: readonly Align[], width: number): readonly number[] | 'none' => {
  if (totalWidth(widths) <= width) return widths;
  const cut = (most: number): readonly number[] => widths.map((w, i) => (aligns[i] === 'left' ? Math.min(w, most) : w));
  const choices = Array.from({ length: Math.max(0, Math.floor(width) - narrowest + 1) }, (_, i) => cut(narrowest + i));
  return choices.findLast((choice) => totalWidth(choice) <= width) ?? 'none';
};

/** Each row as lines of `header  value`, rows apart by a blank line. */
const renderBlocks = (headers: readonly string[], rows: readonly (readonly string[])[], width: number): string => {
  const nameWidth = Math.max(0, ...headers.map(displayWidth));
  const room = Math.max(narrowest, width - nameWidth - gap.length);
  const line = (header: string, cell: string): string =>
    `${pad(header, nameWidth, 'left')}${gap}${numeric.test(cell) ? cell : shorten(cell, room)}`.trimEnd();
  return rows.map((row) => headers.map((header, i) => line(header, row[i] ?? '')).join('\n')).join('\n\n');
};

/** The table as lines joined by `\n`, without one at the end. Cells beyond the columns are left out, missing ones blank. */
export const renderTable = (
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string => {
  const width = options.width ?? Number.POSITIVE_INFINITY;
  const headers = columns.map((c) => clean(c.header));
  const cells = rows.map((row) => columns.map((_, i) => clean(row[i] ?? '')));
  const column = (i: number): readonly string[] => cells.map((row) => row[i] as string);
  const aligns = columns.map((c, i) => alignOf(c, column(i)));
  const natural = headers.map((header, i) => Math.max(...[header, ...column(i)].map(displayWidth)));
  const widths = squeeze(natural, aligns, width);
  if (widths === 'none') return renderBlocks(headers, cells, width);
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => pad(shorten(cell, widths[i] as number), widths[i] as number, aligns[i] as Align))
      .join(gap)
      .trimEnd();
  return [line(headers), '─'.repeat(totalWidth(widths)), ...cells.map(line)].join('\n');
};

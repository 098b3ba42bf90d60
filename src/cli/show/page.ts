/** A web page that needs nothing else. */
import { escapeXml } from './svg.ts';

const style =
  'body{font:15px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}' +
  'table{border-collapse:collapse}th{text-align:left;font-weight:500;padding-right:2rem;vertical-align:top}' +
  'td{font-family:ui-monospace,monospace;word-break:break-word}svg{max-width:100%;height:auto}';

/** A table of texts. */
export const htmlTable = (headers: readonly string[], rows: readonly (readonly string[])[]): string => {
  const line = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell) => `<${tag}>${escapeXml(cell)}</${tag}>`).join('')}</tr>`;
  return `<table>\n${[line('th', headers), ...rows.map((row) => line('td', row))].join('\n')}\n</table>`;
};

/** The page; its parts are HTML. */
export const htmlPage = (title: string, parts: readonly string[]): string =>
  [
    '<!doctype html>',
    `<html lang="en"><head><meta charset="utf-8"><title>${escapeXml(title)}</title><style>${style}</style></head><body>`,
    `<h1>${escapeXml(title)}</h1>`,
    ...parts,
    '</body></html>',
    '',
  ].join('\n');

/**
 * Numbers as people read them. Nothing depends on the machine's language: commas group thousands, a point marks decimals.
 *
 * Law: a number that is not finite shows as a dash.
 */

const dash = '–';

const whenFinite = (value: number, show: (value: number) => string): string =>
  Number.isFinite(value) ? show(value) : dash;

/** Whole digits with a comma before each three: `1234567` is `1,234,567`. */
export const groupDigits = (digits: string): string => digits.replace(/\B(?=(\d{3})+$)/g, ',');

/** `1,234,567`; rounds to a whole number. */
export const formatCount = (value: number): string =>
  whenFinite(value, (n) => {
    const rounded = Math.round(Math.abs(n));
    return `${n < 0 && rounded > 0 ? '-' : ''}${groupDigits(String(rounded))}`;
  });

/** Three digits, three decimals below 1, and never less than the whole number: `0.012`, `1.23`, `12.3`, `1234`. */
const threeDigits = (value: number): string => {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3);
};

const byteUnits: readonly (readonly [name: string, size: number])[] = [
  ['KiB', 1024],
  ['MiB', 1024 ** 2],
  ['GiB', 1024 ** 3],
  ['TiB', 1024 ** 4],
];

/** Bytes in units of 1,024 with one decimal: `512 B`, `1.5 KiB`, `12.0 MiB`. Beyond it all stays in TiB. */
export const formatBytes = (bytes: number): string =>
  whenFinite(bytes, (n) => {
    if (Math.round(Math.abs(n)) < 1024) return `${Math.round(n)} B`;
    const shown = byteUnits.map(([name, size]) => [(n / size).toFixed(1), name] as const);
    const [value, name] =
      shown.find(([v]) => Math.abs(Number(v)) < 1024) ?? (shown.at(-1) as readonly [string, string]);
    return `${value} ${name}`;
  });

/** A duration given in milliseconds: `0.123 ms`, `12.3 ms`, `1.23 s`, `2 min 05 s`, `1 h 02 min`. */
export const formatMs = (ms: number): string =>
  whenFinite(ms, (n) => {
    const two = (value: number): string => String(value).padStart(2, '0');
    const seconds = Math.round(n / 1000);
    const minutes = Math.round(n / 60000);
    if (Math.abs(n) < 999.5) return `${threeDigits(n)} ms`;
    if (n < 59950) return `${threeDigits(n / 1000)} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${two(seconds % 60)} s`;
    return `${formatCount(Math.floor(minutes / 60))} h ${two(minutes % 60)} min`;
  });

/** A fraction in per cent with one decimal: 0.1234 is `12.3%`. */
export const formatPercent = (fraction: number): string => whenFinite(fraction, (f) => `${(f * 100).toFixed(1)}%`);

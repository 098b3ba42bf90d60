/**
 * Axes: the range to show, where a value lies in it, and the values worth a label. Ticks are 1, 2 or 5 times a power of
 * ten and are built from decimal text, so 0.3 is 0.3 and not 0.30000000000000004.
 *
 * Laws: `place` grows with the value, from 0 at the lower end to 1 at the upper; every tick lies between; any finite input
 * gives finite places.
 */
import { elementary64 } from '../../spec/elementary/index.ts';
import { groupDigits } from './format.ts';

export interface Tick {
  readonly value: number;
  readonly label: string;
}

export interface Axis {
  readonly ticks: readonly Tick[];
  /** 0 at the lower end of the axis, 1 at the upper. */
  readonly place: (value: number) => number;
}

type Range = readonly [low: number, high: number];

/** Numbers beyond are not drawn: their differences could overflow. */
const largest = 1e300;

/** Whether an axis can show the value: finite, not absurd, and above 0 for a logarithm. */
export const plottable = (value: number, log: boolean): boolean =>
  Math.abs(value) <= largest && (!log || value >= 1 / largest);

/** e where the size of the value is 1 … 9.99 times 10ᵉ. */
const exponentOf = (value: number): number => Number(value.toExponential().split('e')[1]);

/** digits · 10ᵉ, rounded once. */
const decimal = (digits: number, exponent: number): number => Number(`${digits}e${exponent}`);

const superscript = (n: number): string => Array.from(String(n), (c) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(c)] ?? '⁻').join('');

const plainLabel = (value: number, decimals: number): string => {
  const [whole = '', part] = value.toFixed(decimals).split('.');
  return `${groupDigits(whole)}${part === undefined ? '' : `.${part}`}`.replace('-', '−');
};

/** `2.5×10⁻⁷`, and `10⁻⁷` where the digits are 1. */
const powerLabel = (value: number, lastExponent: number): string => {
  if (value === 0) return '0';
  const exponent = exponentOf(value);
  const digits = value.toExponential(Math.max(0, exponent - lastExponent)).split('e')[0] as string;
  const power = `10${superscript(exponent)}`;
  return (Number(digits) === 1 ? power : `${digits}×${power}`).replace('-', '−');
};

/** Labels in one style for the whole axis; `last` is the exponent of the last digit to show of each value. */
const labelled = (values: readonly number[], last: (value: number) => number): readonly Tick[] => {
  const sizes = values.map(Math.abs).filter((v) => v > 0);
  const plain = sizes.every((v) => v < 1e7) && values.every((v) => last(v) >= -5);
  return values.map((value) => ({
    value,
    label: plain ? plainLabel(value, Math.max(0, -last(value))) : powerLabel(value, last(value)),
  }));
};

/** The range, made wider where it is too narrow to divide. */
const widen = ([low, high]: Range): Range => {
  const size = Math.max(Math.abs(low), Math.abs(high));
  if (high - low > Math.max(size * 1e-9, 1e-290)) return [low, high];
  const pad = size > 1e-290 ? size / 10 : 1;
  return [low - pad, high + pad];
};

/** The step, as digits (1, 2, 5) and exponent, that divides the range into at most `count` parts. */
const niceStep = ([low, high]: Range, count: number): readonly [digits: number, exponent: number] => {
  const raw = (high - low) / count;
  const exponent = exponentOf(raw);
  const digits = [1, 2, 5].find((d) => decimal(d, exponent) >= raw);
  return digits === undefined ? [1, exponent + 1] : [digits, exponent];
};

/** Multiples of a nice step: those inside the range, or with `outward` also the next one at either end. */
const multiples = (range: Range, count: number, outward: boolean): readonly Tick[] => {
  const [digits, exponent] = niceStep(range, count);
  const step = decimal(digits, exponent);
  const [down, up] = outward ? [Math.floor, Math.ceil] : [Math.ceil, Math.floor];
  const first = down(range[0] / step);
  const values = Array.from({ length: up(range[1] / step) - first + 1 }, (_, i) =>
    decimal((first + i) * digits, exponent),
  );
  return labelled(values, () => exponent);
};

const ends = (ticks: readonly Tick[], [low, high]: Range): Range => {
  const values = ticks.map((t) => t.value);
  return [Math.min(low, ...values), Math.max(high, ...values)];
};

/** An axis of equal steps. With `outward` it ends at ticks, otherwise at the data. At most about `count` ticks. */
export const linearAxis = (data: Range, count: number, outward: boolean): Axis => {
  const range = widen(data);
  const ticks = multiples(range, count, outward);
  const [low, high] = ends(ticks, range);
  return { ticks, place: (value) => (value - low) / (high - low) };
};

/** The values from the last one not above the range to the first not below it. */
const around = (values: readonly number[], [low, high]: Range): readonly number[] => {
  const below = values.findLast((v) => v <= low) ?? low;
  const above = values.find((v) => v >= high) ?? high;
  return values.filter((v) => v >= below && v <= above);
};

/** Powers of ten about the range, each with its 2 and 5 where they are few, or only each second, third, … power. */
const decades = (range: Range, count: number): readonly Tick[] => {
  const first = exponentOf(range[0]);
  const top = exponentOf(range[1]);
  const last = decimal(1, top) < range[1] ? top + 1 : top;
  const stride = Math.ceil((last - first) / count);
  const powers = Array.from({ length: Math.ceil((last - first) / stride) + 1 }, (_, i) => first + i * stride);
  const times = (digits: readonly number[]): readonly number[] =>
    around(
      powers.flatMap((e) => digits.map((d) => decimal(d, e))),
      range,
    );
  const fine = times([1, 2, 5]);
  return labelled(stride === 1 && fine.length < 2 * count ? fine : times([1]), exponentOf);
};

/** An axis of equal ratios, for values above 0. Within a factor of ten its ticks are those of equal steps. */
export const logAxis = (data: Range, count: number): Axis => {
  const range: Range = data[1] / data[0] > 1 + 1e-9 ? data : [data[0] * 0.9, data[1] * 1.1];
  const even = multiples(range, count, true).filter(({ value }) => value > 0);
  const ticks = range[1] / range[0] < 10 ? even : decades(range, count);
  const [low, high] = ends(ticks, range).map(elementary64.log) as unknown as Range;
  return { ticks, place: (value) => (elementary64.log(value) - low) / (high - low) };
};
